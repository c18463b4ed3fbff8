#include "poller/poller_core.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/clock.h"
#include "poller/fd_flags.h"

namespace rearm::detail {
namespace {

void count(Atomic<std::uint64_t>& counter, std::uint64_t n = 1) noexcept {
  counter.fetch_add(n, kRelaxed);
}

// For counters that only the collecting thread writes: no locked instruction.
void count_alone(Atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  counter.store(counter.load(kRelaxed) + n, kRelaxed);
}

}  // namespace

const RunState PollerCore::no_runtime_;

Result<std::unique_ptr<PollerCore>> PollerCore::open(std::string_view backend,
                                                     const RunState& run) {
  auto opened = open_backend(backend);
  if (!opened) return std::unexpected(opened.error());
  return std::make_unique<PollerCore>(std::move(*opened), run);
}

PollerCore::PollerCore(std::unique_ptr<Backend> backend, const RunState& run)
    : table_(DescriptorTable::instance()), backend_(std::move(backend)), run_state_(run) {}

PollerCore::~PollerCore() {
  REARM_CHECK(!collecting_.load(kAcquire), "a poller was destroyed inside its own collect()");
  for_each_open([](Descriptor& descriptor, std::uint32_t generation) {
    const auto waiters = close(descriptor, generation);
    REARM_CHECK(!waiters || waiters->empty(), "a poller was destroyed while somebody waits on it");
  });
  REARM_CHECK(descriptors_.load(kAcquire) == 0,
              "a poller was destroyed during an operation on one of its descriptors");
}

template <class Visit>
void PollerCore::for_each_open(Visit&& visit) {
  table_.for_each([&](Descriptor& descriptor) {
    // In this order: the generation acquires the poller that it was begun with.
    const std::uint32_t generation = descriptor.lifetime.open_generation();
    if (generation == 0 || descriptor.poller.load(kRelaxed) != this) return;
    if (descriptor.lifetime.enter(generation) != Lifetime::Entered::kYes) return;
    // Inside, the slot cannot change hands: look again.
    if (descriptor.poller.load(kRelaxed) == this) visit(descriptor, generation);
    leave(descriptor);
  });
}

Poller::Stats PollerCore::stats() const noexcept {
  return {.descriptors = descriptors_.load(kRelaxed),
          .events = events_count_.load(kRelaxed),
          .stale_events = stale_events_.load(kRelaxed),
          .waits = waits_.load(kRelaxed),
          .wakes = wakes_.load(kRelaxed),
          .arms = arms_.load(kRelaxed),
          .rearms = rearms_.load(kRelaxed)};
}

Descriptor* PollerCore::find(Token token) const noexcept {
  Descriptor* const descriptor = table_.find(token.slot);
  if (descriptor == nullptr || !descriptor->lifetime.is_open(token.generation)) return nullptr;
  return descriptor->poller.load(kRelaxed) == this ? descriptor : nullptr;
}

Result<Descriptor*> PollerCore::add(int fd) {
  if (is_inherited()) return std::unexpected(Errc::kNotSupported);
  const auto allocated = table_.allocate(fd);
  if (!allocated) return std::unexpected(allocated.error());
  Descriptor* const descriptor = *allocated;
  // The life begins before the kernel is told, because a report may come before add() returns.
  descriptor->begin_life(fd, *this);
  count(descriptors_);
  const std::uint32_t generation = descriptor->generation;
  const std::error_code error =
      backend_->add(fd, {.slot = descriptor->slot, .generation = generation});
  if (!error) return descriptor;
  descriptor->owns_number = false;
  REARM_CHECK(descriptor->lifetime.close(generation),
              "a descriptor was closed before it was added");
  leave(*descriptor);
  return std::unexpected(error);
}

Result<Descriptor*> PollerCore::add_from_outside(int fd, std::uint8_t& set) {
  const auto flags = FdFlags::of(fd);
  if (!flags) return std::unexpected(flags.error());
  const auto descriptor = add(fd);
  if (!descriptor) return descriptor;
  if (const std::error_code error = flags->make_nonblocking_cloexec()) {
    // Not remove(), which a sweep of withdraw_all() that is inside just now would make busy.
    (*descriptor)->owns_number = false;
    const auto waiters = close(**descriptor, (*descriptor)->generation);
    REARM_CHECK(waiters && waiters->empty(), "a descriptor was used before it was added");
    return std::unexpected(error);
  }
  set = flags->missing();
  return descriptor;
}

std::error_code PollerCore::arm_forgetting(Descriptor& descriptor, std::uint32_t generation,
                                           Direction direction) {
  MutexLock lock(descriptor.mu);
  if (descriptor.closing || descriptor.generation != generation) return Errc::kClosed;
  if (descriptor.armed.has(direction)) return {};
  const Ready interest = descriptor.armed | Ready::of(direction);
  const Token token{.slot = descriptor.slot, .generation = generation};
  if (const std::error_code error = backend_->arm(descriptor.fd, token, interest)) return error;
  descriptor.armed = interest;
  count(arms_);
  return {};
}

// See the head of poller_core.h. Returns what to publish. A refusal means that the number was
// closed behind the library or that the kernel is out of memory: then both waiters are woken, and
// their system calls or their next arm() say which.
Ready PollerCore::rearm(Descriptor& descriptor, const Event& event) {
  MutexLock lock(descriptor.mu);
  if (descriptor.closing || descriptor.generation != event.token.generation) return event.ready;
  const Ready left = descriptor.armed.without(event.ready);
  descriptor.armed = left;
  if (left.empty()) return event.ready;
  count(rearms_);
  if (!backend_->arm(descriptor.fd, event.token, left)) return event.ready;
  descriptor.armed = Ready::none();
  return event.ready | Ready::both();
}

// Descriptors and waiters were last used a whole round of other connections ago: with many of them
// each would be a miss in turn. This asks for those of the events to come.
void PollerCore::prefetch(std::span<const Event> events, std::size_t i) const noexcept {
  constexpr std::size_t kWaiterAhead = 4;
  constexpr std::size_t kDescriptorAhead = 8;
  if (i + kDescriptorAhead < events.size()) {
    __builtin_prefetch(table_.find(events[i + kDescriptorAhead].token.slot));
  }
  if (i + kWaiterAhead < events.size()) {
    Descriptor* const descriptor = table_.find(events[i + kWaiterAhead].token.slot);
    if (descriptor != nullptr) descriptor->word(Direction::kRead).prefetch_waiter();
  }
}

// Events become waiters. Returns whether any waiter was appended.
bool PollerCore::deliver(std::span<const Event> events, WaiterList& out) {
  std::uint64_t stale = 0;
  const bool needs_arm = backend_->needs_arm();
  for (std::size_t i = 0; i < events.size(); ++i) {
    prefetch(events, i);
    const Event& event = events[i];
    Descriptor* const descriptor = table_.find(event.token.slot);
    if (descriptor == nullptr || !descriptor->lifetime.is_open(event.token.generation)) {
      ++stale;
      continue;
    }
    descriptor->publish(needs_arm ? rearm(*descriptor, event) : event.ready, out);
  }
  count_alone(events_count_, events.size());
  if (stale != 0) count_alone(stale_events_, stale);
  return !out.empty();
}

WaiterList PollerCore::collect(Deadline deadline) {
  REARM_CHECK(!is_inherited(),
              "a poller was waited on in a child of fork(): make a poller or a runtime of its own");
  WaiterList out;
  if (collecting_.exchange(true, kAcquire)) return out;
  for (;;) {
    check_no_lock_held();
    const WaitResult result = backend_->wait(events_, deadline);
    count_alone(waits_, 1);
    if (result.woken) wake_pending_.exchange(false, kSeqCst);
    const bool any = deliver(std::span(events_).first(result.count), out);
    // A signal, or a batch of stale events only, is no reason to return: the deadline is an
    // instant, so waiting on needs no arithmetic.
    if (any || result.woken) break;
    if (!deadline.is_standing() && !deadline.is_never() &&
        (deadline.ns() <= 0 || now_ns() >= deadline.ns())) {
      break;
    }
  }
  collecting_.store(false, kRelease);
  return out;
}

void PollerCore::wake() noexcept {
  if (is_inherited()) return;
  if (wake_pending_.exchange(true, kSeqCst)) return;
  count(wakes_);
  backend_->wake();
}

Result<WaiterList> PollerCore::close(Descriptor& descriptor, std::uint32_t generation) {
  if (!descriptor.lifetime.close(generation)) return std::unexpected(Errc::kClosed);
  descriptor.poller.load(kRelaxed)->disconnect(descriptor);
  WaiterList waiters;
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    if (Waiter* const waiter = descriptor.word(direction).close().waiter) {
      waiter->set_reason(WakeReason::kClosed);
      waiters.push_back(*waiter);
    }
    if (descriptor.lifetime.has_line()) {
      descriptor.disturb_line(direction, WakeReason::kClosed, waiters);
    }
  }
  leave(descriptor);
  return waiters;
}

Result<int> PollerCore::remove(Descriptor& descriptor, std::uint32_t generation) {
  switch (descriptor.lifetime.remove(generation)) {
    case Lifetime::Removed::kClosed: return std::unexpected(Errc::kClosed);
    case Lifetime::Removed::kBusy: return std::unexpected(Errc::kBusy);
    case Lifetime::Removed::kYes: break;
  }
  descriptor.poller.load(kRelaxed)->disconnect(descriptor);
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    REARM_CHECK(descriptor.word(direction).close().waiter == nullptr,
                "remove() was called while somebody waits; close() wakes, remove() does not");
  }
  const int fd = descriptor.fd;
  descriptor.owns_number = false;
  leave(descriptor);
  return fd;
}

// The caller has stored first; here it looks and withdraws: pairs with whoever begins a life,
// prepares, and then looks at what the caller has stored. All of it is sequentially consistent.
WaiterList PollerCore::withdraw_all(WakeReason reason) {
  WaiterList out;
  for_each_open([&](Descriptor& descriptor, std::uint32_t) {
    for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
      if (Waiter* const waiter = descriptor.withdraw(direction, reason)) out.push_back(*waiter);
      if (descriptor.lifetime.has_line()) descriptor.disturb_line(direction, reason, out);
    }
  });
  return out;
}

// Once the lock is left, whoever armed is through and whoever would arm sees the flag: the kernel
// is told afterwards, because remove() may wait for a sleeper (G7).
void PollerCore::disconnect(Descriptor& descriptor) {
  {
    MutexLock lock(descriptor.mu);
    descriptor.closing = true;
  }
  if (!is_inherited()) backend_->remove(descriptor.fd);
}

void PollerCore::finish(Descriptor& descriptor) {
  PollerCore& poller = *descriptor.poller.load(kRelaxed);
  const int fd = descriptor.fd;
  const bool owns_number = descriptor.owns_number;
  // Before the close, after which the kernel gives the number to another owner at once. From here
  // on the slot may be another life's.
  poller.table_.free(descriptor, fd);
  // Linux closes the number even when close() says EINTR, and nothing else can be done about it.
  if (owns_number) ::close(fd);
  poller.descriptors_.fetch_sub(1, kRelease);  // Pairs with ~PollerCore(): the last use of poller.
}

}  // namespace rearm::detail
