// What the tests of the net room share: connected pairs of our own streams, over any transport.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "rearm/net/pipe.h"
#include "rearm/net/tcp.h"
#include "rearm/net/unix.h"
#include "rearm/rearm.h"
#include "sched/runtime_fixture.h"
#include "support/sockets.h"

namespace rearm::test {

// A hang is a failure: whatever waits in a test gives up after this.
[[nodiscard]] inline Deadline patience() { return Deadline::after(kPatience); }
[[nodiscard]] inline Deadline at_once() { return Deadline::immediate(); }

// The value, or a failure of the test and a value made from nothing.
template <class T>
T expect_value(Result<T> result) {
  if (result) return std::move(*result);
  ADD_FAILURE() << "error: " << result.error().message();
  return T{};
}

template <class T>
void expect_ok(const Result<T>& result) {
  EXPECT_TRUE(result) << "error: " << result.error().message();
}

template <class T>
void expect_error(const Result<T>& result, std::error_code error) {
  if (result) {
    ADD_FAILURE() << "it succeeded; expected " << error.message();
  } else {
    EXPECT_EQ(result.error(), error) << result.error().message();
  }
}

inline std::error_code errno_code(int error) { return {error, std::system_category()}; }

// Writes until a write fails, and returns that one: a single write into a full TCP socket may
// succeed after a while, because the peer's side makes room as long as it has not looked at what is
// under way.
template <class Stream>
Result<std::size_t> write_until_error(Stream& stream, Deadline deadline = patience()) {
  const std::string block(64 * 1024, 'b');
  for (;;) {
    if (auto written = stream.write_some(block, deadline); !written) return written;
  }
}

// Writes until the kernel takes no more for now.
template <class Stream>
void fill_up(Stream& stream) {
  expect_error(write_until_error(stream, at_once()), Errc::kTimedOut);
}

// A directory for the Unix sockets of one test.
class SocketDirectory {
 public:
  SocketDirectory() {
    if (::mkdtemp(path_) == nullptr) (void)require(-1, "mkdtemp");
  }
  SocketDirectory(const SocketDirectory&) = delete;
  SocketDirectory& operator=(const SocketDirectory&) = delete;
  ~SocketDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  // A path that nothing else has.
  [[nodiscard]] std::string fresh_path() { return path_ + ("/" + std::to_string(++count_)); }
  [[nodiscard]] SocketAddress fresh() {
    return expect_value(SocketAddress::unix_path(fresh_path()));
  }

 private:
  char path_[32] = "/tmp/rearm-test-XXXXXX";
  int count_ = 0;
};

struct TcpPair {
  TcpStream a;
  TcpStream b;
};

// REQUIRES: on a fiber, as do the functions below.
[[nodiscard]] inline TcpPair tcp_streams() {
  FdPair pair = tcp_pair();
  return {.a = expect_value(TcpStream::adopt(pair.a.release())),
          .b = expect_value(TcpStream::adopt(pair.b.release()))};
}

// Through which bytes flow from `writer` to `reader`, and back if `duplex`.
enum class Transport { kTcp, kUnix, kSocketPair, kPipe };

struct Ends {
  Stream reader;
  Stream writer;
  bool duplex = true;
};

[[nodiscard]] inline Ends connect_ends(Transport transport) {
  switch (transport) {
    case Transport::kTcp: {
      TcpPair pair = tcp_streams();
      return {.reader = std::move(pair.a), .writer = std::move(pair.b)};
    }
    case Transport::kUnix: {
      auto pair = expect_value(UnixStream::pair());
      return {.reader = std::move(pair.first), .writer = std::move(pair.second)};
    }
    case Transport::kSocketPair: {
      FdPair pair = socket_pair();
      return {.reader = expect_value(Stream::adopt(pair.a.release())),
              .writer = expect_value(Stream::adopt(pair.b.release()))};
    }
    case Transport::kPipe: {
      Pipe pipe = expect_value(Pipe::create());
      return {
          .reader = std::move(pipe.read_end), .writer = std::move(pipe.write_end), .duplex = false};
    }
  }
  return {};
}

inline std::string transport_name(Transport transport) {
  switch (transport) {
    case Transport::kTcp: return "Tcp";
    case Transport::kUnix: return "Unix";
    case Transport::kSocketPair: return "SocketPair";
    case Transport::kPipe: return "Pipe";
  }
  return "";
}

// A fixture for each transport and number of workers.
class TransportTest : public RuntimeTest,
                      public ::testing::WithParamInterface<std::tuple<Transport, std::size_t>> {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    open({.workers = std::get<1>(GetParam())});
  }
  [[nodiscard]] static Ends ends() { return connect_ends(std::get<0>(GetParam())); }
};

inline std::string transport_test_name(
    const ::testing::TestParamInfo<std::tuple<Transport, std::size_t>>& info) {
  return transport_name(std::get<0>(info.param)) + std::to_string(std::get<1>(info.param));
}

inline const auto kAllTransports = ::testing::Combine(
    ::testing::Values(Transport::kTcp, Transport::kUnix, Transport::kSocketPair, Transport::kPipe),
    ::testing::Values(std::size_t{1}, std::size_t{2}));

// Waits, with a fiber's patience, until `condition` holds.
template <class Condition>
bool eventually(Condition condition) {
  const Deadline deadline = patience();
  while (!condition()) {
    if (Deadline::after(std::chrono::seconds(0)).ns() > deadline.ns()) return false;
    (void)this_fiber::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

// Long enough for whoever was just spawned to have parked, on a busy machine, too.
inline void let_park() {
  const std::chrono::milliseconds pause(kSanitized ? 10 : 1);
  for (int i = 0; i < 3; ++i) (void)this_fiber::sleep_for(pause);
}

}  // namespace rearm::test
