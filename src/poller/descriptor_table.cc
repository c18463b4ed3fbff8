#include "poller/descriptor_table.h"

#include <pthread.h>

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

Descriptor* DescriptorTable::allocate() {
  MutexLock lock(mu_);
  if (free_ == nullptr && !grow()) return nullptr;
  Descriptor* const descriptor = free_;
  free_ = descriptor->next_free;
  return descriptor;
}

void DescriptorTable::free(Descriptor& descriptor) {
  MutexLock lock(mu_);
  descriptor.next_free = free_;
  free_ = &descriptor;
}

bool DescriptorTable::grow() {
  const std::size_t k = segments_used_;
  if (k == kSegments) return false;
  const std::size_t size = segment_size(k);
  Descriptor* const segment = new (std::nothrow) Descriptor[size];
  if (segment == nullptr) return false;
  const std::size_t first_slot = kFirstSegment * ((std::size_t{1} << k) - 1);
  for (std::size_t i = size; i-- > 0;) {  // Backwards, so that low slots are handed out first.
    segment[i].slot = static_cast<std::uint32_t>(first_slot + i);
    segment[i].next_free = free_;
    free_ = &segment[i];
  }
  // Releases the segment to find(); sequentially consistent for for_each().
  segments_[k].store(segment, kSeqCst);
  ++segments_used_;
  return true;
}

}  // namespace rearm::detail
