// Waiter: whoever waits for one direction of a descriptor, and the reason the wait ended.
//
// The poller never knows who waits: a fiber, a blocked thread, a callback of somebody else's event
// loop. It only links waiters into lists and writes why each was woken. Derive from Waiter to add
// what is needed to continue, and find it again when the waiter comes out of Poller::collect(),
// close() or cancel().
//
// A waiter is a resource: it neither moves nor is copied, and must stay where it is from the moment
// it is handed over (Poller::wait or commit) until it comes back. It comes back exactly once (G2).
#pragma once

#include <cstdint>

namespace rearm {

// Why a wait ended.
enum class WakeReason : std::uint8_t {
  kReady,      // The kernel reported readiness, or something else worth trying again for.
  kTimedOut,   // A deadline expired.
  kCancelled,  // Somebody cancelled this wait.
  kClosed,     // The descriptor was closed.
};

class alignas(8) Waiter {
 public:
  Waiter() noexcept = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // Valid from the moment the waiter came back until it waits again.
  [[nodiscard]] WakeReason reason() const noexcept { return reason_; }

  // For those who end a wait; they own the waiter until it is on a list.
  void set_reason(WakeReason reason) noexcept { reason_ = reason; }

 protected:
  ~Waiter() = default;

 private:
  friend class WaiterList;

  Waiter* next_ = nullptr;
  WakeReason reason_ = WakeReason::kReady;
};

// A first-in-first-out list of waiters, linked through the waiters themselves. Owns nothing and
// allocates nothing. Not thread-safe: it is passed by value up the call chain.
class WaiterList {
 public:
  WaiterList() noexcept = default;
  WaiterList(WaiterList&& other) noexcept { splice_back(other); }
  WaiterList& operator=(WaiterList&& other) noexcept {
    if (this != &other) {
      head_ = tail_ = nullptr;
      splice_back(other);
    }
    return *this;
  }

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

  void push_back(Waiter& waiter) noexcept {
    waiter.next_ = nullptr;
    if (tail_ == nullptr) {
      head_ = &waiter;
    } else {
      tail_->next_ = &waiter;
    }
    tail_ = &waiter;
  }

  // Returns nullptr when the list is empty.
  [[nodiscard]] Waiter* pop_front() noexcept {
    Waiter* const waiter = head_;
    if (waiter == nullptr) return nullptr;
    head_ = waiter->next_;
    if (head_ == nullptr) tail_ = nullptr;
    waiter->next_ = nullptr;
    return waiter;
  }

  // Moves everything from `other` to the back of this list.
  void splice_back(WaiterList& other) noexcept {
    if (other.empty()) return;
    if (tail_ == nullptr) {
      head_ = other.head_;
    } else {
      tail_->next_ = other.head_;
    }
    tail_ = other.tail_;
    other.head_ = other.tail_ = nullptr;
  }

 private:
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

}  // namespace rearm
