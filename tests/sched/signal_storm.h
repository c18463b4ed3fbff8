// SignalStorm: while one is alive, every thread of the process gets a signal every millisecond
// (where the threads cannot be listed: some thread does). The handler does nothing and does not
// restart system calls, so each wait meets EINTR.
#pragma once

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace rearm::test {

class SignalStorm {
 public:
  SignalStorm() {
    struct sigaction action{};
    action.sa_handler = [](int) { received_.fetch_add(1, std::memory_order_relaxed); };
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGUSR1, &action, &before_);
    thread_ = std::thread([this] { blow(); });
  }
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;
  ~SignalStorm() {
    over_.store(true);
    thread_.join();
    ::sigaction(SIGUSR1, &before_, nullptr);
  }

  // How many signals have arrived, over all storms.
  static long received() { return received_.load(); }

 private:
  void blow() {
    while (!over_.load()) {
      blow_once();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

#if defined(__linux__)
  static void blow_once() {
    const auto self = static_cast<int>(::syscall(SYS_gettid));
    DIR* const directory = ::opendir("/proc/self/task");
    if (directory == nullptr) return;
    while (const dirent* const entry = ::readdir(directory)) {
      const int thread = std::atoi(entry->d_name);
      if (thread > 0 && thread != self) ::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR1);
    }
    ::closedir(directory);
  }
#else
  static void blow_once() { ::kill(::getpid(), SIGUSR1); }
#endif

  static inline std::atomic<long> received_{0};
  struct sigaction before_{};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace rearm::test
