#include "torture/inside.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "rearm/net/udp.h"
#include "torture/neighbours.h"
#include "torture/pattern.h"
#include "torture/server.h"

namespace rearm::torture {
namespace {

using std::chrono::microseconds;

// One connection of a fiber's.
class Insider {
 public:
  Insider(World& world, Actor& actor, const Plan& plan)
      : world_(world), actor_(actor), plan_(plan) {}

  void run();

 private:
  [[nodiscard]] bool connect();
  void write_all();
  [[nodiscard]] bool write(ConstBuffer bytes);
  void leave();
  void read_all();
  void expect(const char* what, std::error_code error);

  World& world_;
  Actor& actor_;
  const Plan plan_;
  Session session_;
  std::uint64_t received_ = 0;
};

void Insider::run() {
  if (!connect()) return;
  ++world_.opened;
  ++world_.open_now;
  auto reader = spawn([this] { read_all(); }, {.name = "inside reader"});
  write_all();
  actor_.begin(Op::kJoin);
  reader.join();
  actor_.end(Op::kJoin);
  (void)actor_(Op::kClose, [&] { return session_.socket().close(); });
  if (received_ == plan_.bytes && !plan_.client_leaves()) ++world_.complete;
  --world_.open_now;
}

bool Insider::connect() {
  const auto connected = actor_(Op::kConnect, [&]() -> Result<bool> {
    if (plan_.transport == Transport::kTcp) {
      auto stream = TcpStream::connect(world_.tcp_address);
      if (!stream) return std::unexpected(stream.error());
      session_.stream = std::move(*stream);
    } else {
      auto stream = UnixStream::connect(world_.unix_address);
      if (!stream) return std::unexpected(stream.error());
      session_.stream = std::move(*stream);
    }
    return true;
  });
  if (connected) return true;
  // Too many ports are in TIME_WAIT; or the listener is gone with the stop.
  if (connected.error() == std::errc::address_not_available || world_.stopping) return false;
  expect("connect", connected.error());
  return false;
}

void Insider::expect(const char* what, std::error_code error) {
  if (plan_.client_may_see(error) || world_.is_the_stop(error)) return;
  world_.ledger.fail("%s: an inside %s ended with '%s'", plan_.describe().c_str(), what,
                     error.message().c_str());
}

bool Insider::write(ConstBuffer bytes) {
  const auto written = actor_(Op::kWrite, [&] { return session_.socket().write_all(bytes); });
  if (!written) expect("write", written.error());
  return written.has_value();
}

void Insider::write_all() {
  const auto greeting = Greeting::of(plan_.id);
  if (!write(ConstBuffer(greeting.data(), greeting.size()))) return;
  const std::uint32_t end = plan_.client_leaves() ? plan_.client_turn : plan_.bytes;
  std::vector<std::byte> piece(std::min(plan_.piece, plan_.bytes));
  for (std::uint32_t sent = 0; sent < end;) {
    const auto n = std::min<std::size_t>(piece.size(), end - sent);
    fill_pattern(plan_.id, sent, std::span(piece).first(n));
    if (!write(ConstBuffer(piece.data(), n))) return;
    sent += static_cast<std::uint32_t>(n);
    if (plan_.pause_us != 0) {
      (void)actor_(Op::kSleep, [&] { return this_fiber::sleep_for(microseconds(plan_.pause_us)); });
    }
  }
  if (plan_.client_leaves()) return leave();
  if (plan_.ending == Ending::kHalfClose) {
    const auto shut =
        actor_(Op::kShutdown, [&] { return session_.socket().shutdown(Shutdown::kWrite); });
    if (!shut) expect("shutdown", shut.error());
  }
}

// The reader is in the middle of its read, or about to begin another.
void Insider::leave() {
  const Op op = plan_.ending == Ending::kReset ? Op::kReset : Op::kClose;
  if (op == Op::kReset) session_.make_close_a_reset();
  (void)actor_(op, [&] { return session_.socket().close(); });
}

void Insider::read_all() {
  Actor actor(world_.ledger, "inside reader", plan_.id);
  (void)actor(Op::kSleep, [&] { return this_fiber::sleep_for(microseconds(plan_.read_after_us)); });
  std::vector<std::byte> buffer(Plan::kMostPiece / 4);
  while (plan_.ending != Ending::kCloseWhenEchoed || received_ < plan_.bytes) {
    const auto n = actor(Op::kRead, [&] {
      return session_.socket().read_some(MutableBuffer(buffer.data(), buffer.size()));
    });
    if (!n) return expect("read", n.error());
    const std::span<const std::byte> bytes(buffer.data(), *n);
    if (const auto at = first_mismatch(plan_.id, received_, bytes)) {
      world_.ledger.fail("%s: came back inside, at %" PRIu64 ", %s", plan_.describe().c_str(),
                         received_ + *at,
                         describe_bytes(bytes.subspan(*at), world_.next_id).c_str());
    }
    received_ += *n;
    world_.ledger.count_bytes(*n);
    if (*n != 0) continue;
    const bool half = plan_.treatment == Treatment::kHalfClosed && received_ == plan_.server_turn;
    if (received_ != plan_.bytes && !half && !plan_.server_closes() && !world_.stopping) {
      world_.ledger.fail("%s: the echo inside ended after %" PRIu64 " bytes",
                         plan_.describe().c_str(), received_);
    }
    return;
  }
}

}  // namespace

void run_insider(World& world, std::size_t index) {
  Actor actor(world.ledger, "inside client");
  Random random = world.random(2'000 + index);
  while (!world.is_over()) {
    const Plan plan = world.plan_of(world.next_id.fetch_add(1));
    actor.is(plan.id);
    Insider(world, actor, plan).run();
    actor.is(0);
    (void)actor(Op::kSleep,
                [&] { return this_fiber::sleep_for(microseconds(random.up_to(2'000))); });
  }
}

void run_load(World& world, std::size_t index) {
  Actor actor(world.ledger, "load");
  Random random = world.random(3'000 + index);
  while (!world.is_over()) {
    // Bursts: the machine is full for a while, then free.
    const auto until = now_ns() + 1'000 * std::int64_t{random.up_to(20'000)};
    while (now_ns() < until && !world.is_over()) {
      actor.begin(Op::kLoad);
      const auto next = now_ns() + 1'000 * std::int64_t{random.up_to(300)};
      while (now_ns() < next) continue;
      this_fiber::yield();
      note_worker(world);
      actor.end(Op::kLoad);
    }
    const Deadline deadline = Deadline::after(microseconds(random.up_to(20'000)));
    const auto slept = actor(Op::kSleep, [&] { return this_fiber::sleep_until(deadline); });
    if (slept && now_ns() < deadline.ns()) world.ledger.fail("a sleep ended too early");
    if (!slept && !world.is_the_stop(slept.error())) {
      world.ledger.fail("a sleep ended with '%s'", slept.error().message().c_str());
    }
  }
}

void run_crowds(World& world, std::size_t index) {
  Actor actor(world.ledger, "crowd");
  Random random = world.random(4'000 + index);
  while (!world.is_over()) {
    const std::uint64_t size = random.up_to(100);
    std::vector<JoinHandle<std::uint64_t>> crowd;
    for (std::uint64_t i = 1; i <= size; ++i) {
      crowd.push_back(spawn([i, yields = random.below(4)] {
        for (std::uint32_t k = 0; k < yields; ++k) this_fiber::yield();
        return i;
      }));
      world.ledger.count(Op::kSpawn);
    }
    std::uint64_t sum = 0;
    for (auto& member : crowd) {
      actor.begin(Op::kJoin);
      sum += member.join();
      actor.end(Op::kJoin);
    }
    if (sum != size * (size + 1) / 2) world.ledger.fail("a fiber's result was lost");
    (void)actor(Op::kSleep,
                [&] { return this_fiber::sleep_for(microseconds(random.up_to(20'000))); });
  }
}

void run_datagrams(World& world, std::size_t index) {
  auto near = UdpSocket::bind(SocketAddress::ipv4_loopback(0));
  auto far = UdpSocket::bind(SocketAddress::ipv4_loopback(0));
  if (!near || !far) world.ledger.fail("no datagram sockets");
  auto echo = spawn([&world, &far] {
    Actor actor(world.ledger, "datagram echo");
    std::array<std::byte, 2'048> buffer;
    for (;;) {
      const auto got = actor(Op::kReceive, [&] {
        return far->recv_from(MutableBuffer(buffer.data(), buffer.size()),
                              Deadline::after(std::chrono::seconds(1)));
      });
      if (got) {
        (void)actor(Op::kSend, [&] {
          return far->send_to(ConstBuffer(buffer.data(), got->bytes), got->from);
        });
        continue;
      }
      if (got.error() == Errc::kTimedOut) continue;
      if (got.error() == Errc::kClosed || world.is_the_stop(got.error())) return;
      world.ledger.fail("a datagram's echo ended with '%s'", got.error().message().c_str());
    }
  });
  Actor actor(world.ledger, "datagram client");
  Random random = world.random(5'000 + index);
  const SocketAddress to = far->local_address().value();
  std::array<std::byte, 2'048> buffer{};
  for (std::uint32_t sent = 0; !world.is_over(); ++sent) {
    const std::span<std::byte> datagram(buffer.data(), 8 * std::size_t{random.up_to(180)});
    const std::uint64_t place = std::uint64_t{sent % 1'000} * 2'048;
    fill_pattern(0, place, datagram);
    (void)actor(Op::kSend,
                [&] { return near->send_to(ConstBuffer(datagram.data(), datagram.size()), to); });
    const auto got = actor(Op::kReceive, [&] {
      return near->recv_from(MutableBuffer(buffer.data(), buffer.size()),
                             Deadline::after(microseconds(random.up_to(5'000))));
    });
    if (got) {
      // A late one of an earlier question may come instead of this one's.
      const std::span<const std::byte> bytes(buffer.data(), got->bytes);
      const auto origin = locate(bytes, 1);
      if (got->from != to || got->truncated || !origin || origin->position < 0 ||
          first_mismatch(0, static_cast<std::uint64_t>(origin->position), bytes)) {
        world.ledger.fail("a datagram of %zu bytes has %s", got->bytes,
                          describe_bytes(bytes, 1).c_str());
      }
    } else if (got.error() != Errc::kTimedOut && !world.is_the_stop(got.error())) {
      world.ledger.fail("a datagram's wait ended with '%s'", got.error().message().c_str());
    }
  }
  (void)actor(Op::kClose, [&] { return far->close(); });
  actor.begin(Op::kJoin);
  echo.join();
  actor.end(Op::kJoin);
}

}  // namespace rearm::torture
