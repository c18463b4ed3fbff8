#include "rearm/os/child.h"

#include <signal.h>

#include <utility>

#include "os/child_state.h"
#include "rearm/fiber.h"
#include "rearm/runtime.h"

namespace rearm {

using detail::ChildState;

std::string to_string(const ExitStatus& status) {
  if (status.signal == 0) return "exit code " + std::to_string(status.code);
  return "killed by signal " + std::to_string(status.signal) +
         (status.core_dumped ? ", core dumped" : "");
}

Child::Child() noexcept = default;
Child::Child(std::unique_ptr<ChildState> state) noexcept : state_(std::move(state)) {}
Child::Child(Child&& other) noexcept = default;
Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    const Child before(std::move(*this));
    state_ = std::move(other.state_);
    input_ = std::move(other.input_);
    output_ = std::move(other.output_);
    error_ = std::move(other.error_);
  }
  return *this;
}

Child::~Child() {
  if (!state_ || state_->try_reap()) return;
  static_cast<void>(state_->send(SIGKILL, /*to_group=*/false));
  state_->wait_surely();
}

Child ChildState::make_child(std::unique_ptr<ChildState> state, Stream input, Stream output,
                             Stream error) {
  Child child(std::move(state));
  child.input_ = std::move(input);
  child.output_ = std::move(output);
  child.error_ = std::move(error);
  return child;
}

int Child::pid() const noexcept { return state_ ? state_->pid : -1; }
int Child::pidfd() const noexcept { return state_ ? state_->pidfd : -1; }

Result<ExitStatus> Child::wait(Deadline deadline) {
  if (!state_) return std::unexpected(Errc::kClosed);
  return state_->wait(deadline);
}

Result<void> Child::signal(int number) {
  if (!state_) return std::unexpected(Errc::kClosed);
  if (const auto error = state_->send(number, /*to_group=*/false)) return std::unexpected(error);
  return {};
}

Result<void> Child::kill() { return signal(SIGKILL); }

Result<void> Child::signal_group(int number) {
  if (!state_) return std::unexpected(Errc::kClosed);
  if (!state_->has_own_group) return std::unexpected(Errc::kInvalidArgument);
  if (const auto error = state_->send(number, /*to_group=*/true)) return std::unexpected(error);
  return {};
}

Result<void> Child::detach() {
  if (!state_) return std::unexpected(Errc::kClosed);
  if (!state_->try_reap()) {
    // Shared, since a spawn that is refused must not have taken it.
    auto kept = std::make_shared<std::unique_ptr<ChildState>>(std::move(state_));
    auto reaper = try_spawn_on((*kept)->runtime,
                               [kept] { static_cast<void>((*kept)->wait(Deadline::never())); },
                               {.name = "reaper"}, std::source_location::current());
    if (!reaper) {
      state_ = std::move(*kept);
      return std::unexpected(reaper.error());
    }
    reaper->detach();
  }
  state_.reset();
  (void)input_.close();
  (void)output_.close();
  (void)error_.close();
  return {};
}

Stream& Child::standard_input() noexcept { return input_; }
Stream& Child::standard_output() noexcept { return output_; }
Stream& Child::standard_error() noexcept { return error_; }

}  // namespace rearm
