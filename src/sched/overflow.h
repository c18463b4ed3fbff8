// OverflowReporter: names the fiber that ran over the end of its stack.
//
// While one is alive on a worker's thread, a fault in the guard of the running fiber's stack writes
// the fiber's name, number and spawn site to standard error before the process dies. Any other
// fault goes to whatever handler was there before. The handler itself is installed once for the
// process, when the first reporter is made, and stays.
#pragma once

#include <signal.h>

#include <cstddef>
#include <memory>

namespace rearm::detail {

class OverflowReporter {
 public:
  // The handler needs a stack of its own, since the fiber's is exhausted: one for each thread. It
  // is made before the thread runs fibers, as long as there is somebody to be told that there is
  // no memory for it.
  class HandlerStack {
   public:
    HandlerStack();  // Throws std::bad_alloc.

   private:
    friend class OverflowReporter;

    std::size_t bytes_;
    std::unique_ptr<std::byte[]> memory_;
  };

  // For the calling thread, on `stack`, which must outlive it; null: reports nothing.
  explicit OverflowReporter(HandlerStack* stack) noexcept;
  OverflowReporter(const OverflowReporter&) = delete;
  OverflowReporter& operator=(const OverflowReporter&) = delete;
  ~OverflowReporter();

  // Installs the handler if no reporter has done so yet.
  static void install_handler() noexcept;

 private:
  stack_t previous_{};
  bool is_installed_ = false;
};

}  // namespace rearm::detail
