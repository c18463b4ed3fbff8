#include "sched/stack.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "base/atomic.h"
#include "base/check.h"

// Linux 6.13; glibc 2.36 does not name it yet.
#if defined(__linux__) && !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102
#endif

namespace rearm::detail {
namespace {

// Pages that are never touched need no swap behind them.
#if defined(MAP_NORESERVE)
constexpr int kReserveNothing = MAP_NORESERVE;
#else
constexpr int kReserveNothing = 0;
#endif

// OpenBSD runs on no other pages. FreeBSD means something else by the name, a region that grows
// down from its top (mmap(2) of each).
#if defined(MAP_STACK) && !defined(__FreeBSD__)
constexpr int kForStacks = MAP_STACK;
#else
constexpr int kForStacks = 0;
#endif

// Says that the contents of pages are not needed, so that the system may have them back. Linux does
// so at once by another name, by which the others only mean that they are not needed soon.
void forget(std::byte* address, std::size_t bytes) noexcept {
#if defined(__linux__)
  ::madvise(address, bytes, MADV_DONTNEED);
#elif defined(__sun)
  // Its headers hide madvise() from C++ compilers. Fresh pages take the place of the old ones.
  (void)::mmap(address, bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | kReserveNothing, -1, 0);
#else
  ::madvise(address, bytes, MADV_FREE);
#endif
}

constexpr std::size_t kStacksPerMapping = 64;

// All within the first page, with room left for a fiber of ordinary depth.
constexpr std::size_t kColours = 16;
constexpr std::size_t kColourStep = 64;

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

bool install_guard(std::byte* address, std::size_t bytes) noexcept {
#if defined(MADV_GUARD_INSTALL)
  static Atomic<bool> has_guard_install{true};
  if (has_guard_install.load(kRelaxed)) {
    if (::madvise(address, bytes, MADV_GUARD_INSTALL) == 0) return true;
    if (errno != EINVAL) return false;
    has_guard_install.store(false, kRelaxed);
  }
#endif
  return ::mprotect(address, bytes, PROT_NONE) == 0;
}

}  // namespace

std::size_t StackPool::system_page_bytes() noexcept {
  return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

StackPool::StackPool(std::size_t stack_bytes, std::size_t page_bytes)
    : page_bytes_(page_bytes),
      guard_bytes_(round_up(kMinGuardBytes, page_bytes_)),
      stack_bytes_(round_up(std::max(stack_bytes, kMinStackBytes), page_bytes_)) {}

StackPool::~StackPool() {
  REARM_CHECK(taken_ == 0, "a runtime was destroyed while fibers still have their stacks");
  for (const Mapping& mapping : mappings_) ::munmap(mapping.address, mapping.bytes);
}

Stack* StackPool::take() {
  MutexLock lock(mu_);
  Stack* stack = free_;
  if (stack != nullptr) {
    free_ = stack->next_free;
  } else {
    if (fresh_ == fresh_end_ && !map_more()) return nullptr;
    if (!install_guard(fresh_, guard_bytes_)) return nullptr;
    stack = carve(fresh_ + guard_bytes_, colour_);
    fresh_ += guard_bytes_ + stack_bytes_;
    colour_ = (colour_ + 1) % kColours;
  }
  ++taken_;
  return stack;
}

bool StackPool::map_more() {
  const std::size_t unit = guard_bytes_ + stack_bytes_;
  for (const std::size_t stacks : {kStacksPerMapping, std::size_t{1}}) {
    const std::size_t bytes = unit * stacks;
    void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | kReserveNothing | kForStacks, -1, 0);
    if (address == MAP_FAILED) continue;
#if defined(MADV_NOHUGEPAGE)
    // A huge page would make the first touch of one stack pay for all of its neighbours.
    ::madvise(address, bytes, MADV_NOHUGEPAGE);
#endif
    try {
      mappings_.push_back({address, bytes});
    } catch (const std::bad_alloc&) {
      ::munmap(address, bytes);
      return false;
    }
    fresh_ = static_cast<std::byte*>(address);
    fresh_end_ = fresh_ + bytes;
    return true;
  }
  return false;
}

// The Stack itself lives in the topmost bytes of its memory, which the fiber touches anyway.
Stack* StackPool::carve(std::byte* address, std::size_t colour) const noexcept {
  std::byte* const top = address + stack_bytes_ - colour * kColourStep;
  std::byte* const place = top - round_up(sizeof(Stack), kColourStep);
  auto* const stack = new (place) Stack;
  stack->base = address;
  stack->bytes = static_cast<std::size_t>(place - address);
  return stack;
}

void StackPool::give_back(Stack* list, std::size_t count) {
  if (list == nullptr) return;
  Stack* last = list;
  for (Stack* stack = list; stack != nullptr; stack = stack->next_free) {
    last = stack;
    // The first page stays: it holds the Stack, and every fiber needs it.
    std::byte* const keep = reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(stack) /
                                                         page_bytes_ * page_bytes_);
    forget(stack->base, static_cast<std::size_t>(keep - stack->base));
  }
  MutexLock lock(mu_);
  last->next_free = free_;
  free_ = list;
  taken_ -= count;
}

std::size_t StackPool::taken() const {
  MutexLock lock(mu_);
  return taken_;
}

void StackCache::flush() {
  pool_.give_back(free_, count_);
  free_ = nullptr;
  count_ = 0;
}

void StackCache::flush_half() {
  // The oldest half goes: the most recently used stacks are in the processor's cache.
  Stack* newest = free_;
  for (std::size_t i = 1; i < kCapacity / 2; ++i) newest = newest->next_free;
  Stack* const list = newest->next_free;
  newest->next_free = nullptr;
  const std::size_t count = count_ - kCapacity / 2;
  count_ = kCapacity / 2;
  pool_.give_back(list, count);
}

}  // namespace rearm::detail
