// ScriptedBackend: a kernel that says what the test wrote for it.
//
// For what no real kernel can be made to say on demand: late, split, merged, empty and foreign
// reports, refusals, early returns. Batches come out in the order they were pushed, one for each
// wait; when there are none left, wait() sleeps until its deadline, as a quiet kernel would. Calls
// are recorded. For one thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "poller/backend.h"

namespace rearm::test {

class ScriptedBackend final : public detail::Backend {
 public:
  struct Arm {
    int fd;
    Token token;
    detail::Ready interest;
  };

  enum class Kind : std::uint8_t { kRemembers, kForgets };

  explicit ScriptedBackend(Kind kind) : Backend("scripted", kind == Kind::kForgets) {}

  // The next batch, and whether wake() is said to have been among the reasons to return.
  void push(std::vector<detail::Event> events, bool woken = false) {
    batches_.push_back({std::move(events), woken});
  }

  std::error_code open() override { return {}; }
  std::error_code add(int fd, Token token) override {
    if (add_error) return add_error;
    added[fd] = token;
    return {};
  }
  std::error_code arm(int fd, Token token, detail::Ready interest) override {
    arms.push_back({fd, token, interest});
    if (on_arm) on_arm();
    return arm_error;
  }
  void remove(int fd) override { removed.push_back(fd); }
  detail::WaitResult wait(std::span<detail::Event> events, Deadline deadline) override {
    ++waits;
    if (on_wait) on_wait();
    if (batches_.empty()) {
      sleep_until(deadline);
      return {};
    }
    const Batch batch = batches_.front();
    batches_.pop_front();
    for (std::size_t i = 0; i < batch.events.size(); ++i) events[i] = batch.events[i];
    return {.count = batch.events.size(), .woken = batch.woken};
  }
  void wake() noexcept override { ++wakes; }
  int native_handle() noexcept override { return -1; }

  std::map<int, Token> added;
  std::vector<Arm> arms;
  std::vector<int> removed;
  int waits = 0;
  int wakes = 0;
  std::error_code add_error;
  std::error_code arm_error;
  std::function<void()> on_wait;  // Called inside wait().
  std::function<void()> on_arm;   // Called inside arm(), under the descriptor's lock.

 private:
  struct Batch {
    std::vector<detail::Event> events;
    bool woken;
  };

  static void sleep_until(Deadline deadline) {
    if (deadline.is_standing() || deadline.is_never()) return;
    std::this_thread::sleep_for(std::chrono::nanoseconds(deadline.ns() - detail::now_ns()));
  }

  std::deque<Batch> batches_;
};

}  // namespace rearm::test
