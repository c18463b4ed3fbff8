// How long what is not busy waits beside what is: the worst and the 99th percentile, over real
// sockets and the system's own clock. Each case is a whole program of its own: the server on
// fibers, its clients on plain threads.

#include <fcntl.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "histogram.h"
#include "rearm/rearm.h"
#include "support.h"

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFloodBytes = 4096;
constexpr std::size_t kPingBytes = 16;
constexpr int kOthers = 8;
constexpr int kCrowd = 10'000;

std::int64_t end_ns = 0;
bool is_over() { return bench::now_ns() >= end_ns; }

void compute(std::int64_t for_ns) {
  const std::int64_t until_ns = bench::now_ns() + for_ns;
  while (bench::now_ns() < until_ns) {
  }
}

void print(const char* name, const bench::Histogram& waits, const char* after) {
  std::printf("\"%s\": {\"count\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}%s",
              name, static_cast<unsigned long long>(waits.count()), waits.quantile_us(0.5),
              waits.quantile_us(0.99), waits.max_us(), after);
}

// --- Clients: plain threads. ---

bench::OwnedFd connect_to(std::uint16_t port) {
  bench::OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    bench::die_errno("connect");
  }
  bench::set_int_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  return fd;
}

// Sends as fast as the server takes it, and takes what comes back.
void flood(std::uint16_t port, std::atomic<std::uint64_t>& bytes) {
  const bench::OwnedFd fd = connect_to(port);
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) bench::die_errno("fcntl");
  std::vector<char> out(kFloodBytes, 'f');
  std::vector<char> in(64 * 1024);
  while (!is_over()) {
    const ssize_t sent = ::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
    const ssize_t got = ::recv(fd.get(), in.data(), in.size(), 0);
    if (got > 0) bytes += static_cast<std::uint64_t>(got);
    if (sent > 0 || got > 0) continue;
    pollfd ready{.fd = fd.get(), .events = POLLIN | POLLOUT, .revents = 0};
    (void)::poll(&ready, 1, 10);
  }
}

// Asks each millisecond, and waits for the answer.
void ping(std::uint16_t port, bench::Histogram& waits) {
  const bench::OwnedFd fd = connect_to(port);
  std::array<char, kPingBytes> message{};
  while (!is_over()) {
    const std::int64_t begin_ns = bench::now_ns();
    if (::send(fd.get(), message.data(), message.size(), MSG_NOSIGNAL) != kPingBytes) {
      bench::die_errno("send");
    }
    if (::recv(fd.get(), message.data(), message.size(), MSG_WAITALL) != kPingBytes) {
      bench::die_errno("recv");
    }
    waits.record(bench::now_ns() - begin_ns);
    std::this_thread::sleep_for(1ms);
  }
}

// --- A server in this process. ---

// Answers everything with itself; `after_each` is what it does after each report.
void echo(rearm::TcpStream stream, const std::function<void()>& after_each) {
  std::vector<std::byte> buffer(kFloodBytes);
  for (;;) {
    const auto n = stream.read_some({buffer.data(), buffer.size()});
    if (!n || *n == 0) return;
    after_each();
    if (!stream.write_all({buffer.data(), *n})) return;
  }
}

// Serves until `clients`, which gets the port of it, has returned.
void serve(std::size_t workers, const std::function<void()>& first_does,
           const std::function<void(std::uint16_t)>& clients) {
  const std::function<void()> nothing = [] {};
  rearm::Runtime runtime({.workers = workers});
  std::thread outside;
  runtime.run([&] {
    auto listener = rearm::TcpListener::bind(rearm::SocketAddress::ipv4_loopback(0));
    if (!listener) bench::die("bind: " + listener.error().message());
    const std::uint16_t port = listener->local_address()->port();
    outside = std::thread([&, port] {
      clients(port);
      runtime.request_stop();
    });
    bool is_first = true;
    while (auto stream = listener->accept()) {
      (void)stream->set_no_delay(true);
      const std::function<void()>& does = std::exchange(is_first, false) ? first_does : nothing;
      rearm::spawn([stream = std::move(*stream), &does]() mutable {
        echo(std::move(stream), does);
      }).detach();
    }
  });
  outside.join();
}

// --- The cases. ---

// One peer floods, another one asks each millisecond; one worker.
void run_flood() {
  bench::Histogram waits;
  std::atomic<std::uint64_t> bytes{0};
  serve(
      1, [] {},
      [&](std::uint16_t port) {
        std::thread flooder([&] { flood(port, bytes); });
        ping(port, waits);
        flooder.join();
      });
  print("quiet", waits, ", ");
  std::printf("\"flooded_bytes\": %llu", static_cast<unsigned long long>(bytes.load()));
}

// One fiber that always has a millisecond of work and yields, and what comes from outside.
void run_busy() {
  bench::Histogram reports;
  bench::Histogram timers;
  bench::Histogram injected;
  rearm::Runtime runtime({.workers = 1});
  std::thread outside;
  runtime.run([&] {
    rearm::Pipe pipe = rearm::Pipe::create().value();
    const int number = pipe.write_end.native_handle();
    rearm::spawn([] {
      while (!is_over()) {
        compute(1'000'000);
        rearm::this_fiber::yield();
      }
    }).detach();
    auto sleeper = rearm::spawn([&timers] {
      while (!is_over()) {
        const std::int64_t due_ns = bench::now_ns() + 3'300'000;
        (void)rearm::this_fiber::sleep_until(rearm::Deadline::at_ns(due_ns));
        timers.record(bench::now_ns() - due_ns);
      }
    });
    outside = std::thread([&, number] {
      while (!is_over()) {
        const std::int64_t now_ns = bench::now_ns();
        runtime.spawn([&injected, now_ns] { injected.record(bench::now_ns() - now_ns); }).detach();
        if (::write(number, &now_ns, sizeof now_ns) != sizeof now_ns) bench::die_errno("write");
        std::this_thread::sleep_for(3700us);
      }
      const std::int64_t last = 0;
      if (::write(number, &last, sizeof last) != sizeof last) bench::die_errno("write");
    });
    std::int64_t sent_ns = 0;
    while (pipe.read_end.read_exact({reinterpret_cast<std::byte*>(&sent_ns), sizeof sent_ns}) &&
           sent_ns != 0) {
      reports.record(bench::now_ns() - sent_ns);
    }
    sleeper.join();
  });
  outside.join();
  print("report", reports, ", ");
  print("timer", timers, ", ");
  print("injected", injected, "");
}

// Two workers; the fiber of the first connection computes 5 ms after each report.
void run_compute() {
  std::vector<bench::Histogram> waits(kOthers);
  bench::Histogram computing;
  serve(
      2, [] { compute(5'000'000); },
      [&](std::uint16_t port) {
        std::thread computer([&] { ping(port, computing); });
        std::this_thread::sleep_for(50ms);  // It is accepted first.
        std::vector<std::thread> others;
        for (auto& each : waits) others.emplace_back([&each, port] { ping(port, each); });
        for (auto& other : others) other.join();
        computer.join();
      });
  bench::Histogram all;
  for (const auto& each : waits) all.add(each);
  print("others", all, ", ");
  print("computing", computing, "");
}

// Ten thousand fibers that can always run, and a timer.
void run_crowd() {
  bench::Histogram timers;
  rearm::Runtime runtime({.workers = 1});
  runtime.run([&] {
    for (int i = 0; i < kCrowd; ++i) {
      rearm::spawn([] {
        while (!is_over()) rearm::this_fiber::yield();
      }).detach();
    }
    while (!is_over()) {
      const std::int64_t due_ns = bench::now_ns() + 3'300'000;
      (void)rearm::this_fiber::sleep_until(rearm::Deadline::at_ns(due_ns));
      timers.record(bench::now_ns() - due_ns);
    }
  });
  print("timer", timers, "");
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, void (*)()> cases = {
      {"flood", &run_flood}, {"busy", &run_busy}, {"compute", &run_compute}, {"crowd", &run_crowd}};
  std::string name;
  double seconds = 10;
  CLI::App app{"How long the quiet wait beside the busy; prints one JSON object"};
  app.add_option("--case", name, "flood, busy, compute or crowd")
      ->required()
      ->check(CLI::IsMember({"flood", "busy", "compute", "crowd"}));
  app.add_option("--seconds", seconds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  end_ns = bench::now_ns() + static_cast<std::int64_t>(seconds * 1e9);
  std::printf("{");
  cases.at(name)();
  std::printf("}\n");
  return 0;
}
