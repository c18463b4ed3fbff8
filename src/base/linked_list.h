// LinkedList: what stands in a queue and may leave it from the middle, linked through itself.
//
// Owns nothing and allocates nothing. A link is in one list at most, and must stay where it is
// while it is in it. Not thread-safe: the owner's lock guards it.
#pragma once

#include "base/check.h"

namespace rearm::detail {

template <class T>
class LinkedList {
 public:
  // To be derived from.
  class Link {
   public:
    Link() noexcept = default;
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    [[nodiscard]] bool is_linked() const noexcept { return is_linked_; }

   protected:
    ~Link() { REARM_DCHECK(!is_linked_, "what still stands in a queue was destroyed"); }

   private:
    friend class LinkedList;
    T* next_ = nullptr;
    T* previous_ = nullptr;
    bool is_linked_ = false;
  };

  LinkedList() noexcept = default;
  LinkedList(const LinkedList&) = delete;
  LinkedList& operator=(const LinkedList&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] T* first() const noexcept { return first_; }
  [[nodiscard]] static T* after(const T& item) noexcept { return link(item).next_; }

  void push_back(T& item) noexcept {
    REARM_DCHECK(!item.is_linked(), "something was put into a queue twice");
    link(item).previous_ = last_;
    link(item).next_ = nullptr;
    (last_ == nullptr ? first_ : link(*last_).next_) = &item;
    last_ = &item;
    link(item).is_linked_ = true;
  }

  void push_front(T& item) noexcept {
    REARM_DCHECK(!item.is_linked(), "something was put into a queue twice");
    link(item).previous_ = nullptr;
    link(item).next_ = first_;
    (first_ == nullptr ? last_ : link(*first_).previous_) = &item;
    first_ = &item;
    link(item).is_linked_ = true;
  }

  // REQUIRES: the item is in this list.
  void remove(T& item) noexcept {
    REARM_DCHECK(item.is_linked(), "what stands in no queue was taken out of one");
    Link& self = link(item);
    (self.previous_ == nullptr ? first_ : link(*self.previous_).next_) = self.next_;
    (self.next_ == nullptr ? last_ : link(*self.next_).previous_) = self.previous_;
    self.is_linked_ = false;
  }

 private:
  static Link& link(T& item) noexcept { return item; }
  static const Link& link(const T& item) noexcept { return item; }

  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace rearm::detail
