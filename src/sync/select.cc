// Selection: one waiter stands in the lines of several things (base/claim.h).
//
// How it goes. First each case is tried as if it were alone. If none can be done, the waiter stands
// in every line, and tries each once more as it comes there. While it tries, its claim is its own,
// so that what it takes is all that it takes; a giver who comes in that moment leaves the thing
// where it is and notes that it has passed the waiter over, who then tries all of them again. At
// the end it leaves every line under its lock: whoever has given something is through by then.
//
// One at a time. Two that try at once, and would serve each other, would pass each other over, and
// could do so in step for ever (the explorer found that). So who stands in the lines does so under
// a lock of the process; what can be done at once, waiting and leaving need it not.
#include "rearm/sync/select.h"

#include <optional>

#include "base/check.h"
#include "base/claim.h"
#include "base/this_thread.h"
#include "base/virtual_clock.h"
#include "base/wait_queue.h"
#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/channel_core.h"
#include "sync/count_gate.h"
#include "sync/line.h"

namespace rearm::detail {

struct CaseState {
  // Whether it was done.
  [[nodiscard]] bool try_alone(WaiterList& woken) noexcept {
    is_closed = false;
    return channel != nullptr ? channel->try_case(sends, bytes, is_closed, woken, nullptr)
                              : gate->is_open();
  }

  // Whether it is decided which case it is: this one, or another.
  [[nodiscard]] bool try_or_stand(Claim& claim, int place, bool& was_passed_over,
                                  WaiterList& woken) noexcept {
    if (!node) node.emplace(claim, place, bytes);
    const CaseTurn turn{
        .claim = claim, .node = *node, .place = place, .was_passed_over = was_passed_over};
    return channel != nullptr ? channel->try_case(sends, bytes, is_closed, woken, &turn)
                              : gate->try_case(turn);
  }

  void leave() noexcept {
    if (!node) return;
    if (channel != nullptr) {
      channel->leave_case(sends, *node);
    } else {
      gate->leave_case(*node);
    }
    if (node->is_closed) is_closed = true;
    node.reset();
  }

  ChannelCore* channel = nullptr;
  CountGate* gate = nullptr;
  void* bytes = nullptr;
  bool sends = false;
  bool is_closed = false;
  std::uint8_t selects = 0;  // How many there were, for those that are under control.
  std::optional<WaitQueue::Node> node = std::nullopt;
};

namespace {

// Each time another case is the first. Under control it must not depend on other runs.
std::size_t next_first(CaseState& one, std::size_t count) noexcept {
  return (VirtualClock::anywhere() ? one.selects++ : next_turn_of_thread()) % count;
}

}  // namespace

SelectCase::SelectCase(ChannelCore& channel, bool sends, void* bytes) noexcept
    : state_(std::in_place) {
  state_->channel = &channel;
  state_->bytes = bytes;
  state_->sends = sends;
}
SelectCase::SelectCase(CountGate& gate) noexcept : state_(std::in_place) { state_->gate = &gate; }
SelectCase::~SelectCase() = default;

CountGate& SelectCase::gate_of(::rearm::Event& event) noexcept { return *event.gate_; }

void check_not_sent(bool is_sent) {
  REARM_CHECK(!is_sent, "a SendCase was used once more after its value had been sent");
}

// One select(), of cases of which none could be done at once.
class Selection {
 public:
  template <class StateOf>
  [[nodiscard]] static Result<std::size_t> run(std::size_t count, std::size_t first,
                                               const StateOf& state_of, Deadline deadline,
                                               const void* where) noexcept {
    OwnWait own(Cancellable::kYes);
    Claim claim(own.word());
    if (own.begin() == OwnWait::Begun::kRefused) return std::unexpected(Errc::kCancelled);
    WaiterList woken;
    Errc error = Errc::kCancelled;
    if (!stand_in_all(count, first, state_of, claim, woken))
      error = wait(own, deadline, {.act = &act::kSelect, .where = where});
    const int winner = claim.close();
    for (std::size_t i = 0; i < count; ++i) state_of(i).leave();
    Worker::wake(woken);
    if (winner == Claim::kNobody) return std::unexpected(error);
    return static_cast<std::size_t>(winner);
  }

 private:
  // Whether it is decided already.
  template <class StateOf>
  [[nodiscard]] static bool stand_in_all(std::size_t count, std::size_t first,
                                         const StateOf& state_of, Claim& claim,
                                         WaiterList& woken) noexcept {
    MutexLock lock(standing_mu);
    bool was_passed_over = true;
    while (was_passed_over) {
      was_passed_over = false;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = (first + i) % count;
        if (state_of(at).try_or_stand(claim, static_cast<int>(at), was_passed_over, woken)) {
          return true;
        }
      }
    }
    return false;
  }

  // Returns why, if nobody has won.
  [[nodiscard]] static Errc wait(OwnWait& own, Deadline deadline, const WaitingFor& what) noexcept {
    for (;;) {
      const auto reason = own.wait(deadline, what);
      if (reason) return reason == WakeReason::kTimedOut ? Errc::kTimedOut : Errc::kCancelled;
      if (own.begin() != OwnWait::Begun::kPark) return Errc::kCancelled;
    }
  }
};

Result<std::size_t> select_of(std::span<SelectCase* const> cases, Deadline deadline) {
  if (cases.empty()) return std::unexpected(Errc::kInvalidArgument);
  const ChoicesAround choices(act::kSelect);
  for (SelectCase* const one : cases) one->forget();
  if (has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  if (deadline.is_standing()) deadline = Deadline::never();
  const auto state_of = [cases](std::size_t at) -> CaseState& { return *cases[at]->state_; };
  const std::size_t first = next_first(state_of(0), cases.size());
  Result<std::size_t> chosen = std::unexpected(Errc::kTimedOut);
  WaiterList woken;
  for (std::size_t i = 0; i < cases.size() && !chosen; ++i) {
    const std::size_t at = (first + i) % cases.size();
    if (state_of(at).try_alone(woken)) chosen = at;
  }
  Worker::wake(woken);
  if (!chosen && !deadline.is_immediate()) {
    chosen = Selection::run(cases.size(), first, state_of, deadline, __builtin_return_address(0));
  }
  if (chosen) cases[*chosen]->done(state_of(*chosen).is_closed);
  return chosen;
}

}  // namespace rearm::detail
