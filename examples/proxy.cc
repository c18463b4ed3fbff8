// A TCP proxy: bytes go both ways until both sides have ended, each in its own time.
//
//   ./proxy PORT UPSTREAM [options]       for example: ./proxy 8080 127.0.0.1:7777
//     --max-connections N   more wait in the backlog (10000)
//     --connect-s S         for the upstream to take a connection (5)
//     --idle-s S            without a byte in either direction, a connection is closed (300)
//     --drain-s S           after SIGTERM, for connections to end by themselves (5)
//
// A connection is two fibers, one for each direction. The end of one side's stream becomes a
// shutdown of writing to the other, so a client that says "that was all" still gets its answer.
// An error on either side closes both, which ends the fiber of the other direction, too.
//
// A slow side holds the other back: no more than one buffer of bytes is ever between the two.
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "rearm/rearm.h"
#include "serve.h"

using namespace std::chrono_literals;

namespace {

struct Limits {
  std::chrono::seconds connect = 5s;
  std::chrono::seconds idle = 300s;
};

class Connection {
 public:
  Connection(rearm::TcpStream client, rearm::TcpStream upstream, const Limits& limits)
      : client_(std::move(client)), upstream_(std::move(upstream)), limits_(limits) {}

  void run() {
    // Both streams live here, and the join keeps them alive for as long as the other fiber.
    auto upwards = rearm::try_spawn([&] { pump(client_, upstream_); }, {.name = "upwards"});
    if (!upwards) return;
    pump(upstream_, client_);
    upwards->join();
  }

 private:
  void pump(rearm::TcpStream& from, rearm::TcpStream& to) {
    std::array<char, 16 * 1024> buffer;
    for (;;) {
      const auto n = read(from, buffer);
      if (!n) break;
      if (*n == 0) {
        if (!to.shutdown(rearm::Shutdown::kWrite)) break;
        return;
      }
      if (!to.write_all({buffer.data(), *n}, rearm::Deadline::after(limits_.idle))) break;
    }
    (void)from.close();
    (void)to.close();
  }

  // A direction may be silent for as long as the other one is not.
  rearm::Result<std::size_t> read(rearm::TcpStream& from, rearm::MutableBuffer buffer) {
    for (;;) {
      const std::uint64_t before = transfers_;
      auto n = from.read_some(buffer, rearm::Deadline::after(limits_.idle));
      if (n) transfers_.fetch_add(1, std::memory_order_relaxed);
      const bool was_idle = !n && n.error() == rearm::Errc::kTimedOut;
      if (!was_idle || transfers_ == before) return n;
    }
  }

  rearm::TcpStream client_;
  rearm::TcpStream upstream_;
  const Limits& limits_;
  std::atomic<std::uint64_t> transfers_ = 0;  // In both directions.
};

void forward(rearm::TcpStream client, const rearm::SocketAddress& address, const Limits& limits) {
  auto upstream = rearm::TcpStream::connect(address, rearm::Deadline::after(limits.connect));
  if (!upstream) {
    std::cerr << "proxy: connect " << address << ": " << rearm::to_string(upstream.error()) << '\n';
    return;
  }
  // What is small goes on at once: the side that sent it has decided already.
  (void)client.set_no_delay(true);
  (void)upstream->set_no_delay(true);
  Connection(std::move(client), std::move(*upstream), limits).run();
}

// The options' values by their names; empty if there is a word that is none.
std::map<std::string_view, long> parse_options(int argc, char** argv) {
  std::map<std::string_view, long> values = {
      {"--max-connections", 10'000}, {"--connect-s", 5}, {"--idle-s", 300}, {"--drain-s", 5}};
  for (int at = 3; at < argc; at += 2) {
    const auto option = values.find(argv[at]);
    const std::string_view text = at + 1 < argc ? argv[at + 1] : "";
    if (option == values.end()) return {};
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), option->second);
    if (error != std::errc{} || end != text.data() + text.size() || option->second < 0) return {};
  }
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_options(argc, argv);
  if (argc < 3 || options.empty() || options.at("--max-connections") == 0) {
    std::fprintf(stderr,
                 "usage: %s PORT UPSTREAM [--max-connections N] [--connect-s S] [--idle-s S] "
                 "[--drain-s S]\n",
                 argv[0]);
    return 2;
  }
  const auto upstream = rearm::SocketAddress::parse(argv[2]);
  if (!upstream) {
    std::fprintf(stderr, "proxy: %s: not a numeric address with a port\n", argv[2]);
    return 2;
  }
  const Limits limits{.connect = std::chrono::seconds(options.at("--connect-s")),
                      .idle = std::chrono::seconds(options.at("--idle-s"))};
  return serve("proxy", std::string("127.0.0.1:") + argv[1],
               {.max_connections = static_cast<std::size_t>(options.at("--max-connections")),
                .drain = std::chrono::seconds(options.at("--drain-s"))},
               [&](rearm::TcpStream client, const Server&) {
                 forward(std::move(client), *upstream, limits);
               });
}
