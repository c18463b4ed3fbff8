#include "sched/stack.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"

namespace rearm::detail {
namespace {

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

void delete_all(StackSlabList& slabs) {
  while (StackSlab* const slab = slabs.front()) {
    StackSlabList::remove(*slab);
    delete slab;
  }
}

}  // namespace

std::size_t StackPool::system_page_bytes() noexcept {
  return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

StackPool::StackPool(std::size_t stack_bytes, std::size_t guard_bytes, std::size_t page_bytes)
    : shape_{.stack_bytes = round_up(std::max(stack_bytes, kMinStackBytes), page_bytes),
             .guard_bytes = round_up(std::max(guard_bytes, kMinGuardBytes), page_bytes),
             .page_bytes = page_bytes} {}

StackPool::~StackPool() {
  REARM_CHECK(taken_ == 0, "a runtime was destroyed while fibers still have their stacks");
  for (StackSlabList* const slabs : {&warm_, &cold_, &full_, &vacated_, &lost_}) {
    delete_all(*slabs);
  }
}

// --- Taking. ---

Stack* StackPool::take() {
  for (;;) {
    StackSlab* slab = nullptr;
    unsigned index = 0;
    {
      MutexLock lock(mu_);
      Stack* const stack = take_warm();
      slab = cold_.front();
      if (stack != nullptr || slab != nullptr) most_taken_ = std::max(most_taken_, ++taken_);
      if (stack != nullptr) return stack;
      if (slab != nullptr) {
        index = slab->take_cold();
        place(*slab);
      }
    }
    if (slab == nullptr) {
      if (!add_slab()) return nullptr;
      continue;
    }
    if (Stack* const stack = slab->prepare(index)) return stack;
    MutexLock lock(mu_);
    slab->give_cold(std::uint32_t{1} << index);
    place(*slab);
    --taken_;
    return nullptr;
  }
}

Stack* StackPool::take_warm() {
  StackSlab* const slab = warm_.front();
  if (slab == nullptr) return nullptr;
  Stack* const stack = slab->take_warm();
  warm_count_.store(warm_count_.load(kRelaxed) - 1, kRelaxed);
  if (!slab->has_warm()) place(*slab);
  return stack;
}

bool StackPool::add_slab() {
  if (reopen_slab()) return true;
  unsigned ordinal = 0;
  {
    MutexLock lock(mu_);
    ordinal = slabs_made_++;
  }
  for (const unsigned stacks : {shape_.stacks_per_slab(), 1U}) {
    std::unique_ptr<StackSlab> slab(new (std::nothrow) StackSlab(*this, shape_, stacks, ordinal));
    if (slab == nullptr) return false;
    if (!slab->map()) continue;
    MutexLock lock(mu_);
    ++slabs_open_;
    place(*slab.release());
    return true;
  }
  return false;
}

bool StackPool::reopen_slab() {
  StackSlab* slab = nullptr;
  {
    MutexLock lock(mu_);
    slab = vacated_.front();
    if (slab == nullptr) return false;
    StackSlabList::remove(*slab);
  }
  const bool is_open = slab->open_again();
  MutexLock lock(mu_);
  if (is_open) {
    ++slabs_open_;
    slab->give_all_cold();
    place(*slab);
  } else {
    vacated_.push_front(*slab);
  }
  return is_open;
}

// Into the list where a slab belongs, after its stacks have changed.
void StackPool::place(StackSlab& slab) {
  const bool is_free = slab.is_free();
  StackSlabList& list = slab.has_warm() ? warm_ : slab.has_cold() ? cold_ : full_;
  if (list.has(slab) && !is_free) return;
  StackSlabList::remove(slab);
  is_free ? list.push_back(slab) : list.push_front(slab);
}

// --- Giving back. ---

void StackPool::give_back(Stack* list, std::size_t count) {
  if (list == nullptr) return;
  MutexLock lock(mu_);
  while (list != nullptr) {
    Stack& stack = *std::exchange(list, list->next_free);
    stack.slab->give_warm(stack);
    place(*stack.slab);
  }
  taken_ -= count;
  warm_count_.store(warm_count_.load(kRelaxed) + count, kRelaxed);
}

std::size_t StackPool::taken() const {
  MutexLock lock(mu_);
  return taken_;
}

void StackPool::end_period() {
  MutexLock lock(mu_);
  mark_ = std::max(most_taken_, mark_ / 2);
  most_taken_ = taken_;
}

bool StackPool::trim_surplus() {
  std::size_t surplus = 0;
  {
    MutexLock lock(mu_);
    const std::size_t all = taken_ + warm_count_.load(kRelaxed);
    surplus = all - std::min(all, std::max(mark_, most_taken_));
  }
  return surplus != 0 && trim_slab(surplus) != 0;
}

void StackPool::trim() {
  while (trim_slab(std::numeric_limits<std::size_t>::max()) != 0) {
  }
}

// The slab that is the least in use. The last one that is open is not vacated, so that a small
// runtime which works now and then does not map it each time. Returns how many stacks.
std::size_t StackPool::trim_slab(std::size_t at_most) {
  StackSlab* slab = nullptr;
  Stack* stacks = nullptr;
  unsigned count = 0;
  bool vacates = false;
  {
    MutexLock lock(mu_);
    slab = warm_.back();
    if (slab == nullptr) return 0;
    vacates = slab->is_free() && slab->warm_count() <= at_most && slabs_open_ > 1;
    count = static_cast<unsigned>(std::min<std::size_t>(at_most, slab->warm_count()));
    stacks = slab->take_oldest(count);
    warm_count_.store(warm_count_.load(kRelaxed) - count, kRelaxed);
    if (vacates) {
      StackSlabList::remove(*slab);
      --slabs_open_;
    } else {
      place(*slab);
    }
  }
  if (vacates) {
    const bool is_vacated = slab->vacate();
    MutexLock lock(mu_);
    (is_vacated ? vacated_ : lost_).push_front(*slab);
  } else {
    const std::uint32_t indices = slab->clean(stacks);
    MutexLock lock(mu_);
    slab->give_cold(indices);
    place(*slab);
  }
  return count;
}

// --- The cache of a processor. ---

void StackCache::flush() {
  pool_.give_back(std::exchange(free_, nullptr), std::exchange(count_, 0));
}

void StackCache::shrink() {
  if (count_ > kFew) keep(std::max(kFew, count_ / 2));
}

// The oldest go: the most recently used stacks are in the processor's cache.
void StackCache::keep(std::size_t most) {
  Stack* newest = free_;
  for (std::size_t i = 1; i < most; ++i) newest = newest->next_free;
  Stack* const list = std::exchange(newest->next_free, nullptr);
  const std::size_t count = std::exchange(count_, most) - most;
  pool_.give_back(list, count);
}

// Release: pairs with reclaim().
void StackCache::lend() noexcept {
  if (count_ <= kFew) return;
  lent_.store(std::exchange(free_, nullptr), kRelease);
}

void StackCache::take_back() noexcept {
  if (count_ == 0 || free_ != nullptr) return;  // Nothing is lent.
  free_ = lent_.exchange(nullptr, kAcquire);
  if (free_ == nullptr) count_ = 0;
}

void StackCache::reclaim() {
  Stack* const list = lent_.exchange(nullptr, kAcqRel);
  std::size_t count = 0;
  for (const Stack* stack = list; stack != nullptr; stack = stack->next_free) ++count;
  pool_.give_back(list, count);
}

}  // namespace rearm::detail
