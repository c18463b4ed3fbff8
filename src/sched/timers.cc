#include "sched/timers.h"

#include "base/check.h"

namespace rearm::detail {

void Timers::start(Timer& timer, std::int64_t when_ns) {
  MutexLock lock(mu_);
  REARM_DCHECK(!timer.started_, "a timer was started twice");
  timer.when_ns_ = when_ns;
  timer.started_ = true;
  root_ = meld(root_, &timer);
  publish_earliest();
}

void Timers::stop(Timer& timer) {
  MutexLock lock(mu_);
  if (!timer.started_) return;
  remove(timer);
  publish_earliest();
}

void Timers::expire(std::int64_t now_ns, WakeReason reason, WaiterList& out) {
  if (earliest_ns() > now_ns) return;
  MutexLock lock(mu_);
  while (root_ != nullptr && root_->when_ns_ <= now_ns) {
    Timer& timer = *root_;
    remove(timer);
    if (Waiter* const waiter = timer.word_->withdraw()) {
      waiter->set_reason(reason);
      out.push_back(*waiter);
    }
  }
  publish_earliest();
}

void Timers::publish_earliest() {
  const std::int64_t earliest = root_ == nullptr ? kNever : root_->when_ns_;
  if (earliest_ns_.load(kRelaxed) != earliest) earliest_ns_.store(earliest, kSeqCst);
}

// The later of two roots becomes the first child of the earlier one.
Timer* Timers::meld(Timer* a, Timer* b) noexcept {
  if (a == nullptr) return b;
  if (b == nullptr) return a;
  if (b->when_ns_ < a->when_ns_) std::swap(a, b);
  b->sibling_ = a->child_;
  if (b->sibling_ != nullptr) b->sibling_->previous_ = b;
  b->previous_ = a;
  a->child_ = b;
  return a;
}

// Two passes: meld siblings in pairs from the left, then the pairs into one from the right.
Timer* Timers::meld_children(Timer* first) noexcept {
  Timer* pairs = nullptr;  // A stack linked by sibling_.
  while (first != nullptr) {
    Timer* const a = first;
    Timer* const b = a->sibling_;
    first = b == nullptr ? nullptr : b->sibling_;
    a->sibling_ = a->previous_ = nullptr;
    if (b != nullptr) b->sibling_ = b->previous_ = nullptr;
    Timer* const pair = meld(a, b);
    pair->sibling_ = pairs;
    pairs = pair;
  }
  Timer* root = nullptr;
  while (pairs != nullptr) {
    Timer* const pair = pairs;
    pairs = pair->sibling_;
    pair->sibling_ = nullptr;
    root = meld(root, pair);
  }
  return root;
}

void Timers::remove(Timer& timer) {
  Timer* const children = meld_children(timer.child_);
  timer.child_ = nullptr;
  timer.started_ = false;
  if (root_ == &timer) {
    root_ = children;
    return;
  }
  if (timer.previous_->child_ == &timer) {
    timer.previous_->child_ = timer.sibling_;
  } else {
    timer.previous_->sibling_ = timer.sibling_;
  }
  if (timer.sibling_ != nullptr) timer.sibling_->previous_ = timer.previous_;
  timer.sibling_ = timer.previous_ = nullptr;
  root_ = meld(root_, children);
}

}  // namespace rearm::detail
