// Every public call that can take a report away, in any order, against a model that always reads.
//
// Forbidden: a read that waits although the socket has something to read. The model knows what the
// peer has sent and what has been taken, so it knows when a read must return at once, and with
// which bytes. Deterministic: a failure prints its seed and the calls that led to it, and
// REARM_ANY_ORDER_SEED=<seed> runs that one alone.
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "net/net_fixture.h"
#include "rearm/poller.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::expect_value;

// The byte at a position of the stream.
char byte_at(std::size_t position) {
  return static_cast<char>('a' + static_cast<char>(position * 7 % 26));
}

class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15) {}
  // Below `limit`.
  std::size_t below(std::size_t limit) {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return static_cast<std::size_t>((z ^ (z >> 31)) % limit);
  }

 private:
  std::uint64_t state_;
};

// One connection: the peer is a plain descriptor, ours has up to three handles, each on a duplicate
// of the number.
class Connection {
 public:
  explicit Connection(std::uint64_t seed) : seed_(seed), random_(seed) {
    test::FdPair pair = test::tcp_pair();
    peer_ = std::move(pair.b);
    plain_ = test::duplicate(pair.a.get());
    handles_.push_back(adopt(std::move(pair.a)));
  }

  void run(int steps) {
    for (int i = 0; i < steps && !failed_; ++i) step();
    if (!failed_) finish();
  }

 private:
  // Long enough for a machine under load; a read that must return is lost if it takes this long.
  static Deadline promptly() { return Deadline::after(5s); }

  static TcpStream adopt(test::UniqueFd number) {
    return expect_value(TcpStream::adopt(number.release()));
  }

  [[nodiscard]] std::size_t available() const { return sent_ - taken_; }
  [[nodiscard]] bool must_return() const { return available() > 0 || ended_; }

  void step() {
    TcpStream& ours = handles_[random_.below(handles_.size())];
    switch (random_.below(16)) {
      case 0:
      case 1:
      case 2: send(1 + random_.below(90)); break;
      case 3:
      case 4:
      case 5:
      case 6: read_some(ours); break;
      case 7: readv(ours); break;
      case 8: read_exact(ours); break;
      case 9: wait_readable(ours); break;
      case 10: peek(); break;
      case 11: take_behind_the_back(); break;
      case 12: move_the_deadline(ours); break;
      case 13: release_and_adopt(ours); break;
      case 14: duplicate_or_drop(); break;
      default: read_while_it_comes(ours); break;
    }
  }

  void note(std::string_view what, std::size_t n) {
    trace_ += ' ';
    trace_ += what;
    trace_ += '(' + std::to_string(n) + ')';
  }

  void fail(const std::string& what) {
    failed_ = true;
    ADD_FAILURE() << what << "; " << available() << " bytes are there, seed " << seed_ << ":"
                  << trace_;
  }

  // Until the bytes are in the receiver's socket, which loopback does not promise of a send.
  void arrive() {
    for (const Deadline late = promptly(); Deadline::now().ns() < late.ns();) {
      int n = 0;
      if (::ioctl(plain_.get(), FIONREAD, &n) != 0) break;
      if (n == static_cast<int>(available())) return;
      std::this_thread::sleep_for(20us);
    }
    fail("what was sent did not arrive");
  }

  void send(std::size_t bytes) {
    if (ended_) return;
    note("send", bytes);
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) text += byte_at(sent_ + i);
    test::send_text(peer_.get(), text);
    sent_ += bytes;
    arrive();
  }

  void took(std::string_view text) {
    for (const char c : text) {
      if (c != byte_at(taken_)) return fail("a wrong byte was read");
      ++taken_;
    }
  }

  // What a read that had room for `room` bytes must have said. One that waited in vain takes what
  // is there when its time is up.
  void judge(const Result<std::size_t>& n, std::size_t room, const char* data, Deadline late) {
    if (must_return() && Deadline::now().ns() >= late.ns()) return fail("a read waited in vain");
    if (!n) {
      if (n.error() == Errc::kTimedOut && !must_return()) return;
      return fail("a read ended with: " + n.error().message());
    }
    if (*n == 0 && !(ended_ && available() == 0)) return fail("the end came too early");
    if (*n != std::min(room, available())) return fail("a read was shorter than what is there");
    took({data, *n});
  }

  [[nodiscard]] Deadline fitting() const {
    return must_return() ? promptly() : Deadline::after(100us);
  }

  [[nodiscard]] std::size_t room() {
    constexpr std::array<std::size_t, 4> kRooms{1, 7, 64, 4096};
    return kRooms[random_.below(kRooms.size())];
  }

  void read_some(TcpStream& ours) {
    std::string buffer(room(), '\0');
    note("read", buffer.size());
    const Deadline late = fitting();
    judge(ours.read_some(buffer, late), buffer.size(), buffer.data(), late);
  }

  void readv(TcpStream& ours) {
    std::string buffer(2 * room(), '\0');
    note("readv", buffer.size());
    const std::size_t half = buffer.size() / 2;
    const std::array<MutableBuffer, 2> both{MutableBuffer(buffer.data(), half),
                                            MutableBuffer(buffer.data() + half, half)};
    const Deadline late = fitting();
    judge(ours.readv(both, late), buffer.size(), buffer.data(), late);
  }

  void read_exact(TcpStream& ours) {
    if (available() == 0) return;
    std::string buffer(1 + random_.below(available()), '\0');
    note("read_exact", buffer.size());
    const Deadline late = promptly();
    const auto done = ours.read_exact(buffer, late);
    if (Deadline::now().ns() >= late.ns()) return fail("read_exact waited in vain");
    if (!done) return fail("read_exact ended with: " + done.error().message());
    took(buffer);
  }

  void wait_readable(TcpStream& ours) {
    note("wait_readable", 0);
    (void)ours.wait_readable(Deadline::after(100us));
  }

  void peek() {
    note("peek", 0);
    char byte = 0;
    (void)::recv(plain_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  }

  void take_behind_the_back() {
    std::string buffer(room(), '\0');
    note("recv", buffer.size());
    const ssize_t n = ::recv(plain_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n > 0) took(std::string_view(buffer).substr(0, static_cast<std::size_t>(n)));
  }

  // Wakes a read that waits, and leaves no deadline behind.
  void move_the_deadline(TcpStream& ours) {
    note("set_deadline", 0);
    if (must_return()) {
      (void)ours.set_read_deadline(Deadline::after(1h));
      (void)ours.set_read_deadline(Deadline::never());
      return;
    }
    auto reader = spawn([&] {
      char byte = 0;
      return ours.read_some(MutableBuffer(&byte, 1));
    });
    this_fiber::yield();
    (void)ours.set_read_deadline(Deadline::after(1h));
    this_fiber::yield();
    (void)ours.set_read_deadline(Deadline::at_ns(0));
    const auto n = reader.join();
    if (n || n.error() != Errc::kTimedOut) fail("a deadline in the past did not end a read");
    (void)ours.set_read_deadline(Deadline::never());
  }

  void release_and_adopt(TcpStream& ours) {
    note("adopt", 0);
    const auto number = ours.release();
    if (!number) return fail("release ended with: " + number.error().message());
    ours = adopt(test::UniqueFd(*number));
  }

  void duplicate_or_drop() {
    if (handles_.size() < 3) {
      note("dup", handles_.size());
      handles_.push_back(adopt(test::duplicate(plain_.get())));
    } else {
      note("close", handles_.size());
      handles_.erase(handles_.begin() + static_cast<long>(random_.below(handles_.size())));
    }
  }

  // A read that has to wait, of what comes then.
  void read_while_it_comes(TcpStream& ours) {
    if (must_return()) return;
    std::string buffer(room(), '\0');
    note("read_waiting", buffer.size());
    const Deadline late = promptly();
    auto reader = spawn([&] { return ours.read_some(buffer, late); });
    this_fiber::yield();
    send(1 + random_.below(90));
    judge(reader.join(), buffer.size(), buffer.data(), late);
  }

  // The end is seen, too, by each handle.
  void finish() {
    note("shutdown", 0);
    ended_ = true;
    (void)::shutdown(peer_.get(), SHUT_WR);
    while (!failed_ && available() > 0) read_some(handles_[random_.below(handles_.size())]);
    for (TcpStream& ours : handles_) {
      if (!failed_) read_some(ours);
    }
  }

  const std::uint64_t seed_;
  Numbers random_;
  test::UniqueFd peer_;
  test::UniqueFd plain_;  // Our end once more, for what is done behind the library's back.
  std::vector<TcpStream> handles_;
  std::size_t sent_ = 0;
  std::size_t taken_ = 0;
  bool ended_ = false;
  bool failed_ = false;
  std::string trace_;
};

class AnyOrderTest : public test::RuntimeTest,
                     public ::testing::WithParamInterface<std::string_view> {};

INSTANTIATE_TEST_SUITE_P(Net, AnyOrderTest, ::testing::ValuesIn(Poller::backends()),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(AnyOrderTest, AReadNeverWaitsForWhatIsThere) {
  open({.workers = 1, .backend = GetParam()});
  std::uint64_t first = 1;
  std::uint64_t last = test::scaled(test::kSanitized ? 40 : 200);
  if (const char* const text = std::getenv("REARM_ANY_ORDER_SEED")) {
    first = last = std::strtoull(text, nullptr, 10);
  }
  run([&] {
    for (std::uint64_t seed = first; seed <= last && !HasFailure(); ++seed) {
      Connection(seed).run(60);
    }
  });
}

}  // namespace
}  // namespace rearm
