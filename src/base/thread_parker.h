// ThreadParker: where a thread sleeps until somebody unparks it.
//
// A binary token: unpark() puts it there, park() waits for it and takes it. An unpark before the
// park is remembered; several are one. One thread parks, any thread unparks.
//
// The unparker may be the last to touch the object's memory only while the parked thread keeps it
// alive; so unpark() finishes under the lock, and a parked thread that returned may destroy it.
//
// Part of the seam (atomic.h).
#pragma once

#include <condition_variable>

#include "base/mutex.h"
#include "rearm/deadline.h"

namespace rearm::detail {

class ThreadParker {
 public:
  ThreadParker() = default;
  ThreadParker(const ThreadParker&) = delete;
  ThreadParker& operator=(const ThreadParker&) = delete;

  // Blocks until there is a token, and takes it. Returns false if the deadline passed first. A
  // standing deadline means never.
  bool park(Deadline deadline = Deadline::never()) REARM_EXCLUDES(mu_);

  void unpark() REARM_EXCLUDES(mu_);

 private:
  Mutex mu_;
  std::condition_variable condition_ REARM_GUARDED_BY(mu_);  // For unpark(), which notifies last.
  bool token_ REARM_GUARDED_BY(mu_) = false;
};

}  // namespace rearm::detail
