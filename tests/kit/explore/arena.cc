#include "explore/arena.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <span>

namespace rearm::explore {
namespace {

constexpr std::size_t kBytes = 1024 * 1024;

alignas(4096) std::byte memory[kBytes];
std::size_t used_bytes = 0;
bool in_use = false;

struct Saved {
  std::byte bytes[kBytes];
  std::size_t used = 0;
};
Saved saved[2];

constexpr std::size_t kMaxOutside = 8;
constexpr std::size_t kMaxOutsideBytes = 256;
struct Outside {
  void* address = nullptr;
  std::size_t bytes = 0;
  std::byte saved[kMaxOutsideBytes];
};
Outside outside[kMaxOutside];
std::size_t outside_count = 0;

bool is_ours(const void* address) {
  const auto* const byte = static_cast<const std::byte*>(address);
  return byte >= memory && byte < memory + kBytes;
}

void* take(std::size_t bytes, std::size_t alignment) {
  if (!in_use) {
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    return alignment <= alignof(std::max_align_t) ? std::malloc(bytes == 0 ? 1 : bytes)
                                                  : std::aligned_alloc(alignment, rounded);
  }
  used_bytes = (used_bytes + alignment - 1) / alignment * alignment;
  void* const address = memory + used_bytes;
  used_bytes += bytes;
  if (used_bytes > kBytes) std::abort();
  return address;
}

void give_back(void* address) {
  if (!is_ours(address)) std::free(address);
}

}  // namespace

void Arena::enter() noexcept { in_use = true; }
void Arena::leave() noexcept { in_use = false; }

void Arena::save(Copy copy) {
  Saved& to = saved[static_cast<std::size_t>(copy)];
  to.used = used_bytes;
  std::memcpy(to.bytes, memory, used_bytes);
  for (Outside& one : std::span(outside).first(outside_count)) {
    std::memcpy(one.saved, one.address, one.bytes);
  }
}

void Arena::restore(Copy copy) noexcept {
  const Saved& from = saved[static_cast<std::size_t>(copy)];
  used_bytes = from.used;
  std::memcpy(memory, from.bytes, used_bytes);
  if (copy == Copy::kGround) {
    outside_count = 0;
    return;
  }
  for (const Outside& one : std::span(outside).first(outside_count)) {
    std::memcpy(one.address, one.saved, one.bytes);
  }
}

void Arena::include(void* address, std::size_t bytes) {
  if (outside_count == kMaxOutside || bytes > kMaxOutsideBytes) std::abort();
  Outside& one = outside[outside_count++];
  one.address = address;
  one.bytes = bytes;
}

}  // namespace rearm::explore

using rearm::explore::give_back;
using rearm::explore::take;

void* operator new(std::size_t bytes) { return take(bytes, alignof(std::max_align_t)); }
void* operator new[](std::size_t bytes) { return take(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return take(bytes, alignof(std::max_align_t));
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return take(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return take(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return take(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
  return take(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* address) noexcept { give_back(address); }
void operator delete[](void* address) noexcept { give_back(address); }
void operator delete(void* address, std::size_t) noexcept { give_back(address); }
void operator delete[](void* address, std::size_t) noexcept { give_back(address); }
void operator delete(void* address, std::align_val_t) noexcept { give_back(address); }
void operator delete[](void* address, std::align_val_t) noexcept { give_back(address); }
void operator delete(void* address, std::size_t, std::align_val_t) noexcept { give_back(address); }
void operator delete[](void* address, std::size_t, std::align_val_t) noexcept {
  give_back(address);
}
