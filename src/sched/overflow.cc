#include "sched/overflow.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>

#include "sched/fiber.h"
#include "sched/scheduler.h"
#include "sched/stack.h"
#include "sched/worker.h"

namespace rearm::detail {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS};
struct sigaction previous_actions[std::size(kSignals)];

// Everything below runs in a signal handler: nothing but write() and arithmetic.
class SignalSafeText {
 public:
  SignalSafeText& add(std::string_view text) noexcept {
    const std::size_t n = std::min(text.size(), sizeof(text_) - size_);
    std::memcpy(text_ + size_, text.data(), n);
    size_ += n;
    return *this;
  }
  SignalSafeText& add(std::uint64_t number) noexcept {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    return add(std::string_view(digits, static_cast<std::size_t>(end - digits)));
  }
  void write() const noexcept {
    if (::write(STDERR_FILENO, text_, size_) < 0) return;  // Nobody is left to tell.
  }

 private:
  char text_[1024];
  std::size_t size_ = 0;
};

void report(const Fiber& fiber) noexcept {
  SignalSafeText()
      .add("rearm: stack overflow in fiber ")
      .add(fiber.id)
      .add(" \"")
      .add(fiber.name())
      .add("\", spawned at ")
      .add(fiber.site.file_name())
      .add(":")
      .add(fiber.site.line())
      .add("; its stack has ")
      .add(fiber.stack.bytes)
      .add(" bytes (SpawnOptions::stack_bytes, Runtime::Options::stack_bytes)\n")
      .write();
}

void on_fault(int signal, siginfo_t* info, void* context) {
  Worker* const worker = Worker::current();
  Fiber* const fiber = worker == nullptr ? nullptr : worker->fiber();
  if (fiber != nullptr && fiber->stack.guards(info->si_addr, fiber->stack.pool->guard_bytes())) {
    report(*fiber);
    // Back to the faulting instruction, to die by the signal itself, with a core dump.
    ::signal(signal, SIG_DFL);
    return;
  }
  const auto which = std::find(std::begin(kSignals), std::end(kSignals), signal);
  const struct sigaction& previous = previous_actions[which - std::begin(kSignals)];
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
    ::signal(signal, SIG_DFL);  // The instruction faults again, now without a handler.
  } else {
    previous.sa_handler(signal);
  }
}

}  // namespace

OverflowReporter::HandlerStack::HandlerStack()
    : bytes_(std::max<std::size_t>(static_cast<std::size_t>(SIGSTKSZ), 64 * 1024)),
      memory_(std::make_unique_for_overwrite<std::byte[]>(bytes_)) {}

void OverflowReporter::install_handler() noexcept {
  static std::once_flag once;
  std::call_once(once, [] {
    for (std::size_t i = 0; i < std::size(kSignals); ++i) {
      struct sigaction action{};
      action.sa_sigaction = &on_fault;
      action.sa_flags = SA_SIGINFO | SA_ONSTACK;
      sigemptyset(&action.sa_mask);
      ::sigaction(kSignals[i], &action, &previous_actions[i]);
    }
  });
}

OverflowReporter::OverflowReporter(HandlerStack* stack) noexcept {
  if (stack == nullptr) return;
  install_handler();
  stack_t present{};
  // A thread that has one (a sanitizer, the program itself) keeps it.
  if (::sigaltstack(nullptr, &present) != 0 || (present.ss_flags & SS_DISABLE) == 0) return;
  stack_t ours{};
  ours.ss_sp = stack->memory_.get();
  ours.ss_size = stack->bytes_;
  is_installed_ = ::sigaltstack(&ours, &previous_) == 0;
}

OverflowReporter::~OverflowReporter() {
  if (is_installed_) ::sigaltstack(&previous_, nullptr);
}

}  // namespace rearm::detail
