// How it works. The functions below have the names of the C library's and are found first by the
// linker. They run the hooks and go on to the next function of that name, which under a sanitizer
// is its interceptor: it must see the close, or it would take the next owner of the number for the
// last one. A lock of the number, shared by a few numbers, is held from before the hooks until the
// number is free, so that nobody registers it in between.
#include "emulation/close_hook.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <vector>

// What a sanitizer that is linked statically calls its interceptors.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the names are theirs.
__attribute__((weak)) int __interceptor_close(int fd);
__attribute__((weak)) int __interceptor_dup2(int old_fd, int new_fd);
__attribute__((weak)) int __interceptor_dup3(int old_fd, int new_fd, int flags);
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
}

namespace rearm::test {
namespace {

constexpr std::size_t kMaxHooks = 4;

std::array<std::atomic<CloseHook>, kMaxHooks> hooks;
std::atomic<bool> is_heard{false};  // There is a hook.
std::atomic<bool> is_child{false};
std::array<std::mutex, 1024> number_locks;

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

void run_hooks(int fd) {
  if (is_child.load(std::memory_order_relaxed)) return;
  for (const std::atomic<CloseHook>& hook : hooks) {
    if (const CloseHook call = hook.load(std::memory_order_acquire)) call(fd);
  }
}

// The numbers from `first` to `last` that are open.
std::vector<int> open_numbers(unsigned first, unsigned last) {
  std::vector<int> numbers;
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return numbers;
  while (const dirent* const entry = ::readdir(directory)) {
    char* end = nullptr;
    const unsigned long number = std::strtoul(entry->d_name, &end, 10);
    if (end == entry->d_name || number < first || number > last) continue;
    if (static_cast<int>(number) != ::dirfd(directory)) numbers.push_back(static_cast<int>(number));
  }
  ::closedir(directory);
  return numbers;
}

}  // namespace

void add_close_hook(CloseHook hook) {
  static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { is_child.store(true, std::memory_order_relaxed); });
  if (registered != 0) std::abort();
  for (std::atomic<CloseHook>& slot : hooks) {
    CloseHook empty = nullptr;
    if (slot.compare_exchange_strong(empty, hook)) {
      is_heard.store(true, std::memory_order_relaxed);
      return;
    }
  }
  std::abort();
}

std::unique_lock<std::mutex> keep_from_closing(int fd) {
  // A child has the locks as they were, and not the threads that held them.
  if (fd < 0 || !is_heard.load(std::memory_order_relaxed) ||
      is_child.load(std::memory_order_relaxed)) {
    return {};
  }
  return std::unique_lock(number_locks[static_cast<std::size_t>(fd) % number_locks.size()]);
}

int close_without_hooks(int fd) {
  if (&__interceptor_close != nullptr) return __interceptor_close(fd);
  static const auto real = next<int (*)(int)>("close");
  return real(fd);
}

}  // namespace rearm::test

extern "C" {

int close(int fd) {
  const auto closing = rearm::test::keep_from_closing(fd);
  rearm::test::run_hooks(fd);
  return rearm::test::close_without_hooks(fd);
}

int dup2(int old_fd, int new_fd) {
  const auto closing = rearm::test::keep_from_closing(new_fd);
  // dup2 of a number onto itself closes nothing, and of a bad one neither.
  if (old_fd != new_fd) rearm::test::run_hooks(new_fd);
  if (&__interceptor_dup2 != nullptr) return __interceptor_dup2(old_fd, new_fd);
  static const auto real = rearm::test::next<int (*)(int, int)>("dup2");
  return real(old_fd, new_fd);
}

int dup3(int old_fd, int new_fd, int flags) {
  const auto closing = rearm::test::keep_from_closing(new_fd);
  if (old_fd != new_fd) rearm::test::run_hooks(new_fd);
  if (&__interceptor_dup3 != nullptr) return __interceptor_dup3(old_fd, new_fd, flags);
  static const auto real = rearm::test::next<int (*)(int, int, int)>("dup3");
  return real(old_fd, new_fd, flags);
}

// One by one, because a hook hears of a number before it is free. CLOSE_RANGE_CLOEXEC closes
// nothing.
int close_range(unsigned first, unsigned last, int flags) {
  if (flags == 0) {
    for (const int fd : rearm::test::open_numbers(first, last)) (void)close(fd);
  }
  static const auto real = rearm::test::next<int (*)(unsigned, unsigned, int)>("close_range");
  return real(first, last, flags);
}

void closefrom(int first) {
  const unsigned lowest = first < 0 ? 0 : static_cast<unsigned>(first);
  for (const int fd : rearm::test::open_numbers(lowest, ~0U)) (void)close(fd);
  static const auto real = rearm::test::next<void (*)(int)>("closefrom");
  real(first);
}
}
