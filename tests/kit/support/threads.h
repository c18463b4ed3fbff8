// Threads and signals for tests.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

namespace rearm::test {

// Gives another thread the time to fall asleep where it waits. A hint only: the tests that call
// this are right whenever the other thread gets there, and meet the interesting case if it has.
inline void let_it_sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }

// Announces itself with here(); another thread then waits until it sleeps in a system call. Where
// the system does not tell, it waits a while.
class Sleeper {
 public:
#if defined(__linux__)
  void here() noexcept { thread_.store(::gettid(), std::memory_order_release); }

  // Whether the thread has been seen asleep.
  [[nodiscard]] bool await_asleep() const {
    constexpr int kTries = 10'000;
    for (int i = 0; i < kTries; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const pid_t thread = thread_.load(std::memory_order_acquire);
      if (thread == 0) continue;
      std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
      std::string number;
      std::string name;
      std::string state;
      if (file >> number >> name >> state && state == "S") return true;
    }
    return false;
  }

#else
  void here() noexcept { thread_.store(1, std::memory_order_release); }

  [[nodiscard]] bool await_asleep() const {
    while (thread_.load(std::memory_order_acquire) == 0) let_it_sleep();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return true;
  }
#endif

 private:
  std::atomic<pid_t> thread_{0};
};

// A handler that is in place for as long as this lives. Interrupted calls are not restarted, which
// is the harder case.
class ScopedSignal {
 public:
  ScopedSignal(int number, void (*handler)(int)) : number_(number) {
    struct sigaction action{};
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    ::sigaction(number_, &action, &before_);
  }
  ~ScopedSignal() { ::sigaction(number_, &before_, nullptr); }
  ScopedSignal(const ScopedSignal&) = delete;
  ScopedSignal& operator=(const ScopedSignal&) = delete;

 private:
  int number_;
  struct sigaction before_{};
};

}  // namespace rearm::test
