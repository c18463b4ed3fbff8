// How it works. The functions below have the names of the C library's and are found first by the
// linker. They run the hooks and go on to the next function of that name, which under a sanitizer
// is its interceptor: it must see the close, or it would take the next owner of the number for the
// last one.
#include "emulation/close_hook.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>

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
std::atomic<bool> is_child{false};

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

}  // namespace

void add_close_hook(CloseHook hook) {
  static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { is_child.store(true, std::memory_order_relaxed); });
  if (registered != 0) std::abort();
  for (std::atomic<CloseHook>& slot : hooks) {
    CloseHook empty = nullptr;
    if (slot.compare_exchange_strong(empty, hook)) return;
  }
  std::abort();
}

int close_without_hooks(int fd) {
  if (&__interceptor_close != nullptr) return __interceptor_close(fd);
  static const auto real = next<int (*)(int)>("close");
  return real(fd);
}

}  // namespace rearm::test

extern "C" {

int close(int fd) {
  rearm::test::run_hooks(fd);
  return rearm::test::close_without_hooks(fd);
}

int dup2(int old_fd, int new_fd) {
  // dup2 of a number onto itself closes nothing, and of a bad one neither.
  if (old_fd != new_fd) rearm::test::run_hooks(new_fd);
  if (&__interceptor_dup2 != nullptr) return __interceptor_dup2(old_fd, new_fd);
  static const auto real = rearm::test::next<int (*)(int, int)>("dup2");
  return real(old_fd, new_fd);
}

int dup3(int old_fd, int new_fd, int flags) {
  if (old_fd != new_fd) rearm::test::run_hooks(new_fd);
  if (&__interceptor_dup3 != nullptr) return __interceptor_dup3(old_fd, new_fd, flags);
  static const auto real = rearm::test::next<int (*)(int, int, int)>("dup3");
  return real(old_fd, new_fd, flags);
}
}
