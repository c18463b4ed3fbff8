// WaitQueue: many waiters for one thing, first in first out.
//
// What this is. The seam of what several may wait for at once: a lock, a channel, a semaphore. A
// queue of nodes that lie in the frames of those who wait; it allocates nothing, so that to wait
// cannot fail. Its owner's lock, a leaf (mutex.h), guards it and the thing that is waited for, so
// that nobody falls asleep over what has just come.
//
// How it works, by the discipline of Timers. Whoever brings something takes the first node out,
// under the lock, and publishes into its word; the waiter, if it has parked already, is returned
// and woken after the lock is gone (G7). A node that was taken out was given something, and
// whoever waits there owns that, even if its wait was ended by something else at the same time.
//
//   the waiter                                      the giver
//   word.prepare()
//   lock; the thing is not there: push_back(node)   lock; give(out), or keep the thing
//   wait_on(word, ...)                              unlock; wake(out)
//   lock; remove(node): false = it was given
//
// Invariant. After remove() has returned nobody refers to the node or its word.
//
// A waiter that stands in several queues has a Claim, and its nodes share the claim's word.
//
// Rejected. A lock of its own: the thing and the queue would be under two locks, and one could come
// between them. Taking out the one that is woken best: who waits longest may wait for ever.
#pragma once

#include "base/claim.h"
#include "base/linked_list.h"
#include "base/wait_word.h"
#include "rearm/waiter.h"

namespace rearm::detail {

class WaitQueue {
 public:
  // A resource in the waiter's frame.
  class Node : public LinkedList<Node>::Link {
   public:
    explicit Node(WaitWord& word) noexcept : word_(word) {}
    Node(Claim& claim, int place, void* to_or_from = nullptr) noexcept
        : bytes(to_or_from), word_(claim.word()), claim_(&claim), place_(place) {}

    void* bytes = nullptr;   // Where what is given goes, or comes from, where it has bytes.
    bool is_closed = false;  // It was let go with nothing, because there will be nothing.

    // Of one that was given something: whether it slept until then. Then the giver has woken it
    // after its lock was gone. One that did not sleep may be faster than the giver, and has to take
    // the lock once before it destroys what the lock is part of.
    [[nodiscard]] bool was_asleep() const noexcept { return was_asleep_; }

   private:
    friend class WaitQueue;
    WaitWord& word_;
    Claim* claim_ = nullptr;
    int place_ = 0;
    bool was_asleep_ = false;
  };

  [[nodiscard]] bool empty() const noexcept { return nodes_.empty(); }

  [[nodiscard]] Node* first() const noexcept { return nodes_.first(); }

  // Whether one stands here that stands nowhere else.
  [[nodiscard]] bool has_one_without_claim() const noexcept {
    Node* node = nodes_.first();
    while (node != nullptr && node->claim_ != nullptr) node = LinkedList<Node>::after(*node);
    return node != nullptr;
  }

  void push_back(Node& node) noexcept { nodes_.push_back(node); }
  // For one that was called in vain.
  void push_front(Node& node) noexcept { nodes_.push_front(node); }

  // Gives what has come to the first one that can take it. False: nobody can, and it stays where it
  // is. The waiter, unless it has not parked yet, is appended to `out`.
  [[nodiscard]] bool give(WaiterList& out) noexcept {
    Node* const node = choose();
    if (node != nullptr) give_to(*node, out);
    return node != nullptr;
  }

  // The two halves, for what is handed over in between: the first one that can take something, and
  // whose claim has been won, so that give_to() must follow. Null: nobody.
  // `self`: the claim of the one who gives, which takes nothing from itself.
  [[nodiscard]] Node* choose(const Claim* self = nullptr) noexcept {
    Node* node = nodes_.first();
    while (node != nullptr && node->claim_ != nullptr &&
           (node->claim_ == self || !node->claim_->win(node->place_))) {
      node = LinkedList<Node>::after(*node);  // Who has lost is about to leave, or looks itself.
    }
    return node;
  }
  void give_to(Node& node, WaiterList& out) noexcept {
    nodes_.remove(node);
    node.was_asleep_ = false;  // It may be the second time.
    if (Waiter* const waiter = node.word_.publish().waiter) {
      node.was_asleep_ = true;  // It sleeps on until the caller wakes it.
      waiter->set_reason(WakeReason::kReady);
      out.push_back(*waiter);
    }
  }

  // False: the node has been given something, which is the caller's now.
  [[nodiscard]] bool remove(Node& node) noexcept {
    if (!node.is_linked()) return false;
    nodes_.remove(node);
    return true;
  }

 private:
  LinkedList<Node> nodes_;
};

}  // namespace rearm::detail
