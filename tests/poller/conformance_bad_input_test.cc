// Conformance: bad input gets an error by its name, and everything else goes on (G8).
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "base/sanitizer.h"
#include "poller/conformance.h"
#include "support/race.h"
#include "support/scale.h"

namespace rearm::test {
namespace {

// R52 (golang/go#24164, #22923): the caller learns at once that there is nothing to wait for.
TEST_P(Conformance, WhatIsAlwaysReadyIsNotPollableAndStaysTheCallers) {
  char path[] = "/tmp/rearm_conformance_XXXXXX";
  const UniqueFd file(require(::mkstemp(path), "mkstemp"));
  (void)::unlink(path);
  const UniqueFd directory(require(::open("/", O_RDONLY | O_DIRECTORY), "open"));
  for (const UniqueFd* fd : {&file, &directory}) {
    const auto token = poller().add(fd->get());
    ASSERT_FALSE(token);
    EXPECT_EQ(token.error(), Errc::kNotPollable);
    EXPECT_TRUE(is_open(fd->get()));
  }
  EXPECT_EQ(poller().stats().descriptors, 0U);
}

// A device that nobody can wait for is refused by epoll; where the kernel takes it, it is ready.
TEST_P(Conformance, ADeviceThatIsAlwaysReadyIsRefusedOrReady) {
  UniqueFd null(require(::open("/dev/null", O_RDWR), "open"));
  const auto token = poller().add(null.get());
  if (!token) {
    EXPECT_EQ(token.error(), Errc::kNotPollable);
    EXPECT_EQ(::write(null.get(), "x", 1), 1);
    return;
  }
  (void)null.release();
  CountingWaiter reader;
  park(*token, Direction::kRead, reader);
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(*token), 0U);
}

TEST_P(Conformance, ANamedPipeIsPollable) {
  char directory[] = "/tmp/rearm_conformance_XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  UniqueFd reading(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const UniqueFd writing(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  (void)::unlink(path.c_str());
  (void)::rmdir(directory);
  const Token token = add(std::move(reading));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  send_text(writing.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, ATerminalIsPollable) {
  const UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (master.get() < 0) GTEST_SKIP() << "no pseudo-terminals here";
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  char name[128];
  ASSERT_EQ(::ptsname_r(master.get(), name, sizeof(name)), 0);
  UniqueFd terminal(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_GE(terminal.get(), 0);
  const Token token = add(std::move(terminal));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  send_text(master.get(), "a line\n");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

// R09 (libuv#5130): a number that the application has closed is an error, never an abort.
TEST_P(Conformance, AClosedNumberIsClosed) {
  const int number = std::move(socket_pair().a).get();
  ASSERT_FALSE(is_open(number));
  const auto token = poller().add(number);
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error(), Errc::kClosed);
}

TEST_P(Conformance, ANegativeNumberIsAnInvalidArgument) {
  for (const int number : {-1, -2, -1'000'000}) {
    const auto token = poller().add(number);
    ASSERT_FALSE(token);
    EXPECT_EQ(token.error(), Errc::kInvalidArgument);
    EXPECT_EQ(token.error(), std::errc::invalid_argument);
  }
}

// R50 (PhotonLibOS#1265): number 0 is a descriptor like any other.
TEST_P(Conformance, NumberZeroIsADescriptorLikeAnyOther) {
  const bool had_input = is_open(0);
  UniqueFd saved;
  if (had_input) saved = duplicate(0);
  FdPair pair = socket_pair();
  ASSERT_EQ(::dup2(pair.a.get(), 0), 0);
  const auto token = poller().add(0);
  ASSERT_TRUE(token);
  CountingWaiter reader;
  park(*token, Direction::kRead, reader);
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(poller().begin(*token, Direction::kRead)->fd(), 0);
  EXPECT_EQ(close(*token), 0U);
  EXPECT_FALSE(is_open(0));
  if (had_input) {
    EXPECT_EQ(::dup2(saved.get(), 0), 0);
  }
}

// To the same poller or to another: each would close the number.
TEST_P(Conformance, ADescriptorThatIsAddedTwiceIsRefusedAndTheFirstGoesOn) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  auto other = Poller::open({.backend = GetParam()});
  ASSERT_TRUE(other);
  for (Poller* const poller : {&this->poller(), &*other}) {
    const auto again = poller->add(number);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), std::error_code(EEXIST, std::system_category()));
    EXPECT_EQ(poller->stats().descriptors, poller == &*other ? 0U : 1U);
  }
  EXPECT_TRUE(is_open(number));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

// Lowers the number of descriptors that may be open, for as long as this lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(int lowest_refused) {
    (void)::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit lower = before_;
    lower.rlim_cur = static_cast<rlim_t>(lowest_refused);
    (void)require(::setrlimit(RLIMIT_NOFILE, &lower), "setrlimit");
  }
  ~DescriptorLimit() { (void)::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  rlimit before_;
};

// Out of descriptors at the first, the second … thing that open() needs: an error each time, and
// what was made before is given back (the tear-down counts).
TEST_P(Conformance, OpeningAPollerWithoutDescriptorsLeftIsAnError) {
  const int next = duplicate(0).get();
  int errors = 0;
  for (int available = 0; available < 8; ++available) {
    const DescriptorLimit limit(next + available);
    const auto opened = Poller::open({.backend = GetParam()});
    if (opened) break;
    EXPECT_EQ(opened.error(), std::errc::too_many_files_open);
    ++errors;
  }
  EXPECT_GT(errors, 0);
}

#if !REARM_TSAN  // It reports the close behind the library's back, which is the test.

// R09: add() races with a close of the number behind the library's back. Forbidden: to abort.
TEST_P(Conformance, AddingWhileTheNumberIsBeingClosedNeverAborts) {
  struct Lane {
    int number = -1;
    Result<Token> token{};
  };
  std::array<Lane, kLanes> lanes;
  race(
      scaled(2'000), [&](std::size_t i) { lanes[i].number = event_fd().release(); },
      {[&](std::size_t i) { lanes[i].token = poller().add(lanes[i].number); },
       [&](std::size_t i) { (void)::close(lanes[i].number); }},
      [&](std::size_t i) {
        const Lane& lane = lanes[i];
        if (lane.token) {
          EXPECT_EQ(close(*lane.token), 0U);
        } else {
          EXPECT_EQ(lane.token.error(), Errc::kClosed);
        }
      });
  (void)take_breaches();  // The witness has seen numbers vanish.
}

#endif

TEST_P(Conformance, MisuseStopsTheProcessWithASentence) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Token token = add_quiet();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_DEATH((void)poller().remove(token), "rearm: remove\\(\\) was called while somebody waits");
  EXPECT_DEATH(poller_.reset(), "rearm: a poller was destroyed while somebody waits on it");
  EXPECT_EQ(close(token), 1U);
}

TEST_P(Conformance, DestroyingAPollerDuringAnOperationStopsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Token token = add_quiet();
  auto operation = poller().begin(token, Direction::kRead);
  ASSERT_TRUE(operation);
  EXPECT_DEATH(poller_.reset(), "rearm: a poller was destroyed during an operation");
  operation->leave();
  EXPECT_EQ(close(token), 0U);
}

}  // namespace
}  // namespace rearm::test
