// The acts whose user instructions `scripts/bench instructions` counts: bench_instructions ACT N
// makes ACT N times and exits. Two runs that differ in N differ by what the acts cost and by
// nothing else, so everything here is the same on every run: one thread, no clock that ends a time
// slice, and a client that has sent all of a round's requests before the server sees the first.
//
// A round of `echo_N` is one request on each of N connections over loopback. The fiber that answers
// the last of them stops the whole server, by a plain read() that blocks, until the client, which
// is this program once more, has sent the next round.

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/wait_word.h"
#include "rearm/rearm.h"
#include "sched/timers.h"
#include "sched/wait.h"
#include "sched/worker.h"
#include "support.h"

namespace {

using rearm::Deadline;
using rearm::detail::WaitWord;

constexpr std::size_t kMessageBytes = 64;
using Message = std::array<char, kMessageBytes>;

void run_alone(const std::function<void()>& body) {
  rearm::Runtime runtime({.workers = 1, .time_slice = std::chrono::seconds(1)});
  runtime.run(body);
}

// --- A server that is told when to go on. ---

struct Gate {
  bench::OwnedFd read_end;
  bench::OwnedFd write_end;

  Gate() {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) bench::die_errno("pipe");
    if (::fcntl(ends[0], F_SETFD, FD_CLOEXEC) != 0) bench::die_errno("fcntl");
    read_end = bench::OwnedFd(ends[0]);
    write_end = bench::OwnedFd(ends[1]);
  }
  // False: there is no next round.
  [[nodiscard]] bool pass() const {
    char byte = 0;
    return ::read(read_end.get(), &byte, 1) == 1;
  }
};

bench::OwnedFd connect_to(std::uint16_t port) {
  bench::OwnedFd connection(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    bench::die_errno("connect");
  }
  bench::set_int_option(connection.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  return connection;
}

void send_request(int connection) {
  const Message message{};
  if (::send(connection, message.data(), message.size(), 0) != ssize_t{kMessageBytes}) {
    bench::die_errno("send");
  }
}

void receive_answer(int connection) {
  Message message{};
  if (::recv(connection, message.data(), message.size(), MSG_WAITALL) != ssize_t{kMessageBytes}) {
    bench::die_errno("recv");
  }
}

// Its end is the end of the gate, and of every connection.
void be_client(std::uint16_t port, std::int64_t connections, std::int64_t rounds, int gate) {
  bench::raise_open_files(static_cast<std::uint64_t>(connections) + 64);
  std::vector<bench::OwnedFd> all;
  for (std::int64_t i = 0; i < connections; ++i) all.push_back(connect_to(port));
  const auto let_it_go_on = [gate] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // All has arrived.
    if (::write(gate, "x", 1) != 1) bench::die_errno("gate");
  };
  let_it_go_on();
  for (; rounds > 0; --rounds) {
    for (const bench::OwnedFd& each : all) send_request(each.get());
    let_it_go_on();
    for (const bench::OwnedFd& each : all) receive_answer(each.get());
  }
}

const char* program = nullptr;

// In a process of its own, which a tool that counts this one does not follow.
pid_t start_client(std::uint16_t port, std::size_t connections, std::int64_t rounds, int gate) {
  const std::array<std::string, 4> numbers = {std::to_string(port), std::to_string(connections),
                                              std::to_string(rounds), std::to_string(gate)};
  const pid_t client = ::fork();
  if (client < 0) bench::die_errno("fork");
  if (client == 0) {
    ::execl(program, program, numbers[0].c_str(), numbers[1].c_str(), numbers[2].c_str(),
            numbers[3].c_str(), nullptr);
    ::_exit(127);
  }
  return client;
}

class EchoServer {
 public:
  EchoServer(std::size_t connections, bool has_deadlines, const Gate& gate)
      : connections_(connections), has_deadlines_(has_deadlines), gate_(gate) {}

  void run(rearm::TcpListener& listener) {
    if (!gate_.pass()) return;  // All have connected now.
    std::vector<rearm::JoinHandle<void>> fibers;
    for (std::size_t i = 0; i < connections_; ++i) {
      auto stream = rearm::or_throw(listener.accept(), "accept");
      rearm::or_throw(stream.set_no_delay(true), "TCP_NODELAY");
      fibers.push_back(
          rearm::spawn([this, stream = std::move(stream)]() mutable { echo(stream); }));
    }
    rearm::this_fiber::yield();  // Each waits for its first request now.
    (void)gate_.pass();
    for (auto& fiber : fibers) fiber.join();
  }

 private:
  void echo(rearm::TcpStream& stream) {
    std::array<char, 2 * kMessageBytes> buffer;
    for (;;) {
      const auto count = has_deadlines_ ? stream.read_some(buffer, Deadline::after(kLong))
                                        : stream.read_some(buffer);
      if (!count || *count == 0) return;
      if (!stream.write_all({buffer.data(), *count})) return;
      if (++answered_ % connections_ == 0 && !gate_.pass()) return;
    }
  }

  static constexpr std::chrono::hours kLong{1};

  const std::size_t connections_;
  const bool has_deadlines_;
  const Gate& gate_;
  std::uint64_t answered_ = 0;
};

void serve(std::size_t connections, std::int64_t rounds, bool has_deadlines) {
  bench::raise_open_files(connections + 64);
  Gate gate;
  pid_t client = -1;
  run_alone([&] {
    auto listener =
        rearm::or_throw(rearm::TcpListener::bind(rearm::SocketAddress::ipv4_loopback(0)), "bind");
    const std::uint16_t port = rearm::or_throw(listener.local_address(), "address").port();
    client = start_client(port, connections, rounds, gate.write_end.get());
    gate.write_end.reset();
    EchoServer(connections, has_deadlines, gate).run(listener);
  });
  int status = 0;
  if (::waitpid(client, &status, 0) != client || status != 0) bench::die("the client failed");
}

// --- Fibers and timers. ---

void yield(std::int64_t times) {
  run_alone([times] {
    auto other = rearm::spawn([times] {
      for (std::int64_t i = 0; i < times / 2; ++i) rearm::this_fiber::yield();
    });
    for (std::int64_t i = 0; i < times / 2; ++i) rearm::this_fiber::yield();
    other.join();
  });
}

void spawn_and_join(std::int64_t times) {
  run_alone([times] {
    for (std::int64_t i = 0; i < times; ++i) rearm::spawn([] {}).join();
  });
}

// A word that one fiber publishes into and another parks on.
class Signal {
 public:
  void publish() {
    if (const auto found = word_.publish(); found.waiter != nullptr) {
      rearm::detail::Worker::wake(*found.waiter);
    }
  }
  void wait() {
    if (word_.prepare() == WaitWord::Prepared::kPark) {
      (void)rearm::detail::wait_on(word_, Deadline::never(), rearm::detail::Cancellable::kNo);
    }
  }

 private:
  WaitWord word_;
};

void park_and_unpark(std::int64_t times) {
  run_alone([times] {
    Signal ping;
    Signal pong;
    auto other = rearm::spawn([&] {
      for (std::int64_t i = 0; i < times / 2; ++i) {
        ping.wait();
        pong.publish();
      }
    });
    for (std::int64_t i = 0; i < times / 2; ++i) {
      ping.publish();
      pong.wait();
    }
    other.join();
  });
}

void set_and_cancel_timer(std::int64_t times) {
  constexpr std::int64_t kHourNs = 3'600'000'000'000;
  rearm::detail::Timers timers;
  WaitWord word;
  rearm::detail::Timer timer(word);
  for (std::int64_t i = 0; i < times; ++i) {
    timers.start(timer, kHourNs + i);
    timers.stop(timer);
  }
}

using Act = void (*)(std::int64_t times);

const std::map<std::string_view, Act>& acts() {
  static const std::map<std::string_view, Act> all = {
      {"echo_1", [](std::int64_t rounds) { serve(1, rounds, false); }},
      {"echo_64", [](std::int64_t rounds) { serve(64, rounds, false); }},
      {"echo_1000", [](std::int64_t rounds) { serve(1000, rounds, false); }},
      {"echo_64_deadline", [](std::int64_t rounds) { serve(64, rounds, true); }},
      {"yield", yield},
      {"park_unpark", park_and_unpark},
      {"spawn_join", spawn_and_join},
      {"timer_set_cancel", set_and_cancel_timer},
  };
  return all;
}

using Numbers = std::array<std::int64_t, 4>;

// None of them is negative; nothing if a word is no such number.
std::optional<Numbers> read_numbers(std::span<char* const> words) {
  Numbers numbers{};
  if (words.size() > numbers.size()) return std::nullopt;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view digits = words[i];
    const char* const last = digits.data() + digits.size();
    const auto [end, error] = std::from_chars(digits.data(), last, numbers[i]);
    if (error != std::errc{} || end != last || numbers[i] < 0) return std::nullopt;
  }
  return numbers;
}

}  // namespace

int main(int argc, char** argv) {
  program = argv[0];
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  // A client is told four numbers; everything else is an act and one.
  const std::size_t first = words.size() == 5 ? 1 : std::min<std::size_t>(words.size(), 2);
  const std::optional<Numbers> numbers = read_numbers(words.subspan(first));
  if (words.size() == 5 && numbers) {
    be_client(static_cast<std::uint16_t>((*numbers)[0]), (*numbers)[1], (*numbers)[2],
              static_cast<int>((*numbers)[3]));
    return 0;
  }
  const auto act = acts().find(words.size() == 3 && numbers ? words[1] : "");
  if (act == acts().end()) {
    std::string names;
    for (const auto& [each, unused] : acts()) names.append(" ").append(each);
    std::fprintf(stderr, "usage: %s ACT N; ACT one of%s\n", program, names.c_str());
    return 2;
  }
  act->second((*numbers)[0]);
  return 0;
}
