// An echo server: every connection is a fiber of straight-line code.
//
//   ./echo_server [port]        then, elsewhere: nc 127.0.0.1 PORT
#include <array>
#include <chrono>
#include <iostream>
#include <string>
#include <utility>

#include "rearm/rearm.h"

using namespace std::chrono_literals;

static void echo(rearm::TcpStream stream) {
  std::array<char, 4096> buffer;
  while (const auto n = stream.read_some(buffer)) {
    if (*n == 0 || !stream.write_all({buffer.data(), *n})) return;
  }
}

int main(int argc, char** argv) {
  const std::string name = std::string("127.0.0.1:") + (argc > 1 ? argv[1] : "7777");
  rearm::Runtime runtime;
  runtime.run([&] {
    const auto address = rearm::or_throw(rearm::SocketAddress::parse(name), name);
    auto listener = rearm::or_throw(rearm::TcpListener::bind(address), "bind " + name);
    std::cout << "listening on " << *listener.local_address() << std::endl;
    for (;;) {
      if (auto stream = listener.accept()) {
        auto fiber = rearm::try_spawn([s = std::move(*stream)]() mutable { echo(std::move(s)); });
        if (fiber) fiber->detach();  // Without a stack for it, the connection is closed.
      } else if (!rearm::is_transient(stream.error()) || !rearm::this_fiber::sleep_for(100ms)) {
        return;  // Told to stop. Otherwise out of descriptors: try again when some are back.
      }
    }
  });
}
