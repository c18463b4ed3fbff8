#include "sched/stack_slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>

#include "base/atomic.h"
#include "base/errno.h"

// Linux 6.13; glibc 2.36 does not name it yet.
#if defined(__linux__) && !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102
#endif

namespace rearm::detail {
namespace {

constexpr std::size_t kMostSlabBytes = std::size_t{64} << 20;

// All within the first page, with room left for a fiber of ordinary depth.
constexpr unsigned kColours = 16;
constexpr std::size_t kColourStep = 64;

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

constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | kReserveNothing | kForStacks;

// Maps fresh pages, at `address` in place of what is there unless it is null. Null on failure.
std::byte* map_pages(std::byte* address, std::size_t bytes, int protection) noexcept {
  const int flags = address == nullptr ? kFlags : kFlags | MAP_FIXED;
  void* const mapped = ::mmap(address, bytes, protection, flags, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
#if defined(MADV_NOHUGEPAGE)
  // A huge page would make the first touch of one stack pay for all of its neighbours.
  if (protection != PROT_READ) ::madvise(mapped, bytes, MADV_NOHUGEPAGE);
#endif
  return static_cast<std::byte*>(mapped);
}

// Says that the contents of pages are not needed, so that the system may have them back. Linux does
// so at once by a name by which the others only mean that they are not needed soon.
void forget(std::byte* address, std::size_t bytes) noexcept {
#if defined(__linux__)
  ::madvise(address, bytes, MADV_DONTNEED);
#elif defined(__sun)
  // Its headers hide madvise() from every C++ compiler, which defines _XOPEN_SOURCE there.
  (void)map_pages(address, bytes, PROT_READ | PROT_WRITE);
#else
  ::madvise(address, bytes, MADV_FREE);
#endif
}

bool install_guard(std::byte* address, std::size_t bytes) noexcept {
#if defined(MADV_GUARD_INSTALL)
  static Atomic<bool> has_guard_install{true};
  if (has_guard_install.load(kRelaxed)) {
    const int result = system_call([&] { return ::madvise(address, bytes, MADV_GUARD_INSTALL); });
    if (result != -EINVAL) return result == 0;
    has_guard_install.store(false, kRelaxed);
  }
#endif
  return ::mprotect(address, bytes, PROT_NONE) == 0;
}

}  // namespace

unsigned StackShape::stacks_per_slab() const noexcept {
  return static_cast<unsigned>(
      std::clamp<std::size_t>(kMostSlabBytes / unit(), 1, StackSlab::kMostStacks));
}

StackSlab::~StackSlab() {
  if (address_ != nullptr) ::munmap(address_, bytes());
}

// --- Under the pool's lock. ---

bool StackSlab::is_free() const noexcept {
  return warm_count_ + static_cast<unsigned>(std::popcount(cold_)) == stacks_;
}

Stack* StackSlab::take_warm() noexcept {
  Stack* const stack = warm_;
  warm_ = stack->next_free;
  --warm_count_;
  return stack;
}

void StackSlab::give_warm(Stack& stack) noexcept {
  stack.next_free = warm_;
  warm_ = &stack;
  ++warm_count_;
}

Stack* StackSlab::take_oldest(unsigned count) noexcept {
  Stack** link = &warm_;
  for (unsigned kept = warm_count_ - count; kept > 0; --kept) link = &(*link)->next_free;
  Stack* const oldest = *link;
  *link = nullptr;
  warm_count_ -= count;
  return oldest;
}

unsigned StackSlab::take_cold() noexcept {
  const auto index = static_cast<unsigned>(std::countr_zero(cold_));
  cold_ &= cold_ - 1;
  return index;
}

void StackSlab::give_all_cold() noexcept {
  warm_ = nullptr;
  warm_count_ = 0;
  cold_ = all();
}

// --- Without it. ---

bool StackSlab::map() noexcept {
  address_ = map_pages(nullptr, bytes(), PROT_READ | PROT_WRITE);
  cold_ = all();
  return address_ != nullptr;
}

// The Stack itself lies in the topmost bytes of its memory, which the fiber touches anyway.
Stack* StackSlab::prepare(unsigned index) noexcept {
  std::byte* const guard = address_ + index * shape_.unit();
  if (!guarded_[index]) {
    if (!install_guard(guard, shape_.guard_bytes)) return nullptr;
    guarded_[index] = true;
  }
  std::byte* const base = guard + shape_.guard_bytes;
  std::byte* const top = base + shape_.stack_bytes - (index + ordinal_) % kColours * kColourStep;
  static_assert(sizeof(Stack) <= kColourStep);
  std::byte* const place = top - kColourStep;
  auto* const stack = new (place) Stack;
  stack->base = base;
  stack->bytes = static_cast<std::size_t>(place - base);
  stack->pool = &pool_;
  stack->slab = this;
  return stack;
}

std::uint32_t StackSlab::clean(Stack* list) noexcept {
  std::uint32_t indices = 0;
  while (list != nullptr) {
    std::byte* const base = list->base;
    list = list->next_free;
    indices |= std::uint32_t{1} << (static_cast<std::size_t>(base - address_) / shape_.unit());
    forget(base, shape_.stack_bytes);
  }
  return indices;
}

bool StackSlab::vacate() noexcept {
  guarded_.fill(false);
  // Fresh pages in place of the old ones: the system takes back memory, page tables and guards.
  return map_pages(address_, bytes(), PROT_READ) != nullptr;
}

bool StackSlab::open_again() noexcept {
  return map_pages(address_, bytes(), PROT_READ | PROT_WRITE) != nullptr;
}

// --- Lists. ---

void StackSlabList::push_front(StackSlab& slab) noexcept {
  slab.list_ = this;
  slab.previous_ = nullptr;
  slab.next_ = front_;
  (front_ == nullptr ? back_ : front_->previous_) = &slab;
  front_ = &slab;
}

void StackSlabList::push_back(StackSlab& slab) noexcept {
  slab.list_ = this;
  slab.next_ = nullptr;
  slab.previous_ = back_;
  (back_ == nullptr ? front_ : back_->next_) = &slab;
  back_ = &slab;
}

void StackSlabList::remove(StackSlab& slab) noexcept {
  if (slab.list_ == nullptr) return;
  StackSlabList& list = *slab.list_;
  (slab.previous_ == nullptr ? list.front_ : slab.previous_->next_) = slab.next_;
  (slab.next_ == nullptr ? list.back_ : slab.next_->previous_) = slab.previous_;
  slab.list_ = nullptr;
}

}  // namespace rearm::detail
