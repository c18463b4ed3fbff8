#include "testing/last_words.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "sched/overflow.h"

namespace rearm::detail {
namespace {

constexpr std::array kSignals{SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

Mutex mu;
int installed REARM_GUARDED_BY(mu) = 0;
// Written by the first LastWords, before the handlers are there that read it.
std::array<struct sigaction, kSignals.size()> previous_actions;

thread_local constinit const LastWords* current_words = nullptr;

// Where the handlers are still these; a test may have installed one of its own.
void put_back_previous(void (*ours)(int, siginfo_t*, void*)) noexcept {
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction current{};
    ::sigaction(kSignals[i], nullptr, &current);
    if (current.sa_sigaction == ours) ::sigaction(kSignals[i], &previous_actions[i], nullptr);
  }
}

// Whether a signal was sent, as by raise(), abort() or kill(), rather than caused by a fault of the
// instruction at hand: Linux has codes below 1 for that, the BSDs some above 0xffff (SI_USER).
bool was_sent(const siginfo_t& info) noexcept { return info.si_code <= 0 || info.si_code > 0xffff; }

void write_to_stderr(std::string_view text) noexcept {
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // Nobody is left to tell.
}

}  // namespace

LastWords::LastWords(const std::uint64_t& run, const Schedule& schedule)
    : run_(run), schedule_(schedule), outer_(std::exchange(current_words, this)) {
  // The runtime's own handler, which is installed once for ever, must come before these.
  OverflowReporter::install_handler();
  MutexLock lock(mu);
  if (installed++ > 0) return;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action{};
    action.sa_sigaction = &on_signal;
    action.sa_flags = SA_ONSTACK | SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    ::sigaction(kSignals[i], &action, &previous_actions[i]);
  }
}

LastWords::~LastWords() {
  current_words = outer_;
  MutexLock lock(mu);
  if (--installed == 0) put_back_previous(&on_signal);
}

void LastWords::say_nothing() noexcept { current_words = nullptr; }

void LastWords::on_signal(int signal, siginfo_t* info, void* /*context*/) {
  if (const LastWords* const words = current_words) {
    current_words = nullptr;
    words->say(signal);
  }
  // A fault repeats itself when this returns, and meets the handler before this one. What was sent
  // must be sent again.
  put_back_previous(&on_signal);
  if (was_sent(*info)) ::raise(signal);
}

void LastWords::say(int signal) const noexcept {
  if (run_ == 0) return;
  const auto number = [](std::uint64_t value) {
    char digits[24];
    const char* const end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
    write_to_stderr({digits, static_cast<std::size_t>(end - digits)});
  };
  write_to_stderr("\nrearm::testing: the process dies of signal ");
  number(static_cast<std::uint64_t>(signal));
  write_to_stderr(" in run ");
  number(run_);
  write_to_stderr("\n\nto replay: REARM_SCHEDULE=");
  write_schedule(schedule_, write_to_stderr);
  write_to_stderr("\n");
}

}  // namespace rearm::detail
