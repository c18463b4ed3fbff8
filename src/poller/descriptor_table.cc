#include "poller/descriptor_table.h"

#include <pthread.h>

#include <cerrno>
#include <memory>
#include <new>

namespace rearm::detail {

DescriptorTable& DescriptorTable::instance() {
  // Never destroyed: a static Fd may be closed after main() has returned.
  static DescriptorTable* const table = [] {
    auto made = std::make_unique<DescriptorTable>();
    made->count_forks();
    return made.release();
  }();
  return *table;
}

void DescriptorTable::count_forks() REARM_NO_THREAD_SAFETY_ANALYSIS {
  const auto before = []() REARM_NO_THREAD_SAFETY_ANALYSIS { instance().mu_.lock(); };
  const auto in_parent = []() REARM_NO_THREAD_SAFETY_ANALYSIS { instance().mu_.unlock(); };
  const auto in_child = []() REARM_NO_THREAD_SAFETY_ANALYSIS {
    ++forks_;
    instance().mu_.unlock();
  };
  if (::pthread_atfork(before, in_parent, in_child) != 0) throw std::bad_alloc();
}

Result<Descriptor*> DescriptorTable::allocate(int fd) {
  MutexLock lock(mu_);
  switch (numbers_.insert(fd)) {
    case NumberSet::Inserted::kYes: break;
    case NumberSet::Inserted::kWasThere:
      return std::unexpected(std::error_code(EEXIST, std::system_category()));
    case NumberSet::Inserted::kNoMemory:
      return std::unexpected(std::make_error_code(std::errc::not_enough_memory));
  }
  Descriptor* const descriptor = free_ != nullptr ? free_ : construct();
  if (descriptor == nullptr) {
    numbers_.erase(fd);
    return std::unexpected(std::make_error_code(std::errc::not_enough_memory));
  }
  if (descriptor == free_) free_ = descriptor->next_free;
  return descriptor;
}

void DescriptorTable::free(Descriptor& descriptor, int fd) {
  MutexLock lock(mu_);
  numbers_.erase(fd);
  descriptor.next_free = free_;
  free_ = &descriptor;
}

Descriptor* DescriptorTable::construct() {
  const std::uint32_t slot = constructed_.load(kRelaxed);
  const Place place = place_of(slot);
  if (place.segment >= kSegments) return nullptr;
  Descriptor* segment = segments_[place.segment].load(kRelaxed);
  if (segment == nullptr) {
    const std::size_t bytes = sizeof(Descriptor) * segment_size(place.segment);
    segment = static_cast<Descriptor*>(
        ::operator new[](bytes, std::align_val_t(alignof(Descriptor)), std::nothrow));
    if (segment == nullptr) return nullptr;
    segments_[place.segment].store(segment, kRelaxed);
  }
  auto* const descriptor = new (segment + place.index) Descriptor;
  descriptor->slot = slot;
  // Releases the slot to find(); sequentially consistent for for_each().
  constructed_.store(slot + 1, kSeqCst);
  return descriptor;
}

}  // namespace rearm::detail
