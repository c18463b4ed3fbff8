// A TCP proxy: bytes go both ways until both sides have ended, each in its own time.
//
//   ./proxy PORT UPSTREAM       for example: ./proxy 8080 127.0.0.1:7777
//
// A connection is two fibers, one for each direction. The end of one side's stream becomes a
// shutdown of writing to the other, so a client that says "that was all" still gets its answer.
// An error on either side closes both, which ends the fiber of the other direction, too.
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "rearm/rearm.h"

using namespace std::chrono_literals;

namespace {

void pump(rearm::TcpStream& from, rearm::TcpStream& to) {
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const auto n = from.read_some(buffer);
    if (!n) break;
    if (*n == 0) {
      if (!to.shutdown(rearm::TcpStream::Shutdown::kWrite)) break;
      return;
    }
    if (!to.write_all({buffer.data(), *n})) break;
    // Where both sides keep up, nothing above ever has to wait; so let the others have a turn.
    rearm::this_fiber::yield();
  }
  (void)from.close();
  (void)to.close();
}

void serve(rearm::TcpStream client, const rearm::SocketAddress& upstream_address) {
  auto upstream = rearm::TcpStream::connect(upstream_address, rearm::Deadline::after(5s));
  if (!upstream) {
    std::fprintf(stderr, "%s: %s\n", upstream_address.to_string().c_str(),
                 upstream.error().message().c_str());
    return;
  }
  // Both streams live in this frame, and the join keeps it alive for as long as the other fiber.
  auto upwards = rearm::try_spawn([&] { pump(client, *upstream); }, {.name = "upwards"});
  if (!upwards) return;
  pump(*upstream, client);
  upwards->join();
}

int run(const rearm::SocketAddress& address, const rearm::SocketAddress& upstream) {
  auto listener = rearm::TcpListener::bind(address);
  if (!listener) {
    std::fprintf(stderr, "%s: %s\n", address.to_string().c_str(),
                 listener.error().message().c_str());
    return 1;
  }
  std::printf("listening on %s\n", listener->local_address()->to_string().c_str());
  std::fflush(stdout);
  for (;;) {
    auto client = listener->accept();
    if (!client) {  // Out of descriptors: try again when somebody has left.
      std::fprintf(stderr, "accept: %s\n", client.error().message().c_str());
      (void)rearm::this_fiber::sleep_for(100ms);
      continue;
    }
    rearm::spawn([c = std::move(*client), &upstream]() mutable { serve(std::move(c), upstream); },
                 {.name = "downwards"})
        .detach();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s PORT UPSTREAM\n", argv[0]);
    return 2;
  }
  const auto address = rearm::SocketAddress::parse(std::string("127.0.0.1:") + argv[1]);
  const auto upstream = rearm::SocketAddress::parse(argv[2]);
  if (!address || !upstream) {
    std::fprintf(stderr, "%s: not a %s\n", address ? argv[2] : argv[1],
                 address ? "numeric address with a port" : "port");
    return 2;
  }
  rearm::Runtime runtime;
  return runtime.run([&] { return run(*address, *upstream); });
}
