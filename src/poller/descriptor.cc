#include "poller/descriptor.h"

namespace rearm::detail {

void Descriptor::publish(Ready ready, WaiterList& out) noexcept {
  // Before the words: a reader that is let through by this report must see it.
  if (ready.has_hang_up()) [[unlikely]]
    hang_up_seen.store(true, kSeqCst);
  if (ready.has(Direction::kRead)) publish_one(Direction::kRead, out);
  if (ready.has(Direction::kWrite)) publish_one(Direction::kWrite, out);
}

void Descriptor::publish_one(Direction direction, WaiterList& out) noexcept {
  WaitWord& one = word(direction);
  // Most reports of an edge-triggered kernel say again that there is room to write.
  if (one.is_ready()) return;
  if (Waiter* const waiter = one.publish().waiter) {
    waiter->set_reason(WakeReason::kReady);
    out.push_back(*waiter);
  }
}

Waiter* Descriptor::withdraw(Direction direction, WakeReason reason) noexcept {
  Waiter* const waiter = word(direction).withdraw();
  if (waiter != nullptr) waiter->set_reason(reason);
  return waiter;
}

bool Descriptor::stand_in_line(TurnNode& node) noexcept {
  MutexLock lock(mu);
  if (closing) return false;
  line.push_back(node);
  lifetime.mark_line();
  return true;
}

Lifetime::Entered Descriptor::try_turn(TurnNode& node) noexcept {
  MutexLock lock(mu);
  if (closing) return Lifetime::Entered::kClosed;
  if (line.first(node.direction) != &node) return Lifetime::Entered::kBusy;
  const Lifetime::Entered entered = lifetime.enter(generation, node.direction);
  if (entered == Lifetime::Entered::kYes) take_out_of_line(node);
  return entered;
}

Waiter* Descriptor::leave_line(TurnNode& node) noexcept {
  MutexLock lock(mu);
  take_out_of_line(node);
  return node.waits_for(node.direction) ? call_first(node.direction) : nullptr;
}

Waiter* Descriptor::call_next(Direction direction) noexcept {
  MutexLock lock(mu);
  return closing ? nullptr : call_first(direction);
}

void Descriptor::disturb_line(Direction direction, WakeReason reason, WaiterList& out) noexcept {
  MutexLock lock(mu);
  line.for_each([&](TurnNode& node) {
    if (node.direction != direction) return;
    if (Waiter* const waiter = node.word.withdraw()) {
      waiter->set_reason(reason);
      out.push_back(*waiter);
    }
  });
}

void Descriptor::take_out_of_line(TurnNode& node) noexcept {
  line.take_out(node);
  if (line.empty()) lifetime.unmark_line();
}

Waiter* Descriptor::call_first(Direction direction) noexcept {
  TurnNode* const first = line.first(direction);
  if (first == nullptr) return nullptr;
  Waiter* const waiter = first->word.publish().waiter;
  if (waiter != nullptr) waiter->set_reason(WakeReason::kReady);
  return waiter;
}

void Descriptor::begin_life(int new_fd, PollerCore& new_poller) {
  const std::uint32_t new_generation = lifetime.next_generation();
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    word(direction).reset();
    standing_deadline_ns(direction).store(Deadline::never().ns(), kRelaxed);
  }
  hang_up_seen.store(false, kRelaxed);
  poller.store(&new_poller, kRelaxed);
  {
    MutexLock lock(mu);
    fd = new_fd;
    generation = new_generation;
    owns_number = true;
    read_drained = false;
    armed = Ready::none();
    line = TurnQueue{};
    closing = false;
  }
  lifetime.begin_life(new_generation);
}

}  // namespace rearm::detail
