// An echo server: every connection is a fiber of straight-line code.
//
//   ./echo_server [port]        then, elsewhere: nc 127.0.0.1 PORT
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "rearm/rearm.h"

static void echo(rearm::TcpStream stream) {
  std::array<char, 4096> buffer;
  while (const auto n = stream.read_some(buffer)) {
    if (*n == 0 || !stream.write_all({buffer.data(), *n})) return;
  }
}

int main(int argc, char** argv) {
  const std::string address = std::string("127.0.0.1:") + (argc > 1 ? argv[1] : "7777");
  rearm::Runtime runtime;
  runtime.run([&] {
    auto listener = rearm::TcpListener::bind(rearm::SocketAddress::parse(address).value()).value();
    std::printf("listening on %s\n", listener.local_address()->to_string().c_str());
    std::fflush(stdout);
    for (;;) {
      if (auto stream = listener.accept()) {
        rearm::spawn([s = std::move(*stream)]() mutable { echo(std::move(s)); }).detach();
      } else {  // Out of descriptors: try again when somebody has left.
        (void)rearm::this_fiber::sleep_for(std::chrono::milliseconds(100));
      }
    }
  });
}
