// StopSource: ends all the waits that are registered with it, and refuses those to come.
//
// What this is. The seam of cancellation: a run, a group of fibers, a std::stop_token that asks its
// waits to end. A registration is a timer without a time: a node in the waiter's frame that names
// the word of its wait, and is unlinked before the frame is left.
//
// How it works. request() sets the flag and withdraws the words, under the lock, and returns the
// waiters that were parked, to be woken after it (G7). add() looks at the flag under the same lock:
// so every wait is either registered before the request and withdrawn by it, or refused. Once
// remove() has returned nobody refers to the node or its word: a late request cannot end the next
// wait.
//
//   word.prepare(); if (!stops.add(node)) { word.withdraw(); it is cancelled; }
//   wait_on(word, ...); stops.remove(node);
//
// Who may call. Any thread.
//
// Rejected. A list of callbacks, as std::stop_token has: who is to be woken would run under the
// lock, or be called after its frame is gone. A look at a flag after prepare(), and the source
// looks at the words: it would have to know where they all are.
#pragma once

#include "base/atomic.h"
#include "base/linked_list.h"
#include "base/mutex.h"
#include "base/wait_word.h"
#include "rearm/waiter.h"

namespace rearm::detail {

class StopSource {
 public:
  // A resource in the waiter's frame.
  class Node : public LinkedList<Node>::Link {
   public:
    explicit Node(WaitWord& word) noexcept : word_(word) {}

   private:
    friend class StopSource;
    WaitWord& word_;
  };

  StopSource() = default;
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;

  // After word.prepare(). False: the stop was requested, and nothing is registered.
  [[nodiscard]] bool add(Node& node) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (is_requested_.load(kRelaxed)) return false;
    nodes_.push_back(node);
    return true;
  }

  // Of one that was added or not, ended or not.
  void remove(Node& node) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (node.is_linked()) nodes_.remove(node);
  }

  // Appends the waiters to `out`, for the caller to wake. Once is enough; more does no harm.
  void request(WaiterList& out) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    is_requested_.store(true, kRelease);  // Pairs with is_requested().
    while (Node* const node = nodes_.first()) {
      nodes_.remove(*node);
      if (Waiter* const waiter = node->word_.withdraw()) {
        waiter->set_reason(WakeReason::kCancelled);
        out.push_back(*waiter);
      }
    }
  }

  [[nodiscard]] bool is_requested() const noexcept { return is_requested_.load(kAcquire); }

 private:
  Mutex mu_;
  LinkedList<Node> nodes_ REARM_GUARDED_BY(mu_);
  Atomic<bool> is_requested_{false};
};

}  // namespace rearm::detail
