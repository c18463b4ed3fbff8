#include "torture/duel.h"

#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "rearm/net/stream.h"
#include "support/sockets.h"
#include "torture/neighbours.h"

namespace rearm::torture {
namespace {

void spin_for(std::int64_t ns) {
  const std::int64_t until = now_ns() + ns;
  while (now_ns() < until) continue;
}

std::uint64_t waits_of(const World& world) { return world.runtime->stats().poller.waits; }

// Until a worker has come back from the kernel, and has reports in its hands. There need not be
// any: then not for long.
void await_collection(const World& world, std::uint64_t waits) {
  const std::int64_t until = now_ns() + 2'000'000;
  while (waits_of(world) == waits && now_ns() < until) continue;
}

// One descriptor of the library's with a peer of ours, and the fibers that wait on it.
class Duellist {
 public:
  explicit Duellist(World& world) : world_(world) {
    test::FdPair pair = test::socket_pair();
    number_ = pair.a.get();
    peer_ = std::move(pair.b);
    local_ = std::move(pair.a);
  }
  Duellist(const Duellist&) = delete;
  Duellist& operator=(const Duellist&) = delete;

  [[nodiscard]] int number() const noexcept { return number_; }

  // Takes no more bytes, so that a writer waits.
  void fill() {
    const int small = 1;
    ::setsockopt(local_.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    test::fill(local_.get());
  }

  void adopt() {
    auto fd = Stream::adopt(local_.get(), *world_.runtime);
    if (!fd) world_.ledger.fail("a duellist's adopt: %s", fd.error().message().c_str());
    (void)local_.release();
    fd_ = std::move(*fd);
  }

  // Waits on this thread for a moment, so that the wish is told to the kernel without delay: a
  // fiber would first have to find a worker. What was told stays told after the timeout.
  void wait_for_nothing(Actor& actor) {
    char byte = 0;
    const auto n = actor(Op::kRead, [&] {
      return fd_.read_some(MutableBuffer(&byte, 1), Deadline::after(std::chrono::microseconds(50)));
    });
    if (n) world_.ledger.fail("a successor read what nobody has sent: '%c'", byte);
    if (n.error() != Errc::kTimedOut) expect(n.error(), /*may_be_closed=*/false);
  }

  void spawn_reader(char expected, bool may_be_closed) {
    reader_ = world_.runtime->spawn([this, expected, may_be_closed] {
      Actor actor(world_.ledger, may_be_closed ? "duellist's reader" : "successor's reader");
      char byte = 0;
      const auto n = actor(
          Op::kRead, [&] { return fd_.read_some(MutableBuffer(&byte, 1), Deadline::never()); });
      if (n && (*n != 1 || byte != expected)) {
        world_.ledger.fail("a duellist read %zu bytes, '%c', not '%c'", *n, byte, expected);
      }
      if (!n) expect(n.error(), may_be_closed);
    });
  }

  void spawn_writer() {
    writer_ = world_.runtime->spawn([this] {
      Actor actor(world_.ledger, "duellist's writer");
      const auto n = actor(Op::kWrite, [&] { return fd_.write_some("x", Deadline::never()); });
      if (n) world_.ledger.fail("a duellist wrote although there is no room");
      expect(n.error(), true);
    });
  }

  void poke(char byte) {
    if (::send(peer_.get(), &byte, 1, MSG_NOSIGNAL) != 1) {
      // The close may have come before.
      world_.ledger.count_error(Op::kDuel, std::error_code(errno, std::system_category()));
    }
  }

  void close(Actor& actor) {
    const auto closed = actor(Op::kClose, [this] { return fd_.close(); });
    if (!closed) world_.ledger.fail("a duellist was closed by somebody else");
  }

  void join(Actor& actor) {
    for (auto* const handle : {&reader_, &writer_}) {
      if (!handle->joinable()) continue;
      actor.begin(Op::kJoin);
      handle->join();
      actor.end(Op::kJoin);
    }
  }

 private:
  void expect(std::error_code error, bool may_be_closed) {
    if (world_.is_the_stop(error) || (may_be_closed && error == Errc::kClosed)) return;
    world_.ledger.fail("a duellist's operation ended with '%s'", error.message().c_str());
  }

  World& world_;
  int number_ = -1;
  test::UniqueFd local_;
  test::UniqueFd peer_;
  Stream fd_;
  JoinHandle<void> reader_;
  JoinHandle<void> writer_;
};

}  // namespace

void run_duels(World& world, std::size_t index) {
  constexpr std::uint32_t kMost = 8;
  Actor actor(world.ledger, "duels");
  Random random = world.random(8'000 + index);
  while (!world.is_over()) {
    const std::uint32_t count = 1 + random.below(kMost);
    std::vector<std::unique_ptr<Duellist>> first;
    for (std::uint32_t i = 0; i < count; ++i) {
      Duellist& duellist = *first.emplace_back(std::make_unique<Duellist>(world));
      duellist.fill();
      duellist.adopt();
      duellist.spawn_writer();
      duellist.spawn_reader('r', /*may_be_closed=*/true);
    }
    // Mostly they are parked by now; sometimes they are about to be.
    if (!random.one_in(8)) {
      std::this_thread::sleep_for(std::chrono::microseconds(50 + random.below(400)));
    }
    const std::uint64_t waits = waits_of(world);
    for (auto& duellist : first) duellist->poke('r');
    if (!random.one_in(4)) await_collection(world, waits);
    spin_for(random.up_to(20'000));
    if (random.one_in(2)) hold_a_worker(world, random);
    for (auto& duellist : first) duellist->close(actor);
    // The numbers that have just been given back are the next to be given out.
    std::vector<std::unique_ptr<Duellist>> second;
    for (std::uint32_t i = 0; i < count; ++i) {
      Duellist& successor = *second.emplace_back(std::make_unique<Duellist>(world));
      successor.adopt();
      if (!random.one_in(3)) successor.wait_for_nothing(actor);
      successor.spawn_reader('s', /*may_be_closed=*/false);
      for (const auto& before : first) {
        if (before->number() == successor.number()) ++world.inherited;
      }
    }
    if (random.one_in(2)) {
      std::this_thread::sleep_for(std::chrono::microseconds(random.up_to(1'000)));
    }
    for (auto& successor : second) successor->poke('s');
    for (auto& successor : second) {
      successor->join(actor);
      successor->close(actor);
    }
    for (auto& duellist : first) duellist->join(actor);
    world.ledger.count(Op::kDuel, count);
  }
}

}  // namespace rearm::torture
