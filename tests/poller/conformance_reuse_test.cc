// Conformance: the number and the slot of a closed descriptor are somebody else's at once, and
// nothing of the earlier life reaches the later one (G3).
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "poller/backend.h"
#include "poller/conformance.h"

namespace rearm::test {
namespace {

// Every call that takes a token refuses this one, and none of them has an effect.
void expect_refused(Poller& poller, Token token) {
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    CountingWaiter waiter;
    EXPECT_EQ(poller.begin(token, direction).error(), Errc::kClosed);
    EXPECT_EQ(poller.wait(token, direction, waiter).error(), Errc::kClosed);
    EXPECT_EQ(poller.prepare(token, direction).error(), Errc::kClosed);
    EXPECT_EQ(poller.arm(token, direction), Errc::kClosed);
    EXPECT_FALSE(poller.commit(token, direction, waiter));
    EXPECT_EQ(poller.cancel(token, direction, WakeReason::kCancelled), nullptr);
  }
  EXPECT_EQ(poller.remove(token).error(), Errc::kClosed);
  EXPECT_EQ(poller.close(token).error(), Errc::kClosed);
}

TEST_P(Conformance, ATokenOfAnEarlierLifeIsRefusedByEveryCall) {
  const Token old_token = add_quiet();
  EXPECT_EQ(close(old_token), 0U);
  expect_refused(poller(), old_token);
  const Token token = add_quiet();
  ASSERT_EQ(token.slot, old_token.slot);
  expect_refused(poller(), old_token);
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_EQ(close(token), 1U);
}

TEST_P(Conformance, ATokenThatNobodyGaveOutIsRefusedByEveryCall) {
  const Token token = add_quiet();
  expect_refused(poller(), Token{});
  expect_refused(poller(), {.slot = token.slot, .generation = 0});
  expect_refused(poller(), {.slot = token.slot, .generation = token.generation + 1});
  expect_refused(poller(), {.slot = token.slot, .generation = 0xFFFF'FFFF});
  expect_refused(poller(), {.slot = 0xFFFF'FFFF, .generation = 1});
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, ATokenOfAnotherPollerIsRefusedByEveryCall) {
  auto other = open_poller(GetParam());
  ASSERT_TRUE(other);
  const Token token = add_quiet();
  expect_refused(*other, token);
  EXPECT_EQ(close(token), 0U);
}

// G8: a number has one owner until it is closed, and it is not closed while an operation is inside.
TEST_P(Conformance, ANumberIsNotAddedAgainWhileAnOperationOfItsLastLifeIsInside) {
  UniqueFd fd = event_fd();
  const int number = fd.get();
  const auto token = poller().add(fd.release());
  ASSERT_TRUE(token);
  auto operation = poller().begin(*token, Direction::kRead);
  ASSERT_TRUE(operation);
  EXPECT_TRUE(poller().close(*token));
  const auto again = poller().add(number);
  EXPECT_FALSE(again) << "the last one out will close the number of its second owner";
  EXPECT_EQ(again.error(), std::error_code(EEXIST, std::system_category()));
  operation->leave();
  EXPECT_FALSE(is_open(number));
  const UniqueFd other = event_fd();
  EXPECT_EQ(other.get(), number) << "the lowest free number";
  const auto next = poller().add(other.get());
  ASSERT_TRUE(next);
  EXPECT_EQ(poller().remove(*next).value_or(-1), number);
}

// R44 (mio#267): added and closed before anything was reported.
TEST_P(Conformance, AddedAndClosedAtOnceReportsNothingToTheNextOne) {
  for (int i = 0; i < 100; ++i) {
    const Token gone = add(event_fd(1));
    EXPECT_EQ(close(gone), 0U);
    const Token token = add(event_fd());
    CountingWaiter reader;
    park(token, Direction::kRead, reader);
    EXPECT_EQ(collect_now(), 0U);
    EXPECT_EQ(close(token), 1U);
    EXPECT_EQ(reader.reason(), WakeReason::kClosed);
  }
}

// R02 (golang/go#59545): pipes whose reading end is closed first leave an error on the writing
// end; a fresh pipe in the same slot must not inherit it.
TEST_P(Conformance, AnErrorOfADeadPipeDoesNotReachTheNextOneInItsSlot) {
  for (int i = 0; i < 200; ++i) {
    FdPair dying = pipe_pair();
    const Token gone = add(std::move(dying.b));
    dying.a.reset();
    EXPECT_TRUE(becomes_ready(gone, Direction::kWrite)) << "the error is readiness";
    EXPECT_EQ(close(gone), 0U);

    FdPair fresh = pipe_pair();
    const Token token = add(std::move(fresh.a));
    ASSERT_EQ(token.slot, gone.slot);
    CountingWaiter reader;
    park(token, Direction::kRead, reader);
    EXPECT_EQ(collect_now(), 0U) << "woken by the dead pipe's error";
    send_text(fresh.b.get(), "x");
    EXPECT_TRUE(returns(reader));
    EXPECT_EQ(close(token), 0U);
  }
}

// R08 (libuv#4323): the file lives on through a duplicate, so the kernel's association would too,
// and would report the old token under a number that is somebody else's by then.
TEST_P(Conformance, AFileThatLivesOnThroughADuplicateIsReportedNoMore) {
  FdPair pair = socket_pair();
  const UniqueFd duplicate_fd = duplicate(pair.a.get());
  const int number = pair.a.get();
  const Token gone = add(std::move(pair.a));
  CountingWaiter reader;
  park(gone, Direction::kRead, reader);
  EXPECT_EQ(close(gone), 1U);

  UniqueFd reused = event_fd();
  ASSERT_EQ(reused.get(), number);
  const Token token = add(std::move(reused));
  park(token, Direction::kRead, reader);
  for (int i = 0; i < 10; ++i) {
    send_text(pair.b.get(), "to the duplicate");
    EXPECT_EQ(collect_now(), 0U);
  }
  EXPECT_EQ(collect_quietly(), 0U);
  EXPECT_EQ(poller().stats().stale_events, 0U) << "the kernel was not told to forget";
  EXPECT_EQ(close(token), 1U);
}

// R11 (grpc#597, #4642): released to the caller, who may use it as he likes. No report is under way
// here; the next test has one that is.
TEST_P(Conformance, ARemovedDescriptorWakesNobody) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kCancelled), &reader);
  const auto removed = poller().remove(token);
  ASSERT_TRUE(removed);
  const UniqueFd fd(*removed);
  EXPECT_EQ(fd.get(), number);
  send_text(pair.b.get(), "after");
  EXPECT_EQ(collect_quietly(), 0U);
  EXPECT_EQ(poller().stats().stale_events, 0U);
  const int handle = poller().native_handle();
  EXPECT_TRUE(handle < 0 || !is_readable(handle));
  EXPECT_EQ(drain(fd.get()), "after") << "open and non-blocking";
}

// Calls back between the kernel and the poller, when reports have been copied out of the kernel.
class CopiedOut final : public detail::Backend {
 public:
  explicit CopiedOut(std::unique_ptr<detail::Backend> inner)
      : Backend(inner->name(), inner->needs_arm()), inner_(std::move(inner)) {}

  std::error_code open() override { return {}; }
  std::error_code add(int fd, Token token) override { return inner_->add(fd, token); }
  std::error_code arm(int fd, Token token, detail::Ready interest) override {
    return inner_->arm(fd, token, interest);
  }
  void remove(int fd) override { inner_->remove(fd); }
  detail::WaitResult wait(std::span<detail::Event> events, Deadline deadline) override {
    const detail::WaitResult result = inner_->wait(events, deadline);
    if (result.count != 0 && on_copied) std::exchange(on_copied, nullptr)();
    return result;
  }
  void wake() noexcept override { inner_->wake(); }
  int native_handle() noexcept override { return inner_->native_handle(); }

  std::function<void()> on_copied;

 private:
  std::unique_ptr<detail::Backend> inner_;
};

// R11, R14 (HPCC-Platform#7859): the report has left the kernel when the descriptor is removed, and
// when the caller has added it again, under the same number and in the same slot.
TEST_P(Conformance, AReportThatIsUnderWayWhenItsDescriptorIsRemovedActsOnNobody) {
  auto backend = std::make_unique<CopiedOut>(detail::open_backend(GetParam()).value());
  CopiedOut& kernel = *backend;
  poller_.emplace(poller_over(std::move(backend)));
  FdPair pair = socket_pair();
  Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  (void)collect_now();  // That it is writable.
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kCancelled), &reader);
  send_text(pair.b.get(), "late");
  kernel.on_copied = [&] {
    const std::uint32_t slot = token.slot;
    const auto removed = poller().remove(token);
    ASSERT_TRUE(removed);
    EXPECT_EQ(drain(*removed), "late");
    token = add(UniqueFd(*removed));
    ASSERT_EQ(token.slot, slot);
    park(token, Direction::kRead, reader);
  };
  EXPECT_EQ(collect_quietly(), 0U) << "a report of the earlier life woke the reader of the later";
  EXPECT_FALSE(kernel.on_copied) << "nothing was under way";
  EXPECT_GT(poller().stats().stale_events, 0U);
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

// R66 (libmtev#81): added again after it was removed, to the same poller and to another.
TEST_P(Conformance, ARemovedDescriptorMayBeAddedAgainAnywhere) {
  auto other = open_poller(GetParam());
  ASSERT_TRUE(other);
  FdPair pair = socket_pair();
  int number = pair.a.release();
  Poller* pollers[] = {&poller(), &poller(), &*other, &poller()};
  Token last{};
  for (Poller* const where : pollers) {
    const auto token = where->add(number);
    ASSERT_TRUE(token);
    EXPECT_NE(*token, last);
    last = *token;
    CountingWaiter reader;
    const auto prepared = where->wait(*token, Direction::kRead, reader);
    ASSERT_TRUE(prepared);
    ASSERT_EQ(*prepared, Poller::Prepared::kParked);
    send_text(pair.b.get(), "x");
    EXPECT_EQ(count_returns(where->collect(Deadline::after(kPatience))), 1U);
    EXPECT_EQ(drain(number), "x");
    const auto removed = where->remove(*token);
    ASSERT_TRUE(removed);
    number = *removed;
  }
  UniqueFd(number).reset();
}

TEST_P(Conformance, RemoveIsBusyWhileAnOperationIsInProgress) {
  const Token token = add_quiet();
  auto operation = poller().begin(token, Direction::kWrite);
  ASSERT_TRUE(operation);
  EXPECT_EQ(poller().remove(token).error(), Errc::kBusy);
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kCancelled), &reader);
  operation->leave();
  const auto removed = poller().remove(token);
  ASSERT_TRUE(removed);
  UniqueFd(*removed).reset();
  EXPECT_EQ(poller().remove(token).error(), Errc::kClosed);
}

// The descriptor is open in its own words after remove(), so an operation that begins is refused.
TEST_P(Conformance, NothingBeginsAfterRemove) {
  const Token token = add_quiet();
  const auto removed = poller().remove(token);
  ASSERT_TRUE(removed);
  const UniqueFd fd(*removed);
  expect_refused(poller(), token);
  EXPECT_TRUE(is_open(fd.get()));
}

}  // namespace
}  // namespace rearm::test
