// select(): waits for the first of several things, and does that one.
//
//   rearm::ReceiveCase job(jobs);
//   rearm::EventCase shutdown(stopping);
//   const auto chosen = rearm::select(Deadline::after(1s), job, shutdown);
//   if (!chosen) return chosen.error();             // kTimedOut, or told to stop
//   if (*chosen == 0) work(std::move(*job.value()));  // nothing: the channel is closed
//
// Cases that can be done at once are taken in turns, so that none of them starves the others. A
// deadline is the case of a timer; Deadline::immediate() the default case: kTimedOut, if none can
// be done at once. What was not chosen is as if it had not been asked: no value is taken, none is
// sent, no place in line is kept.
//
// A case is an object of the caller's: it says what is wanted, and afterwards what came of it. It
// may be used for one select() after another, by one fiber or plain thread at a time.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/channel.h"
#include "rearm/sync/event.h"
#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {

struct CaseState;

// One thing that is waited for among others.
class SelectCase {
 public:
  SelectCase(const SelectCase&) = delete;
  SelectCase& operator=(const SelectCase&) = delete;
  virtual ~SelectCase();

 protected:
  // `bytes`: where what is received goes, or what is sent comes from.
  SelectCase(ChannelCore& channel, bool sends, void* bytes) noexcept;
  explicit SelectCase(CountGate& gate) noexcept;

  template <class T>
  [[nodiscard]] static ChannelCore& core_of(Channel<T>& channel) noexcept {
    return *channel.core_;
  }
  [[nodiscard]] static CountGate& gate_of(::rearm::Event& event) noexcept;

 private:
  friend Result<std::size_t> select_of(std::span<SelectCase* const> cases, Deadline deadline);

  virtual void forget() = 0;  // What came of the last select().
  // It was chosen; `closed`: because the channel is.
  virtual void done(bool closed) = 0;

  Hidden<CaseState> state_;
};

[[nodiscard]] Result<std::size_t> select_of(std::span<SelectCase* const> cases, Deadline deadline);

// Stops the process where a value is to be sent for a second time.
void check_not_sent(bool is_sent);

}  // namespace detail

// Receives from a channel.
template <class T>
class ReceiveCase final : public detail::SelectCase {
 public:
  explicit ReceiveCase(Channel<T>& channel)
      : SelectCase(core_of(channel), /*sends=*/false, memory_) {}

  // What was received; nothing if this case was not chosen, or the channel is closed and empty.
  [[nodiscard]] std::optional<T>& value() noexcept { return value_; }

 private:
  using Parcel = detail::Parcel<T>;
  using Bytes = typename Parcel::Bytes;

  void forget() override { value_.reset(); }
  void done(bool closed) override {
    if (closed) return;
    Bytes& bytes = *std::launder(reinterpret_cast<Bytes*>(memory_));
    if constexpr (Parcel::kIsBoxed) {
      const std::unique_ptr<T> box(bytes);
      value_.emplace(std::move(*box));
    } else {
      value_.emplace(std::move(bytes));
    }
  }

  alignas(Bytes) std::byte memory_[sizeof(Bytes)];
  std::optional<T> value_;
};

// Sends to a channel. The value lies in the case until it has been sent.
template <class T>
class SendCase final : public detail::SelectCase {
 public:
  // May throw std::bad_alloc; see channel.h.
  SendCase(Channel<T>& channel, T value)
      : SelectCase(core_of(channel), /*sends=*/true, &bytes_), bytes_([&]() -> Bytes {
          if constexpr (Parcel::kIsBoxed) {
            return new T(std::move(value));
          } else {
            return std::move(value);
          }
        }()) {}
  ~SendCase() override {
    if constexpr (Parcel::kIsBoxed) {
      if (!is_sent_) delete bytes_;
    }
  }

  [[nodiscard]] bool is_sent() const noexcept { return is_sent_; }
  // The channel is closed; the value is still here.
  [[nodiscard]] bool is_closed() const noexcept { return is_closed_; }
  // REQUIRES: not sent.
  [[nodiscard]] T& value() noexcept {
    if constexpr (Parcel::kIsBoxed) {
      return *bytes_;
    } else {
      return bytes_;
    }
  }

 private:
  using Parcel = detail::Parcel<T>;
  using Bytes = typename Parcel::Bytes;

  void forget() override { detail::check_not_sent(is_sent_); }
  void done(bool closed) override { (closed ? is_closed_ : is_sent_) = true; }

  Bytes bytes_;
  bool is_sent_ = false;
  bool is_closed_ = false;
};

// Waits for an event.
class EventCase final : public detail::SelectCase {
 public:
  explicit EventCase(Event& event) noexcept : SelectCase(gate_of(event)) {}

 private:
  void forget() override {}
  void done(bool) override {}
};

// Waits until one of the cases can be done, does it, and returns its place among them, from 0. A
// case whose channel is closed can be done: it says so. Errors: kTimedOut, kCancelled (the fiber or
// its run was asked to stop, and none could be done at once), kInvalidArgument (no case at all).
// May park. A standing deadline means never.
[[nodiscard]] inline Result<std::size_t> select(Deadline deadline,
                                                std::span<detail::SelectCase* const> cases) {
  return detail::select_of(cases, deadline);
}
template <std::derived_from<detail::SelectCase>... Cases>
  requires(sizeof...(Cases) > 0)
[[nodiscard]] Result<std::size_t> select(Deadline deadline, Cases&... cases) {
  const std::array<detail::SelectCase*, sizeof...(Cases)> all{&cases...};
  return detail::select_of(all, deadline);
}

}  // namespace rearm
