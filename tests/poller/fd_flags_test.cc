// The two flags that every descriptor in the library's care has.
#include "poller/fd_flags.h"

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "rearm/error.h"
#include "support/leak_check.h"
#include "support/sockets.h"

namespace rearm::detail {
namespace {

class FdFlags : public test::LeakCheck {};

TEST_F(FdFlags, ABlockingInheritableDescriptorGetsBoth) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const test::UniqueFd reading(fds[0]);
  const test::UniqueFd writing(fds[1]);
  EXPECT_FALSE(make_nonblocking_cloexec(reading.get()));
  EXPECT_NE(::fcntl(reading.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(reading.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(::fcntl(writing.get(), F_GETFL) & O_NONBLOCK, 0) << "the other end is not ours";
}

TEST_F(FdFlags, OtherStatusFlagsStay) {
  const test::FdPair pipe = test::pipe_pair();
  ASSERT_EQ(::fcntl(pipe.b.get(), F_SETFL, O_APPEND), 0);
  EXPECT_FALSE(make_nonblocking_cloexec(pipe.b.get()));
  EXPECT_NE(::fcntl(pipe.b.get(), F_GETFL) & O_APPEND, 0);
}

TEST_F(FdFlags, WhatIsNoDescriptorIsAnErrorByName) {
  EXPECT_EQ(make_nonblocking_cloexec(-1), Errc::kInvalidArgument);
  const int closed = test::pipe_pair().a.get();
  EXPECT_EQ(make_nonblocking_cloexec(closed), Errc::kClosed);
}

}  // namespace
}  // namespace rearm::detail
