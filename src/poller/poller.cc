// The public face of PollerCore: tokens become descriptors here, std::bad_alloc an error, and
// nothing else happens.
#include "rearm/poller.h"

#include <fcntl.h>

#include <cerrno>
#include <new>

#include "base/check.h"
#include "poller/backend.h"
#include "poller/descriptor.h"
#include "poller/poller_core.h"

namespace rearm {

using detail::Descriptor;
using detail::Lifetime;
using detail::PollerCore;
using detail::WaitWord;

namespace {

// The descriptor that a token names, held so that its slot cannot change hands meanwhile.
class Pin {
 public:
  Pin(PollerCore& core, Token token) noexcept : descriptor_(core.find(token)) {
    if (descriptor_ == nullptr) return;
    if (descriptor_->lifetime.enter(token.generation) != Lifetime::Entered::kYes) {
      descriptor_ = nullptr;
    }
  }
  ~Pin() {
    if (descriptor_ != nullptr) PollerCore::leave(*descriptor_);
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

  explicit operator bool() const noexcept { return descriptor_ != nullptr; }
  Descriptor* operator->() const noexcept { return descriptor_; }
  Descriptor& operator*() const noexcept { return *descriptor_; }

 private:
  Descriptor* descriptor_;
};

}  // namespace

int Poller::Operation::fd() const noexcept { return descriptor_->fd; }

void Poller::Operation::leave() noexcept {
  // Nobody stands in line: Poller's operations do not.
  if (descriptor_ != nullptr) (void)PollerCore::leave(*descriptor_, direction_);
  descriptor_ = nullptr;
}

Result<Poller> Poller::open(const Options& options) {
  try {
    auto core = PollerCore::open(options.backend);
    if (!core) return std::unexpected(core.error());
    return Poller(std::move(*core));
  } catch (const std::bad_alloc&) {  // What was made until then has been taken back.
    return std::unexpected(std::make_error_code(std::errc::not_enough_memory));
  }
}

Poller::Poller(std::unique_ptr<PollerCore> core) noexcept : core_(std::move(core)) {}
Poller::Poller(Poller&&) noexcept = default;
Poller& Poller::operator=(Poller&&) noexcept = default;
Poller::~Poller() = default;

std::span<const std::string_view> Poller::backends() noexcept { return detail::backend_names(); }
std::string_view Poller::backend_name() const noexcept { return core_->backend_name(); }
int Poller::native_handle() const noexcept { return core_->native_handle(); }
Poller::Stats Poller::stats() const noexcept { return core_->stats(); }
WaiterList Poller::collect(Deadline deadline) { return core_->collect(deadline); }
void Poller::wake() noexcept { core_->wake(); }

Result<Token> Poller::add(int fd) {
  std::uint8_t set = 0;
  const auto descriptor = core_->add_from_outside(fd, set);
  if (!descriptor) return std::unexpected(descriptor.error());
  return Token{.slot = (*descriptor)->slot, .generation = (*descriptor)->generation};
}

Result<Poller::Operation> Poller::begin(Token token, Direction direction) {
  Descriptor* const descriptor = core_->find(token);
  if (descriptor == nullptr) return std::unexpected(Errc::kClosed);
  switch (descriptor->lifetime.enter(token.generation, direction)) {
    case Lifetime::Entered::kClosed: return std::unexpected(Errc::kClosed);
    case Lifetime::Entered::kBusy: return std::unexpected(Errc::kBusy);
    case Lifetime::Entered::kYes: break;
  }
  return Operation(*descriptor, direction);
}

Result<Poller::Prepared> Poller::wait(Token token, Direction direction, Waiter& waiter) {
  const auto prepared = prepare(token, direction);
  if (!prepared || *prepared == Prepared::kTryAgain) return prepared;
  if (const std::error_code error = arm(token, direction)) {
    (void)cancel(token, direction, WakeReason::kCancelled);
    return std::unexpected(error);
  }
  return commit(token, direction, waiter) ? Prepared::kParked : Prepared::kTryAgain;
}

Result<Poller::Prepared> Poller::prepare(Token token, Direction direction) {
  const Pin descriptor(*core_, token);
  if (!descriptor) return std::unexpected(Errc::kClosed);
  switch (descriptor->word(direction).prepare()) {
    case WaitWord::Prepared::kPark: return Prepared::kParked;
    case WaitWord::Prepared::kReady: return Prepared::kTryAgain;
    case WaitWord::Prepared::kBusy: return std::unexpected(Errc::kBusy);
    case WaitWord::Prepared::kClosed: break;
  }
  return std::unexpected(Errc::kClosed);
}

std::error_code Poller::arm(Token token, Direction direction) {
  const Pin descriptor(*core_, token);
  if (!descriptor) return Errc::kClosed;
  return core_->arm(*descriptor, token.generation, direction);
}

bool Poller::commit(Token token, Direction direction, Waiter& waiter) {
  const Pin descriptor(*core_, token);
  if (!descriptor) return false;
  return descriptor->word(direction).commit(waiter) == WaitWord::Committed::kParked;
}

Waiter* Poller::cancel(Token token, Direction direction, WakeReason reason) {
  const Pin descriptor(*core_, token);
  return descriptor ? descriptor->withdraw(direction, reason) : nullptr;
}

Result<WaiterList> Poller::close(Token token) {
  Descriptor* const descriptor = core_->find(token);
  if (descriptor == nullptr) return std::unexpected(Errc::kClosed);
  return PollerCore::close(*descriptor, token.generation);
}

Result<int> Poller::remove(Token token) {
  Descriptor* const descriptor = core_->find(token);
  if (descriptor == nullptr) return std::unexpected(Errc::kClosed);
  return PollerCore::remove(*descriptor, token.generation);
}

}  // namespace rearm
