// Takes the place of src/base/thread_parker.h: a token, a step to put it there, and a step that
// waits for it.
//
// A parker that lies in the frame of a wait is told apart from one that lives as long as its
// thread: for the former each token is one wake-up, so a second token, a token that nobody took and
// a token for a parker that is gone are a waiter woken twice (G2).
#pragma once

#include <cstdint>

#include "explore/step.h"
#include "rearm/deadline.h"

namespace rearm::detail {

class ThreadParker {
 public:
  ThreadParker() noexcept;
  ThreadParker(const ThreadParker&) = delete;
  ThreadParker& operator=(const ThreadParker&) = delete;
  ~ThreadParker();

  bool park(Deadline deadline = Deadline::never());
  void unpark();

  // For a parker that the harness made in place of a thread's frame.
  void count_wake_ups() noexcept { in_frame_ = true; }
  [[nodiscard]] bool has_token() const noexcept { return token_; }

 private:
  static constexpr std::uint32_t kAlive = 0x5eaf00d5;

  static bool may_return(const explore::Step& step);

  std::uint32_t alive_ = kAlive;
  bool in_frame_ = false;
  bool token_ = false;
};

}  // namespace rearm::detail
