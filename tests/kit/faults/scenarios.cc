// Scenarios of pipes, waits, fibers and pollers.
#include "faults/scenarios.h"

#include <fcntl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "support/sockets.h"

namespace rearm::test::faults {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Scenario kScenarios[] = {
    {"tcp_echo", tcp_echo},
    {"unix_streams", unix_streams},
    {"udp_datagrams", udp_datagrams},
    {"udp_batches", udp_batches},
    {"stale_path", stale_path},
    {"outside_client", outside_client},
    {"connect_in_vain", connect_in_vain},
    {"pipes", pipes},
    {"both_directions", both_directions},
    {"waits_that_end", waits_that_end},
    {"adoption", adoption},
    {"many_fibers", many_fibers},
    {"workers", workers},
    {"poller_alone", poller_alone},
};

template <class Make>
auto exempt(Make make) {
  const Exempt scope;
  return make();
}

bool still_open(int fd) {
  return exempt([fd] { return is_open(fd); });
}

}  // namespace

std::span<const Scenario> scenarios() { return kScenarios; }

void pipes(World& world) {
  constexpr std::size_t kBytes = 100'000;  // More than a pipe holds.
  world.run(1, [&world] {
    auto pipe = Pipe::create();
    if (!world.good(pipe, "Pipe::create", Calls(Call::k_pipe2) | kAdds)) return;
    auto reader = try_spawn([&] {
      Stage stage(world, "reader");
      std::string heard;
      std::vector<char> block(10'000);
      for (;;) {
        stage.at("read_some");
        const auto n = pipe->read_end.read_some(block, long_deadline());
        if (!world.good(n, "pipe: read", kReads, Peer::kYes) || *n == 0) break;
        heard.append(block.data(), *n);
      }
      (void)pipe->read_end.close();
      world.expect(heard.size() == kBytes || world.is_broken(), "all went through the pipe");
      for (std::size_t i = 0; i < heard.size(); ++i) {
        if (heard[i] != static_cast<char>(i % 253)) {
          world.fail("byte " + std::to_string(i) + " of the pipe is wrong");
          break;
        }
      }
    });
    if (!world.good(reader, "spawn", {})) return;
    Stage stage(world, "writer");
    std::string said(kBytes, '\0');
    for (std::size_t i = 0; i < kBytes; ++i) said[i] = static_cast<char>(i % 253);
    const std::array<ConstBuffer, 2> start{ConstBuffer(said.data(), 1000),
                                           ConstBuffer(said.data() + 1000, 1000)};
    stage.at("writev");
    const auto n = pipe->write_end.writev(start, long_deadline());
    if (world.good(n, "pipe: writev", kWrites, Peer::kYes)) {
      stage.at("write_all");
      (void)world.good(pipe->write_end.write_all(ConstBuffer(said).after(*n), long_deadline()),
                       "pipe: write_all", kWrites, Peer::kYes);
    }
    (void)pipe->write_end.close();
    stage.at("join");
    reader->join();
  });
}

// A reader and a writer wait on one descriptor; what comes for the one must not cost the other.
void both_directions(World& world) {
  constexpr std::size_t kBytes = 400'000;  // More than both ends hold.
  world.run(1, [&world] {
    auto pair = UnixStream::pair();
    if (!world.good(pair, "pair", Calls(Call::k_socketpair) | kAdds)) return;
    UnixStream& here = pair->first;
    UnixStream& there = pair->second;
    auto writer = try_spawn([&] {
      Stage stage(world, "writer");
      stage.at("write_all");
      const std::string said(kBytes, 'w');
      const auto done = here.write_all(said, long_deadline());
      (void)world.good(done, "write_all", kWrites, Peer::kYes);
      if (!done) (void)here.close();
    });
    if (!world.good(writer, "spawn", {})) return;
    auto reader = try_spawn([&] {
      Stage stage(world, "reader");
      stage.at("read_some");
      char byte = 0;
      const auto n = here.read_some(MutableBuffer(&byte, 1), long_deadline());
      if (n || n.error() != Errc::kClosed) (void)world.good(n, "read", kReads, Peer::kYes);
    });
    Stage stage(world, "main");
    (void)this_fiber::sleep_for(microseconds(100));
    stage.at("write");
    (void)world.good(there.write_some("x", long_deadline()), "write", kWrites, Peer::kYes);
    (void)this_fiber::sleep_for(microseconds(100));
    stage.at("read");
    std::vector<char> block(50'000);
    std::size_t heard = 0;
    while (heard < kBytes) {
      const auto n = there.read_some(block, long_deadline());
      if (!world.good(n, "read", kReads, Peer::kYes) || *n == 0) break;
      heard += *n;
    }
    world.expect(heard == kBytes || world.is_broken(), "the writer was not forgotten");
    (void)there.close();
    stage.at("join");
    writer->join();
    if (world.good(reader, "spawn", {})) reader->join();
  });
}

// Waits that end by a close, by a deadline, by a deadline that moves, and by a stop.
void waits_that_end(World& world) {
  world.run(1, [&world] {
    auto pair = UnixStream::pair();
    if (!world.good(pair, "pair", Calls(Call::k_socketpair) | kAdds)) return;
    UnixStream& stream = pair->first;
    const auto expect_end = [&](const Result<std::size_t>& n, Errc end, const char* what) {
      if (!n && n.error() == end) return;
      if (n) return world.fail(std::string(what) + ": it has read something");
      (void)world.good(n, what, kReads);
    };
    std::array<char, 8> buffer;
    Stage stage(world, "main");

    stage.at("a deadline");
    expect_end(stream.read_some(buffer, Deadline::after(microseconds(200))), Errc::kTimedOut,
               "a read with a deadline");
    const auto wait_and = [&](Errc end, const char* what, auto act) {
      auto reader = try_spawn([&] {
        Stage reading(world, what);
        reading.at("read_some");
        expect_end(stream.read_some(buffer), end, what);
      });
      if (!world.good(reader, "spawn", {})) return;
      (void)this_fiber::sleep_for(microseconds(100));
      act();
      reader->join();
    };
    stage.at("a deadline that moves");
    wait_and(Errc::kTimedOut, "a reader whose deadline moves",
             [&] { (void)stream.set_read_deadline(Deadline::after(microseconds(100))); });
    (void)stream.set_read_deadline(Deadline::never());
    stage.at("a close");
    wait_and(Errc::kClosed, "a reader of what is closed", [&] { (void)stream.close(); });

    stage.at("the number again");
    auto next = UnixStream::pair();  // Probably the same number.
    if (world.good(next, "pair", Calls(Call::k_socketpair) | kAdds)) {
      stream = std::move(next->first);
      stage.at("a stop");
      wait_and(Errc::kCancelled, "a reader that is stopped",
               [] { Runtime::current()->request_stop(); });
    }
  });
}

// Numbers that come from outside, and go back there.
void adoption(World& world) {
  world.run(1, [&world] {
    Stage stage(world, "main");
    FdPair tcp = exempt([] { return tcp_pair(); });
    FdPair local = exempt([] { return socket_pair(); });
    const auto let_go = [](FdPair& pair) {
      const Exempt scope;
      pair.a.reset();
      pair.b.reset();
    };
    stage.at("adopt");
    auto stream = TcpStream::adopt(tcp.a.get());
    constexpr Calls kChecks = kAdds | Call::k_getsockopt | Call::k_getsockname;
    // An error of the check is "not of this kind", whatever it was.
    const bool is_excused =
        !stream && stream.error() == Errc::kInvalidArgument && world.is_broken();
    if (is_excused || !world.good(stream, "TcpStream::adopt", kChecks)) {
      world.expect(still_open(tcp.a.get()), "on error the number stays the caller's");
    } else {
      (void)tcp.a.release();
      const auto back = stream->release();
      if (world.good(back, "release", {})) tcp.a = UniqueFd(*back);
    }
    stage.at("Stream::adopt");
    auto fd = Stream::adopt(local.a.get());
    if (world.good(fd, "Stream::adopt", kAdds)) {
      (void)local.a.release();
      exempt([&] {
        send_text(local.b.get(), "hello");
        return 0;
      });
      std::array<char, 5> buffer;
      stage.at("wait_readable");
      (void)world.good(fd->wait_readable(long_deadline()), "wait_readable", kWaits);
      stage.at("read_exact");
      if (world.good(fd->read_exact(buffer, long_deadline()), "read_exact", kReads)) {
        world.expect(std::string_view(buffer.data(), 5) == "hello", "what was sent is read");
      }
      (void)world.good(fd->close(), "close", {});
    } else {
      world.expect(still_open(local.a.get()), "on error the number stays the caller's");
    }
    let_go(tcp);
    let_go(local);
    // A device that is not always ready: event ports look what it is.
    UniqueFd device = exempt([] { return UniqueFd(::open("/dev/ptmx", O_RDWR | O_NOCTTY)); });
    stage.at("adopt a device");
    auto terminal = Fd::adopt(device.get());
    if (world.good(terminal, "Fd::adopt of a device", kAdds)) (void)device.release();
    exempt([&] { return device.reset(), 0; });
  });
}

// More fibers than one mapping of stacks has room for.
void many_fibers(World& world) {
  world.run(1, [&world] {
    Stage stage(world, "main");
    std::vector<JoinHandle<int>> handles;
    for (int i = 0; i < 80; ++i) {
      auto handle = try_spawn([i] {
        if (i % 16 == 0) (void)this_fiber::sleep_for(microseconds(i));
        return i;
      });
      if (world.good(handle, "spawn", {})) handles.push_back(std::move(*handle));
    }
    stage.at("join");
    int last = -1;
    for (auto& handle : handles) {
      const int result = handle.join();
      world.expect(result > last, "each fiber returns what is its own");
      last = result;
    }
  });
}

// Several workers, and as many as there are processors: threads may not be had.
void workers(World& world) {
  for (const std::size_t count : {std::size_t{3}, std::size_t{0}}) {
    world.run(count, [&world] {
      Stage stage(world, "main");
      auto pair = UnixStream::pair();
      if (!world.good(pair, "pair", Calls(Call::k_socketpair) | kAdds)) return;
      auto pong = try_spawn([&] {
        Stage ponging(world, "pong");
        char byte = 0;
        while (pair->second.read_exact(MutableBuffer(&byte, 1), long_deadline())) {
          if (!pair->second.write_all(ConstBuffer(&byte, 1), long_deadline())) break;
        }
        (void)pair->second.close();
      });
      if (!world.good(pong, "spawn", {})) return;
      for (char i = 0; i < 20; ++i) {
        char byte = i;
        stage.at("ping");
        if (!world.good(pair->first.write_all(ConstBuffer(&byte, 1), long_deadline()), "ping",
                        kWrites, Peer::kYes)) {
          break;
        }
        stage.at("pong");
        if (!world.good(pair->first.read_exact(MutableBuffer(&byte, 1), long_deadline()), "pong",
                        kReads, Peer::kYes)) {
          break;
        }
        world.expect(byte == i, "the byte comes back");
      }
      (void)pair->first.close();
      stage.at("join");
      pong->join();
    });
  }
}

namespace {

struct CountingWaiter final : Waiter {
  unsigned returns = 0;
};

// Collects until the waiter is back, as a program with a loop of its own would.
void collect_until_back(Poller& poller, const CountingWaiter& waiter) {
  while (waiter.returns == 0) {
    WaiterList list = poller.collect(Deadline::after(milliseconds(100)));
    while (Waiter* const one = list.pop_front()) ++static_cast<CountingWaiter*>(one)->returns;
  }
}

}  // namespace

void poller_alone(World& world) {
  FdPair pair = socket_pair();
  const Armed armed(world.plan());
  Stage stage(world, "main");
  auto poller = Poller::open({.backend = world.backend()});
  if (!world.good(poller, "Poller::open",
                  Calls(Call::k_epoll_create1) | Call::k_eventfd | Call::k_epoll_ctl |
                      Call::k_pipe2 | Call::k_fcntl | Call::k_port_create | Call::k_kqueue |
                      Call::k_kevent)) {
    return;
  }
  stage.at("wake");
  poller->wake();
  (void)poller->collect(long_deadline());
  const auto token = poller->add(pair.a.get());
  if (!world.good(token, "add", kAdds)) {
    world.expect(still_open(pair.a.get()), "on error the number stays the caller's");
    return;
  }
  (void)pair.a.release();
  for (int round = 0; round < 6; ++round) {
    CountingWaiter waiter;
    stage.at("wait");
    const auto parked = poller->wait(*token, Direction::kRead, waiter);
    if (!world.good(parked, "wait", kWaits)) continue;
    if (*parked == Poller::Prepared::kTryAgain) continue;
    if (round < 5) exempt([&] { return send_text(pair.b.get(), "x"), 0; });
    if (round == 5) {
      auto closed = poller->close(*token);
      if (!closed) continue;
      while (Waiter* const one = closed->pop_front()) {
        ++static_cast<CountingWaiter*>(one)->returns;
        world.expect(one->reason() == WakeReason::kClosed, "a close says that it is one");
      }
    } else {
      stage.at("collect");
      collect_until_back(*poller, waiter);
    }
    world.expect(waiter.returns == 1, "each waiter comes back once");
  }
  stage.at("close");
  (void)poller->close(*token);
  world.expect(poller->stats().descriptors == 0, "the poller has no descriptor left");
}

}  // namespace rearm::test::faults
