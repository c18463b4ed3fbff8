// ChannelCore: a channel of bytes. What they mean is known to the template that is above it.
//
// How it works. Under the one lock a value goes straight from who has it to who waits for it, whose
// memory is named in its place in line; or into the ring, or out of it. Copying bytes runs no code
// of the program's (G7), so one look at the lock is all that a send or a receive takes.
//
//   receivers wait    only while the ring is empty and no sender waits
//   senders wait      only while the ring is full and no receiver waits; so when a receiver makes
//                     room, the first sender's value goes into it at once, in order
//   closed            senders that wait are let go without having sent; receivers wait no more
//
// Rejected. A ring without a lock (Vyukov's): each end would still have to look for those who wait,
// after a second exchange, so it would save nothing; and a value that is being moved in would be
// waited for. Moving values under the lock: they are the program's code.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "rearm/deadline.h"
#include "rearm/error.h"
#include "sync/line.h"

namespace rearm::detail {

// A resource in the frame of one who waits to send or to receive.
class ChannelWait : public LineWait {
 public:
  explicit ChannelWait(void* to_or_from) noexcept : LineWait(Cancellable::kYes) {
    bytes = to_or_from;
  }
};

class ChannelCore {
 public:
  ChannelCore(std::size_t most, std::size_t bytes_of_value)
      : capacity(most),
        value_bytes(bytes_of_value),
        ring_(most == 0 ? nullptr : std::make_unique<std::byte[]>(most * bytes_of_value)) {}
  ChannelCore(const ChannelCore&) = delete;
  ChannelCore& operator=(const ChannelCore&) = delete;
  ~ChannelCore() {
    MutexLock lock(mu_);
    REARM_CHECK(senders_.empty() && receivers_.empty(),
                "a Channel was destroyed that is waited on");
  }

  [[nodiscard]] Result<void> send(const void* value, Deadline deadline, const void* where) noexcept;
  [[nodiscard]] Result<void> receive(void* value, Deadline deadline, const void* where) noexcept;
  // For select(). Whether the case was done or, with a turn, somebody else has won the claim. With
  // a turn that can do nothing, it stands in line.
  [[nodiscard]] bool try_case(bool sends, void* bytes, bool& is_closed, WaiterList& woken,
                              const CaseTurn* turn) noexcept;
  void leave_case(bool sends, WaitQueue::Node& node) noexcept {
    MutexLock lock(mu_);
    static_cast<void>((sends ? senders_ : receivers_).remove(node));
  }
  // False: it was closed before.
  [[nodiscard]] bool close() noexcept;
  [[nodiscard]] std::size_t size() noexcept {
    MutexLock lock(mu_);
    return size_;
  }
  [[nodiscard]] bool take_left(void* value) noexcept {
    MutexLock lock(mu_);
    if (size_ == 0) return false;
    pop(value);
    return true;
  }

  const std::size_t capacity;
  const std::size_t value_bytes;

 private:
  enum class Tried : std::uint8_t { kDone, kClosed, kMustWait };

  [[nodiscard]] Tried try_send(const void* value, WaiterList& woken,
                               const Claim* self = nullptr) noexcept REARM_REQUIRES(mu_);
  [[nodiscard]] Tried try_receive(void* value, WaiterList& woken,
                                  const Claim* self = nullptr) noexcept REARM_REQUIRES(mu_);

  [[nodiscard]] Result<void> wait(ChannelWait& wait, WaitQueue ChannelCore::* in, Deadline deadline,
                                  const WaitingFor& what) noexcept;
  void push(const void* value) noexcept REARM_REQUIRES(mu_) { copy(slot(head_ + size_++), value); }
  void pop(void* value) noexcept REARM_REQUIRES(mu_) {
    copy(value, slot(head_));
    head_ = head_ + 1 == capacity ? 0 : head_ + 1;
    --size_;
  }
  void copy(void* to, const void* from) const noexcept {
    // The common sizes are one move each.
    switch (value_bytes) {
      case 4: std::memcpy(to, from, 4); break;
      case 8: std::memcpy(to, from, 8); break;
      case 16: std::memcpy(to, from, 16); break;
      default: std::memcpy(to, from, value_bytes); break;
    }
  }
  [[nodiscard]] std::byte* slot(std::size_t index) const noexcept {
    return ring_.get() + (index < capacity ? index : index - capacity) * value_bytes;
  }

  Mutex mu_{Nesting::kBelowAnother};  // A select()'s is above it.
  WaitQueue senders_ REARM_GUARDED_BY(mu_);
  WaitQueue receivers_ REARM_GUARDED_BY(mu_);
  const std::unique_ptr<std::byte[]> ring_;
  std::size_t head_ REARM_GUARDED_BY(mu_) = 0;
  std::size_t size_ REARM_GUARDED_BY(mu_) = 0;
  bool is_closed_ REARM_GUARDED_BY(mu_) = false;
};

}  // namespace rearm::detail
