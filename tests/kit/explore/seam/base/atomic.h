// Takes the place of src/base/atomic.h: each access is a step of the explorer.
//
// Every operation is sequentially consistent here, whatever order it asks for: the explorer goes
// through interleavings, not through the weaker orders that a processor may show. But for a thread
// that has a store buffer (step.h): its stores may be seen late.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "explore/step.h"

namespace rearm::detail {

inline constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
inline constexpr std::memory_order kAcquire = std::memory_order_acquire;
inline constexpr std::memory_order kRelease = std::memory_order_release;
inline constexpr std::memory_order kAcqRel = std::memory_order_acq_rel;
inline constexpr std::memory_order kSeqCst = std::memory_order_seq_cst;

template <class T>
class Atomic {
 public:
  constexpr Atomic() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): as std::atomic's.
  constexpr Atomic(T value) noexcept : value_(value) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  [[nodiscard]] T load(std::memory_order = kSeqCst) const noexcept {
    if (!explore::in_thread) return value_;
    if (explore::anybody_delays) [[unlikely]]
      return load_behind_stores();
    begin(explore::Verb::kLoad, explore::Mode::kRead);
    end(explore::Mode::kRead, value_);
    return value_;
  }
  void store(T value, std::memory_order order = kSeqCst) noexcept {
    if (!explore::in_thread) {
      value_ = value;
      return;
    }
    if (explore::anybody_delays && order != kSeqCst) [[unlikely]] {
      if (explore::StoreBuffer* const buffer = explore::own_buffer()) {
        buffer->push(this, bits(value), &apply);
        return;
      }
    }
    begin(explore::Verb::kStore, explore::Mode::kWrite);
    (void)change(value);
  }
  T exchange(T value, std::memory_order = kSeqCst) noexcept {
    if (explore::in_thread) begin(explore::Verb::kExchange, explore::Mode::kWrite);
    return change(value);
  }
  // Never fails spuriously: a failure repeats the loop with the same values.
  bool compare_exchange_weak(T& expected, T desired, std::memory_order = kSeqCst,
                             std::memory_order = kSeqCst) noexcept {
    return compare_exchange_strong(expected, desired);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order = kSeqCst,
                               std::memory_order = kSeqCst) noexcept {
    if (explore::in_thread) begin(explore::Verb::kCompare, explore::Mode::kWrite);
    if (value_ == expected) {
      (void)change(desired);
      return true;
    }
    expected = value_;
    if (explore::in_thread) end(explore::Mode::kRead, value_);
    return false;
  }
  T fetch_add(T n, std::memory_order order = kSeqCst) noexcept { return add(order, n, false); }
  T fetch_sub(T n, std::memory_order order = kSeqCst) noexcept { return add(order, n, true); }
  T fetch_or(T bits, std::memory_order = kSeqCst) noexcept {
    if (explore::in_thread) begin(explore::Verb::kFetch, explore::Mode::kWrite);
    return change(static_cast<T>(value_ | bits));
  }
  T fetch_and(T bits, std::memory_order = kSeqCst) noexcept {
    if (explore::in_thread) begin(explore::Verb::kFetch, explore::Mode::kWrite);
    return change(static_cast<T>(value_ & bits));
  }

 private:
  static std::uint64_t bits(T value) noexcept {
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<std::uintptr_t>(value);
    } else {
      return static_cast<std::uint64_t>(value);
    }
  }
  static T value_of(std::uint64_t bits) noexcept {
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<T>(static_cast<std::uintptr_t>(bits));
    } else {
      return static_cast<T>(bits);
    }
  }
  static void apply(void* object, std::uint64_t value) {
    static_cast<Atomic*>(object)->value_ = value_of(value);
  }
  T load_behind_stores() const noexcept {
    explore::StoreBuffer* const buffer = explore::own_buffer();
    explore::begin_step(
        {.verb = explore::Verb::kLoad,
         .mode = explore::Mode::kRead,
         .object = this,
         .more = {{{buffer, buffer == nullptr ? explore::Mode::kNone : explore::Mode::kRead}}}});
    const std::uint64_t* const own = buffer == nullptr ? nullptr : buffer->find(this);
    const T value = own == nullptr ? value_ : value_of(*own);
    explore::end_step(explore::Mode::kRead, bits(value), bits(value));
    return value;
  }
  void begin(explore::Verb verb, explore::Mode mode) const {
    explore::begin_step({.verb = verb, .mode = mode, .object = this});
  }
  void end(explore::Mode mode, T before) const {
    explore::end_step(mode, bits(before), bits(value_));
  }
  T change(T value) noexcept {
    const T before = value_;
    value_ = value;
    if (explore::in_thread) end(explore::Mode::kWrite, before);
    return before;
  }
  T value_sum(T n, bool negative) const noexcept {
    return static_cast<T>(negative ? value_ - n : value_ + n);
  }
  // What acquires nothing looks at nothing: additions without acquire commute.
  T add(std::memory_order order, T n, bool negative) noexcept {
    if (!explore::in_thread) return change(value_sum(n, negative));
    const bool commutes = order == kRelaxed || order == kRelease;
    const explore::Mode mode = commutes ? explore::Mode::kAdd : explore::Mode::kWrite;
    begin(explore::Verb::kFetch, mode);
    const T before = value_;
    value_ = value_sum(n, negative);
    end(mode, before);
    return before;
  }

  T value_{};
};

}  // namespace rearm::detail
