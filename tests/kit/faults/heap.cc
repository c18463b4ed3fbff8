#include "faults/heap.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "faults/syscalls.h"

namespace rearm::test::faults {
namespace {

constinit std::atomic<bool> is_short{false};
constinit std::atomic<std::uint64_t> first_failure{0};
constinit std::atomic<bool> goes_on{false};
constinit std::atomic<std::uint64_t> allocated{0};
constinit std::atomic<std::uint64_t> failed{0};
constinit std::atomic<std::int64_t> held{0};

// Whether the allocation that is about to be made fails.
bool fails() {
  const std::uint64_t n = ++allocated;
  const std::uint64_t first = first_failure.load();
  if (first == 0 || n < first || (n > first && !goes_on.load())) return false;
  ++failed;
  return true;
}

// The room for a mark before the block, which keeps the block aligned.
constexpr std::size_t room_before(std::size_t alignment) {
  return std::max(alignment, alignof(std::max_align_t));
}

// Not inlined, or the compiler would see through the two and warn of them.
[[gnu::noinline]] void* take(std::size_t bytes, std::size_t alignment) noexcept {
  const bool is_counted = is_short.load() && !is_let_alone();
  if (is_counted && fails()) return nullptr;
  const std::size_t unit = room_before(alignment);
  const std::size_t units = bytes / unit + (bytes % unit != 0 ? 2 : 1);
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(unit, units * unit));
  if (memory == nullptr) return nullptr;
  std::byte* const block = memory + unit;
  block[-1] = std::byte{is_counted};
  if (is_counted) ++held;
  return block;
}

[[gnu::noinline]] void give_back(void* address, std::size_t alignment) noexcept {
  if (address == nullptr) return;
  auto* const block = static_cast<std::byte*>(address);
  if (block[-1] != std::byte{0}) --held;
  std::free(block - room_before(alignment));
}

void* take_or_throw(std::size_t bytes, std::size_t alignment) {
  if (void* const block = take(bytes, alignment)) return block;
  throw std::bad_alloc();
}

}  // namespace

Shortage::Shortage(std::uint64_t n, Lasting lasting) {
  first_failure.store(n);
  goes_on.store(lasting == Lasting::kFromThenOn);
  allocated.store(0);
  failed.store(0);
  is_short.store(true);
}

Shortage::~Shortage() { is_short.store(false); }

std::uint64_t Shortage::allocations() { return allocated.load(); }
std::uint64_t Shortage::failures() { return failed.load(); }

Relief::Relief() : was_short_(is_short.exchange(false)) {}
Relief::~Relief() { is_short.store(was_short_); }

std::int64_t blocks_held() { return held.load(); }

}  // namespace rearm::test::faults

using rearm::test::faults::give_back;
using rearm::test::faults::take;
using rearm::test::faults::take_or_throw;

namespace {
constexpr std::size_t kUsual = alignof(std::max_align_t);
std::size_t number(std::align_val_t alignment) { return static_cast<std::size_t>(alignment); }
}  // namespace

// All of them: a sanitizer's or a C++ library's own would go around these.
void* operator new(std::size_t bytes) { return take_or_throw(bytes, kUsual); }
void* operator new[](std::size_t bytes) { return take_or_throw(bytes, kUsual); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return take(bytes, kUsual);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return take(bytes, kUsual);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return take_or_throw(bytes, number(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return take_or_throw(bytes, number(alignment));
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return take(bytes, number(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
  return take(bytes, number(alignment));
}
void operator delete(void* address) noexcept { give_back(address, kUsual); }
void operator delete[](void* address) noexcept { give_back(address, kUsual); }
void operator delete(void* address, std::size_t) noexcept { give_back(address, kUsual); }
void operator delete[](void* address, std::size_t) noexcept { give_back(address, kUsual); }
void operator delete(void* address, const std::nothrow_t&) noexcept { give_back(address, kUsual); }
void operator delete[](void* address, const std::nothrow_t&) noexcept {
  give_back(address, kUsual);
}
void operator delete(void* address, std::align_val_t alignment) noexcept {
  give_back(address, number(alignment));
}
void operator delete[](void* address, std::align_val_t alignment) noexcept {
  give_back(address, number(alignment));
}
void operator delete(void* address, std::size_t, std::align_val_t alignment) noexcept {
  give_back(address, number(alignment));
}
void operator delete[](void* address, std::size_t, std::align_val_t alignment) noexcept {
  give_back(address, number(alignment));
}
void operator delete(void* address, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  give_back(address, number(alignment));
}
void operator delete[](void* address, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  give_back(address, number(alignment));
}
