// What a server needs around its handler: a loop that accepts, a limit, and an orderly end.
//
//   return serve("echo", "127.0.0.1:7777", {}, [](rearm::TcpStream stream, const Server&) { ... });
//
// - Each connection is a fiber that runs the handler. An exception that leaves the handler ends its
//   connection and is printed; the others go on.
// - At the limit nobody is accepted, so the next ones wait in the kernel's backlog.
// - Out of descriptors or stacks the server pauses, or closes one connection, and goes on.
// - SIGTERM and SIGINT close the listener and let the connections finish. What is left after
//   ServeOptions::drain is cancelled: every wait of its handler ends with Errc::kCancelled.
#pragma once

#include <signal.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <iostream>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "rearm/rearm.h"

struct ServeOptions {
  std::size_t max_connections = 10'000;
  std::chrono::milliseconds drain = std::chrono::seconds(5);
};

// Slots for connections: a counter, and a pipe to wait on while there is none. A fiber that is
// given a slot while it waits finds one byte in the pipe.
class ConnectionLimit {
 public:
  explicit ConnectionLimit(std::size_t slots) : free_(static_cast<long>(slots)) {}

  // On a fiber, before all else.
  void open() { bell_ = rearm::or_throw(rearm::Pipe::create(), "pipe"); }

  // Parks while no slot is free. False: it was not to be had before the deadline, or the runtime
  // is stopping.
  bool take() {
    if (free_.fetch_sub(1) > 0) return true;
    std::array<char, 1> byte;
    if (bell_.read_end.read_some(byte)) return true;
    // Leaves the queue, unless a slot was given meanwhile: then the byte is there, or will be.
    long free = free_.load();
    while (free < 0) {
      if (free_.compare_exchange_weak(free, free + 1)) return false;
    }
    return bell_.read_end.read_exact(byte, rearm::Deadline::never()).has_value();
  }

  void give() {
    if (free_.fetch_add(1) < 0) (void)bell_.write_end.write_all("!");
  }

  // Of take(), also of one that waits already. From any thread.
  void set_deadline(rearm::Deadline deadline) { (void)bell_.read_end.set_deadline(deadline); }

 private:
  std::atomic<long> free_;  // Negative: so many wait.
  rearm::Pipe bell_;
};

class Server {
 public:
  using Handler = std::function<void(rearm::TcpStream, const Server&)>;

  Server(std::string name, const ServeOptions& options, Handler handler)
      : name_(std::move(name)),
        options_(options),
        handler_(std::move(handler)),
        limit_(options.max_connections) {}

  // Whether the server has been told to stop: a handler whose connection is between two requests
  // may end it then. From any thread.
  [[nodiscard]] bool stopping() const { return stopping_; }

  // On a fiber. Throws std::system_error.
  void open(const std::string& address) {
    limit_.open();
    const auto parsed = rearm::or_throw(rearm::SocketAddress::parse(address), address);
    listener_ = rearm::or_throw(rearm::TcpListener::bind(parsed), "bind " + address);
  }

  [[nodiscard]] rearm::SocketAddress address() const {
    return rearm::or_throw(listener_.local_address(), "local address");
  }

  // On a fiber. Returns after stop(), when every connection has ended or the time is over.
  void run() {
    accept_all();
    // With every slot taken, no connection is left.
    for (std::size_t slot = 0; slot < options_.max_connections; ++slot) {
      if (limit_.take()) continue;
      rearm::Runtime::current()->request_stop();
      return;
    }
  }

  // From any thread.
  void stop() {
    stopping_ = true;
    limit_.set_deadline(rearm::Deadline::after(options_.drain));
    (void)listener_.close();
  }

 private:
  void accept_all() {
    while (limit_.take()) {
      auto stream = listener_.accept();
      if (stream && begin(std::move(*stream))) continue;
      limit_.give();
      if (stream) continue;
      if (!rearm::is_transient(stream.error())) return;  // Closed by stop().
      say_why(stream.error());
      // Out of descriptors, for example: some will be back.
      if (!rearm::this_fiber::sleep_for(std::chrono::milliseconds(100))) return;
    }
  }

  // A sentence takes memory. Where that is what accept() lacked, it is the number that is said.
  void say_why(const std::error_code& error) const {
    try {
      std::cerr << name_ << ": accept: " << rearm::to_string(error) << '\n';
    } catch (const std::bad_alloc&) {
      std::cerr << error << '\n';
    }
  }

  // Without a stack for its fiber the connection is closed.
  bool begin(rearm::TcpStream stream) {
    auto fiber = rearm::try_spawn(
        [this, s = std::move(stream)]() mutable {
          try {
            handler_(std::move(s), *this);
          } catch (const std::exception& error) {
            std::cerr << name_ << ": " << error.what() << '\n';
          }
          limit_.give();
        },
        {.name = name_});
    if (fiber) fiber->detach();
    return fiber.has_value();
  }

  const std::string name_;
  const ServeOptions options_;
  const Handler handler_;
  ConnectionLimit limit_;
  rearm::TcpListener listener_;
  std::atomic<bool> stopping_ = false;
};

// Ends a connection after its last answer. Closing with bytes unread would reset it, and the answer
// might be lost with it; so say that this was all, and give the client a moment to hang up.
inline void say_goodbye(rearm::TcpStream& stream) {
  (void)stream.shutdown(rearm::Shutdown::kWrite);
  std::array<char, 4096> rest;
  const auto until = rearm::Deadline::after(std::chrono::seconds(1));
  while (stream.read_some(rest, until).value_or(0) != 0) continue;
}

// Listens on `address` until a signal; returns the exit status of main().
inline int serve(const std::string& name, const std::string& address, const ServeOptions& options,
                 Server::Handler handler) try {
  rearm::Runtime runtime;
  auto signals = rearm::or_throw(rearm::SignalSet::open({SIGTERM, SIGINT}, runtime), "signals");
  Server server(name, options, std::move(handler));  // Outlives the fibers of its connections.
  runtime.run([&] {
    server.open(address);
    std::cout << "listening on " << server.address() << std::endl;
    auto stopper = rearm::spawn([&] {
      if (!signals.wait()) return;
      (void)signals.close();  // A second one does not wait.
      server.stop();
    });
    server.run();
    (void)signals.close();
    stopper.join();
  });
  return 0;
} catch (const std::system_error& error) {
  std::cerr << name << ": " << error.what() << '\n';
  return 1;
}
