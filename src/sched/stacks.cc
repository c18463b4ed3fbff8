#include "sched/stacks.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <new>

namespace rearm::detail {

Stacks::~Stacks() {
  for (const auto& other : others_) delete other.load(kRelaxed);
}

StackPool* Stacks::of_size(std::size_t bytes) {
  const std::size_t page = StackPool::system_page_bytes();
  bytes = (std::max(bytes, StackPool::kMinStackBytes) + page - 1) / page * page;
  if (bytes == usual_.stack_bytes()) return &usual_;
  bytes = std::bit_ceil(bytes);
  Atomic<StackPool*>& place = others_[static_cast<std::size_t>(std::countr_zero(bytes))];
  StackPool* pool = place.load(kAcquire);
  if (pool != nullptr) return pool;
  std::unique_ptr<StackPool> made(new (std::nothrow) StackPool(bytes, guard_bytes_));
  if (made == nullptr) return nullptr;
  // Another thread may have been faster; then that one's it is.
  if (place.compare_exchange_strong(pool, made.get(), kAcqRel, kAcquire)) pool = made.release();
  has_others_.store(true, kRelaxed);
  return pool;
}

std::size_t Stacks::taken() const {
  std::size_t taken = usual_.taken();
  for (const auto& other : others_) {
    if (const StackPool* const pool = other.load(kAcquire)) taken += pool->taken();
  }
  return taken;
}

bool Stacks::others_have_warm() const noexcept {
  return std::ranges::any_of(others_, [](const auto& other) {
    const StackPool* const pool = other.load(kAcquire);
    return pool != nullptr && pool->warm() != 0;
  });
}

void Stacks::end_period() {
  usual_.end_period();
  for (const auto& other : others_) {
    if (StackPool* const pool = other.load(kAcquire)) pool->end_period();
  }
}

bool Stacks::trim_surplus() {
  if (usual_.trim_surplus()) return true;
  return std::ranges::any_of(others_, [](const auto& other) {
    StackPool* const pool = other.load(kAcquire);
    return pool != nullptr && pool->trim_surplus();
  });
}

void Stacks::trim() {
  usual_.trim();
  for (const auto& other : others_) {
    if (StackPool* const pool = other.load(kAcquire)) pool->trim();
  }
}

}  // namespace rearm::detail
