// OverflowReporter: names the fiber that ran over the end of its stack.
//
// While one is alive on a worker's thread, a fault in the guard of the running fiber's stack writes
// the fiber's name, number and spawn site to standard error before the process dies. Any other
// fault goes to whatever handler was there before. The handler itself is installed once for the
// process, when the first reporter is made, and stays.
#pragma once

#include <cstddef>
#include <memory>

namespace rearm {

class OverflowReporter {
 public:
  // The handler needs a stack of its own, since the fiber's is exhausted: one for this thread.
  explicit OverflowReporter(bool enabled);
  OverflowReporter(const OverflowReporter&) = delete;
  OverflowReporter& operator=(const OverflowReporter&) = delete;
  ~OverflowReporter();

 private:
  struct AlternateStack;

  std::unique_ptr<AlternateStack> alternate_;
};

}  // namespace rearm
