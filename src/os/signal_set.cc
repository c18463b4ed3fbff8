#include "rearm/os/signal_set.h"

#include <array>
#include <new>
#include <thread>
#include <utility>

#include "base/atomic.h"
#include "os/signal_source.h"
#include "rearm/runtime.h"

namespace rearm {
namespace detail {

struct SignalState {
  sigset_t signals{};
  SignalSource source;
  Stream stream;
  const std::thread::id opener = std::this_thread::get_id();
  Atomic<bool> is_open{true};
  bool closed_elsewhere = false;  // close() was called, on another thread than the opener.

  SignalState() = default;
  SignalState(const SignalState&) = delete;
  SignalState& operator=(const SignalState&) = delete;
  ~SignalState() {
    if (closed_elsewhere && std::this_thread::get_id() == opener) source.let_go_here();
  }
};

namespace {

// Which signals the sets of this process have.
std::array<Atomic<bool>, kSignalNumbers> taken;

bool can_be_taken(int number) {
  switch (number) {
    case SIGPIPE:  // It is the thread's that has written.
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL: return false;
    default: return number > 0 && number < kSignalNumbers;
  }
}

void untake(const sigset_t& signals) noexcept {
  for (int number = 1; number < kSignalNumbers; ++number) {
    if (sigismember(&signals, number) == 1)
      taken[static_cast<std::size_t>(number)].store(false, kSeqCst);
  }
}

// Into an empty set.
std::error_code take(std::initializer_list<int> numbers, sigset_t& signals) noexcept {
  if (numbers.size() == 0) return Errc::kInvalidArgument;
  for (const int number : numbers) {
    // The C library keeps some for itself, which it refuses here.
    if (!can_be_taken(number) || sigaddset(&signals, number) != 0) return Errc::kInvalidArgument;
  }
  sigset_t ours{};
  sigemptyset(&ours);
  for (int number = 1; number < kSignalNumbers; ++number) {
    if (sigismember(&signals, number) != 1) continue;
    if (taken[static_cast<std::size_t>(number)].exchange(true, kSeqCst)) {
      untake(ours);
      return Errc::kBusy;
    }
    sigaddset(&ours, number);
  }
  return {};
}

// Whether threads of the calling fiber's runtime would not block what this one does.
bool would_be_missed() noexcept {
#if defined(__linux__)
  const Runtime* const runtime = Runtime::current();
  return runtime != nullptr && runtime->workers() > 1;
#else
  return false;
#endif
}

std::error_code open_state(SignalState& state, Runtime& runtime) noexcept {
  if (const std::error_code error = state.source.open(state.signals)) return error;
  const int number = state.source.release_number();
  auto stream = Stream::adopt(number, runtime);
  if (stream) {
    state.stream = std::move(*stream);
    return {};
  }
  state.source.let_go();
  const OwnedNumber unused(number);
  return stream.error();
}

}  // namespace
}  // namespace detail

using detail::kSeqCst;
using detail::SignalState;

Result<SignalSet> SignalSet::open(std::initializer_list<int> signals, Runtime& runtime) noexcept {
  if (detail::would_be_missed()) return std::unexpected(Errc::kNotSupported);
  std::unique_ptr<SignalState> state(new (std::nothrow) SignalState);
  if (state == nullptr) return std::unexpected(std::make_error_code(std::errc::not_enough_memory));
  sigemptyset(&state->signals);
  if (const std::error_code error = detail::take(signals, state->signals)) {
    return std::unexpected(error);
  }
  if (const std::error_code error = detail::open_state(*state, runtime)) {
    detail::untake(state->signals);
    return std::unexpected(error);
  }
  return SignalSet(std::move(state));
}

SignalSet::SignalSet() noexcept = default;
SignalSet::SignalSet(std::unique_ptr<SignalState> state) noexcept : state_(std::move(state)) {}
SignalSet::SignalSet(SignalSet&& other) noexcept = default;

SignalSet& SignalSet::operator=(SignalSet&& other) noexcept {
  if (this != &other) {
    (void)close();
    state_ = std::move(other.state_);
  }
  return *this;
}

SignalSet::~SignalSet() { (void)close(); }

Result<int> SignalSet::wait(Deadline deadline) noexcept {
  if (state_ == nullptr) return std::unexpected(Errc::kClosed);
  return detail::SignalSource::read(state_->stream, deadline);
}

Result<void> SignalSet::close() noexcept {
  if (state_ == nullptr || !state_->is_open.exchange(false, kSeqCst))
    return std::unexpected(Errc::kClosed);
  state_->closed_elsewhere = std::this_thread::get_id() != state_->opener;
  // First: a handler that is still in place would write to a pipe without a reader.
  state_->source.let_go();
  (void)state_->stream.close();
  detail::untake(state_->signals);
  return {};
}

}  // namespace rearm
