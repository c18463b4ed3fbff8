// TurnQueue: who waits until they may wait for one direction of a descriptor, first come first
// served.
//
// What this is. A direction's word holds one waiter. Where the kernel makes each call whole
// (accept, datagrams), several operations may want to wait: one has the turn, which is the
// direction's bit in the lifetime word, the others stand in line here, each with a wait word of its
// own.
//
// How it works. The one that leaves its turn sees in the lifetime word that others stand in line
// (Lifetime::kInLine, set and cleared under the lock), and publishes into the word of the first
// one. That one tries to enter; it stays in line until it has entered or given up, so that whoever
// is faster costs it no place. One that gives up publishes to the next: it may have been told in
// vain.
//
// Who stands aside. An operation that cannot be told by a report when to try again looks again
// after a pause (net/retry.h). It is here for the length of the pause, so that a close, a new
// deadline and a stop end that like any wait; it waits for no turn, is never called, and keeps
// nothing waiting.
//
// Who may call. Under the descriptor's lock. Nodes are taken out by their owners alone, so one that
// is in line is there.
#pragma once

#include "base/wait_word.h"
#include "rearm/poller.h"
#include "rearm/waiter.h"

namespace rearm::detail {

struct TurnNode {
  enum class Place : bool { kInLine, kAside };

  TurnNode(WaitWord& own_word, Direction of, Place where = Place::kInLine) noexcept
      : word(own_word), direction(of), place(where) {}

  [[nodiscard]] bool waits_for(Direction turn) const noexcept {
    return place == Place::kInLine && direction == turn;
  }

  WaitWord& word;
  const Direction direction;
  const Place place;
  TurnNode* next = this;
  TurnNode* previous = this;
};

// A ring; the queue is the pointer to its first node.
class TurnQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  void push_back(TurnNode& node) noexcept {
    if (first_ == nullptr) {
      first_ = &node;
      return;
    }
    node.next = first_;
    node.previous = first_->previous;
    node.previous->next = &node;
    first_->previous = &node;
  }

  void take_out(TurnNode& node) noexcept {
    if (first_ == &node) first_ = node.next == &node ? nullptr : node.next;
    node.previous->next = node.next;
    node.next->previous = node.previous;
    node.next = node.previous = &node;
  }

  // nullptr if nothing waits for its turn in this direction.
  [[nodiscard]] TurnNode* first(Direction direction) const noexcept {
    TurnNode* node = first_;
    if (node == nullptr) return nullptr;
    do {
      if (node->waits_for(direction)) return node;
      node = node->next;
    } while (node != first_);
    return nullptr;
  }

  template <class Visit>
  void for_each(Visit&& visit) const {
    TurnNode* node = first_;
    if (node == nullptr) return;
    do {
      visit(*node);
      node = node->next;
    } while (node != first_);
  }

 private:
  TurnNode* first_;  // Without an initializer, so that it may share its place: begin with {}.
};

}  // namespace rearm::detail
