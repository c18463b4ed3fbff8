// ChildStack: what a child runs on until its exec. Linux.
//
// What the interpreter of plans needs is about a kilobyte, and more without optimisation. The
// lowest bytes tell whether it was enough.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>

#include "base/check.h"

namespace rearm::detail {

class ChildStack {
 public:
  static constexpr std::size_t kBytes = std::size_t{32} << 10;

  ChildStack() : memory_(new(std::align_val_t{64}) unsigned char[kBytes]) {
    std::memset(memory_, kUntouched, kGuard);
  }
  ChildStack(const ChildStack&) = delete;
  ChildStack& operator=(const ChildStack&) = delete;
  ~ChildStack() {
    for (std::size_t i = 0; i < kGuard; ++i) {
      REARM_CHECK(memory_[i] == kUntouched, "the stack of a child was too small");
    }
    ::operator delete[](memory_, std::align_val_t{64});
  }

  [[nodiscard]] void* lowest() noexcept { return memory_; }

 private:
  static constexpr unsigned char kUntouched = 0xa5;
  static constexpr std::size_t kGuard = 64;
  unsigned char* memory_;
};

}  // namespace rearm::detail
