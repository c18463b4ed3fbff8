// Event ports as illumos documents them: associations, reports, dissociation, close and fork. All
// of this is said through <port.h>, so that it can be put to the real kernel, too.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "emulation/event_port_fixture.h"

namespace rearm::test {
namespace {

class EventPort : public EventPortTest {};

// P1
TEST_F(EventPort, WhatIsReadyIsReportedOnceUntilItIsAssociatedAgain) {
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(associate(pair.a.get(), POLLIN, 7), 0);
  const Got got = await();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(got.events[0].portev_source, PORT_SOURCE_FD);
  EXPECT_EQ(got.events[0].portev_object, static_cast<std::uintptr_t>(pair.a.get()));
  EXPECT_EQ(got.events[0].portev_events, POLLIN);
  EXPECT_EQ(number_of(got.events[0]), 7U);
  send_text(pair.b.get(), "y");
  EXPECT_EQ(take().count, 0U);
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  EXPECT_EQ(take().count, 1U);
}

// P2
TEST_F(EventPort, WhatBecomesReadyLaterIsReportedThen) {
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  EXPECT_EQ(take().count, 0U);
  PortWaiter waiter(port());
  send_text(pair.b.get(), "x");
  waiter.join();
  ASSERT_EQ(waiter.result, 0);
  ASSERT_EQ(waiter.count, 1U);
  EXPECT_EQ(waiter.events[0].portev_events, POLLIN);
}

TEST_F(EventPort, OneReportSilencesBothDirections) {
  FdPair pair = socket_pair();
  fill(pair.a.get());
  ASSERT_EQ(associate(pair.a.get(), POLLIN | POLLOUT), 0);
  EXPECT_EQ(take().count, 0U);
  send_text(pair.b.get(), "x");
  const Got got = await();
  ASSERT_EQ(got.count, 1U);
  EXPECT_NE(got.events[0].portev_events & POLLIN, 0);
  (void)drain(pair.b.get());  // There is room to write now.
  EXPECT_EQ(take().count, 0U);
  ASSERT_EQ(associate(pair.a.get(), POLLOUT), 0);
  EXPECT_EQ(take().count, 1U);
}

// P3; R62 (golang/go#27861, #30840)
TEST_F(EventPort, AnEmptyInterestReportsErrorsAndHangUpsOnly) {
  FdPair quiet = socket_pair();
  send_text(quiet.b.get(), "x");
  ASSERT_EQ(associate(quiet.a.get(), 0), 0);
  EXPECT_EQ(take().count, 0U);
  FdPair reading = pipe_pair();
  FdPair writing = pipe_pair();
  ASSERT_EQ(associate(reading.a.get(), 0, 1), 0);
  ASSERT_EQ(associate(writing.b.get(), 0, 2), 0);
  EXPECT_EQ(take().count, 0U);
  reading.b.reset();
  Got got = take();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(number_of(got.events[0]), 1U);
  EXPECT_NE(got.events[0].portev_events & POLLHUP, 0);
  writing.a.reset();
  got = take();
  ASSERT_EQ(got.count, 1U);
  EXPECT_NE(got.events[0].portev_events & (POLLERR | POLLHUP), 0);
}

TEST_F(EventPort, AssociateChecksItsArguments) {
  EXPECT_EQ(associate(-1, POLLIN), -1);
  EXPECT_EQ(errno, EBADFD);
  EXPECT_EQ(::port_associate(port(), PORT_SOURCE_USER, 0, POLLIN, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(EventPort, ARegularFileIsAlwaysReady) {
  char path[] = "/tmp/rearm_event_port_XXXXXX";
  const UniqueFd file(require(::mkstemp(path), "mkstemp"));
  (void)::unlink(path);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(associate(file.get(), POLLIN | POLLOUT), 0);
    EXPECT_EQ(take().count, 1U);
  }
}

// P4
TEST_F(EventPort, AssociatingAgainReplacesAQueuedReport) {
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(associate(pair.a.get(), POLLIN, 1), 0);
  ASSERT_EQ(queued(), 1U);
  ASSERT_EQ(associate(pair.a.get(), POLLOUT, 2), 0);
  ASSERT_EQ(queued(), 1U);
  const Got got = take();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(number_of(got.events[0]), 2U);
  EXPECT_EQ(got.events[0].portev_events, POLLOUT);
  // And if nothing is true any more, nothing is left.
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  ASSERT_EQ(queued(), 1U);
  (void)drain(pair.a.get());
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  EXPECT_EQ(queued(), 0U);
}

TEST_F(EventPort, AssociatingAgainReplacesAnInterestThatIsArmed) {
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN, 1), 0);
  ASSERT_EQ(associate(pair.a.get(), 0, 2), 0);
  send_text(pair.b.get(), "x");
  EXPECT_EQ(take().count, 0U);
  ASSERT_EQ(associate(pair.a.get(), POLLIN, 3), 0);
  const Got got = take();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(number_of(got.events[0]), 3U);
}

// P5
TEST_F(EventPort, AssociatingAfterTheReportLooksAtTheStateOnce) {
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
    ASSERT_EQ(take().count, 1U) << i;
  }
  (void)drain(pair.a.get());
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  EXPECT_EQ(take().count, 0U);
  send_text(pair.b.get(), "y");
  EXPECT_EQ(take().count, 1U);
}

// P6
TEST_F(EventPort, CloseTakesTheQueuedReportAlongWhateverDuplicatesThereAre) {
  FdPair pair = socket_pair();
  const UniqueFd twin = duplicate(pair.a.get());
  const int number = pair.a.get();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(associate(number, POLLIN), 0);
  ASSERT_EQ(queued(), 1U);
  pair.a.reset();
  EXPECT_EQ(queued(), 0U);
  EXPECT_EQ(associate(number, POLLIN), -1);
  EXPECT_EQ(errno, EBADFD);
  // What the number names next starts from nothing.
  const UniqueFd stranger = duplicate(twin.get());
  ASSERT_EQ(stranger.get(), number);
  EXPECT_EQ(dissociate(number), -1);
  EXPECT_EQ(errno, ENOENT);
  send_text(pair.b.get(), "y");
  EXPECT_EQ(take().count, 0U);
}

TEST_F(EventPort, CloseOfADuplicateDoesNotMatter) {
  FdPair pair = socket_pair();
  UniqueFd twin = duplicate(pair.a.get());
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  twin.reset();
  send_text(pair.b.get(), "x");
  EXPECT_EQ(take().count, 1U);
}

TEST_F(EventPort, ADuplicateOntoTheNumberClosesIt) {
  FdPair pair = socket_pair();
  const FdPair other = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  ASSERT_EQ(::dup2(other.a.get(), pair.a.get()), pair.a.get());
  send_text(other.b.get(), "x");
  EXPECT_EQ(take().count, 0U);
  EXPECT_EQ(dissociate(pair.a.get()), -1);
  EXPECT_EQ(errno, ENOENT);
}

// P7
TEST_F(EventPort, DissociateTellsWhatItFound) {
  FdPair pair = socket_pair();
  const int fd = pair.a.get();
  EXPECT_EQ(dissociate(fd), -1);
  EXPECT_EQ(errno, ENOENT);
  ASSERT_EQ(associate(fd, POLLIN), 0);
  EXPECT_EQ(dissociate(fd), 0) << "armed";
  send_text(pair.b.get(), "x");
  EXPECT_EQ(take().count, 0U);
  ASSERT_EQ(associate(fd, POLLIN), 0);
  ASSERT_EQ(queued(), 1U);
  EXPECT_EQ(dissociate(fd), 0) << "reported, not retrieved";
  EXPECT_EQ(queued(), 0U);
  ASSERT_EQ(associate(fd, POLLIN), 0);
  ASSERT_EQ(take().count, 1U);
  EXPECT_EQ(dissociate(fd), -1) << "retrieved";
  EXPECT_EQ(errno, ENOENT);
  ASSERT_EQ(associate(fd, POLLIN), 0);
  const FdPair other = socket_pair();
  EXPECT_EQ(dissociate(other.a.get()), -1);
  EXPECT_EQ(errno, ENOENT);
  const int closed = std::exchange(pair.b, UniqueFd()).get();
  EXPECT_EQ(dissociate(closed), -1);
  EXPECT_EQ(errno, EBADFD);
}

// P7: associations belong to the process that made them.
TEST_F(EventPort, AChildMayNotDissociateWhatItsParentAssociated) {
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool is_refused = dissociate(pair.a.get()) == -1 && errno == EACCES;
    ::_exit(is_refused ? 17 : 1);
  }
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 17);
  send_text(pair.b.get(), "x");
  EXPECT_EQ(await().count, 1U);
}

TEST_F(EventPort, AChildMayMakeAPortOfItsOwn) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int mine = ::port_create();
    FdPair pair = socket_pair();
    send_text(pair.b.get(), "x");
    port_event_t event;
    const bool works =
        ::port_associate(mine, PORT_SOURCE_FD, static_cast<std::uintptr_t>(pair.a.get()), POLLIN,
                         nullptr) == 0 &&
        ::port_get(mine, &event, nullptr) == 0 && event.portev_events == POLLIN;
    ::_exit(works ? 17 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 17);
}

}  // namespace
}  // namespace rearm::test
