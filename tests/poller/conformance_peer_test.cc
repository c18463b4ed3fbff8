// Conformance: what the other end can do: write and vanish, half-close, reset, break a pipe.
#include <sys/socket.h>

#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "poller/conformance.h"

namespace rearm::test {
namespace {

// Reads as a program would, waiting whenever there is nothing, until the end of the stream.
std::string read_to_the_end(Poller& poller, Token token) {
  std::string text;
  char block[65'536];
  for (;;) {
    const auto operation = poller.begin(token, Direction::kRead);
    if (!operation) return text + " (closed)";
    const ssize_t n = ::read(operation->fd(), block, sizeof(block));
    if (n == 0) return text;
    if (n > 0) {
      text.append(block, static_cast<std::size_t>(n));
      continue;
    }
    if (errno != EAGAIN) return text + " (error)";
    CountingWaiter waiter;
    const auto prepared = poller.wait(token, Direction::kRead, waiter);
    if (!prepared) return text + " (refused)";
    if (*prepared == Poller::Prepared::kTryAgain) continue;
    if (count_returns(poller.collect(Deadline::after(10s))) != 1) {
      (void)poller.cancel(token, Direction::kRead, WakeReason::kTimedOut);
      return text + " (never reported)";
    }
  }
}

// Writes all of it from a blocking duplicate, then shuts down or closes.
class Sender {
 public:
  Sender(UniqueFd fd, std::string text)
      : thread_([end = std::move(fd), all = std::move(text)] {
          (void)::fcntl(end.get(), F_SETFL, ::fcntl(end.get(), F_GETFL) & ~O_NONBLOCK);
          std::size_t done = 0;
          while (done < all.size()) {
            const ssize_t n = ::write(end.get(), all.data() + done, all.size() - done);
            if (n <= 0) return;
            done += static_cast<std::size_t>(n);
          }
        }) {}
  ~Sender() { thread_.join(); }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

 private:
  std::thread thread_;
};

// R47 (netius#79, bun#32257): the end must not be taken for the end before everything is read.
TEST_P(Conformance, EverythingSentBeforeTheEndIsRead) {
  const std::string text(1'000'000, 'r');
  FdPair pairs[] = {tcp_pair(), socket_pair(), pipe_pair()};
  for (FdPair& pair : pairs) {
    const Token token = add(std::move(pair.a));
    const Sender sender(std::move(pair.b), text);
    EXPECT_EQ(read_to_the_end(poller(), token).size(), text.size());
    EXPECT_EQ(close(token), 0U);
  }
}

// R46 (netty#4013): a half-close is reported to the reader, however the socket was made.
TEST_P(Conformance, AHalfCloseWakesTheReaderAndLeavesTheWriterItsStream) {
  FdPair pairs[] = {tcp_pair(), socket_pair()};
  for (FdPair& pair : pairs) {
    const Token token = add(std::move(pair.a));
    CountingWaiter reader;
    park(token, Direction::kRead, reader);
    ASSERT_EQ(::shutdown(pair.b.get(), SHUT_WR), 0);
    EXPECT_TRUE(returns(reader));
    {
      const auto operation = poller().begin(token, Direction::kRead);
      char byte;
      EXPECT_EQ(::read(operation->fd(), &byte, 1), 0);
      send_text(operation->fd(), "the other way");
    }
    EXPECT_TRUE(is_readable(pair.b.get(), 1'000));
    EXPECT_EQ(drain(pair.b.get()), "the other way");
    EXPECT_EQ(close(token), 0U);
  }
}

// R46: accepted and connected ends, added before and after the peer was gone, are told alike.
TEST_P(Conformance, AnEndThatCameBeforeTheDescriptorWasAddedIsReported) {
  FdPair pairs[] = {tcp_pair(), socket_pair(), pipe_pair()};
  for (FdPair& pair : pairs) {
    pair.b.reset();
    const Token token = add(std::move(pair.a));
    EXPECT_TRUE(becomes_ready(token, Direction::kRead));
    EXPECT_EQ(close(token), 0U);
  }
}

// R45 (tokio#2218): an error wakes both directions.
TEST_P(Conformance, AResetWakesBothDirections) {
  FdPair pair = tcp_pair();
  fill(pair.a.get());
  const int fd = pair.a.get();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  close_with_reset(std::move(pair.b));
  EXPECT_TRUE(returns(reader));
  EXPECT_TRUE(writer.returns == 1 || returns(writer));
  char byte;
  EXPECT_EQ(::read(fd, &byte, 1), -1);
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(close(token), 0U);
}

// R62 (golang/go#27861): what becomes of pipes differs most between systems.
TEST_P(Conformance, AWriterIsWokenWhenTheReadingEndIsClosed) {
  FdPair pair = pipe_pair();
  fill(pair.b.get());
  const Token token = add(std::move(pair.b));
  CountingWaiter writer;
  park(token, Direction::kWrite, writer);
  pair.a.reset();
  EXPECT_TRUE(returns(writer));
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, AReaderIsWokenWhenTheWritingEndIsClosed) {
  FdPair pair = pipe_pair();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  pair.b.reset();
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, AWriterIsWokenWhenThePeerHasReadEverything) {
  FdPair pairs[] = {tcp_pair(), socket_pair(), pipe_pair()};
  for (FdPair& pair : pairs) {
    const bool is_pipe = ::write(pair.a.get(), "", 0) < 0;
    UniqueFd& writing = is_pipe ? pair.b : pair.a;
    UniqueFd& reading = is_pipe ? pair.a : pair.b;
    fill(writing.get());
    const Token token = add(std::move(writing));
    CountingWaiter writer;
    park(token, Direction::kWrite, writer);
    const Deadline patience = Deadline::after(kPatience);
    while (writer.returns == 0 && detail::now_ns() < patience.ns()) {
      (void)drain(reading.get());  // TCP moves what is left in steps.
      (void)collect_quietly();
    }
    EXPECT_EQ(writer.returns, 1);
    EXPECT_EQ(close(token), 0U);
  }
}

// R43, R45 (mio#582): some kernels refuse to watch such an end for writing, or tell of it only in
// the direction that it is not for. Whoever waits is told in both.
TEST_P(Conformance, AWritingEndWhoseReaderIsGoneMayBeAddedAndIsReadyInBothDirections) {
  for (int i = 0; i < 3; ++i) {
    FdPair pair = pipe_pair();
    if (i == 1) fill(pair.b.get());
    pair.a.reset();
    const Token token = add(std::move(pair.b));
    CountingWaiter reader;
    CountingWaiter writer;
    if (i == 2) {  // Both wait when the report comes.
      park(token, Direction::kRead, reader);
      park(token, Direction::kWrite, writer);
      EXPECT_TRUE(returns(writer));
      EXPECT_TRUE(reader.returns == 1 || returns(reader));
    } else {
      EXPECT_TRUE(becomes_ready(token, Direction::kWrite));
      EXPECT_TRUE(becomes_ready(token, Direction::kRead));
    }
    EXPECT_EQ(close(token), 0U);
  }
}

TEST_P(Conformance, AListenerIsReadableWhenSomebodyConnects) {
  UniqueFd listener(require(::socket(AF_INET, SOCK_STREAM, 0), "socket"));
  const sockaddr_in address = bind_to_loopback(listener.get());
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  const Token token = add(std::move(listener));
  for (int i = 0; i < 3; ++i) {
    CountingWaiter acceptor;
    park(token, Direction::kRead, acceptor);
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
    connect_to(client.get(), address);
    EXPECT_TRUE(returns(acceptor));
    const auto operation = poller().begin(token, Direction::kRead);
    const UniqueFd accepted(::accept(operation->fd(), nullptr, nullptr));
    EXPECT_GE(accepted.get(), 0);
  }
  EXPECT_EQ(close(token), 0U);
}

// A TCP read stops at the urgent mark: the urgent byte must not hide what follows it.
TEST_P(Conformance, WhatFollowsUrgentDataWakesTheReader) {
  FdPair pair = tcp_pair();
  const int fd = pair.a.get();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  send_text(pair.b.get(), "before");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(drain(fd), "before");
  park(token, Direction::kRead, reader);
  ASSERT_EQ(::send(pair.b.get(), "!", 1, MSG_OOB), 1);
  send_text(pair.b.get(), "after");
  EXPECT_TRUE(returns(reader));
  std::string text = drain(fd);
  if (text.empty()) {  // It was woken for the urgent byte alone.
    park(token, Direction::kRead, reader);
    EXPECT_TRUE(returns(reader));
    text = drain(fd);
  }
  EXPECT_EQ(text, "after");
  EXPECT_EQ(close(token), 0U);
}

}  // namespace
}  // namespace rearm::test
