// Server: the echo server that is tortured, inside the runtime.
//
// A fiber for each connection reads the greeting, works out the connection's plan, starts whoever
// is to trouble it, and echoes until the plan's end. Each byte that comes in must be the
// connection's own, in its place; each error one that the plan, or the stop, accounts for.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>

#include "rearm/fiber.h"
#include "rearm/net/tcp.h"
#include "rearm/net/unix.h"
#include "torture/world.h"

namespace rearm::torture {

// One connection, seen from either end: shared by all who work on it.
struct Session {
  std::variant<TcpStream, UnixStream> stream;
  std::atomic<bool> done{false};

  [[nodiscard]] StreamSocket& socket() {
    return std::visit([](auto& s) -> StreamSocket& { return s; }, stream);
  }
  // Over TCP, so that the next close is a reset.
  void make_close_a_reset() {
    if (auto* const tcp = std::get_if<TcpStream>(&stream))
      (void)tcp->set_linger(std::chrono::seconds(0));
  }
};
using SessionPtr = std::shared_ptr<Session>;

// Closes sessions from a plain thread, at the instants that it is told.
class ClosingThread {
 public:
  explicit ClosingThread(World& world);
  ~ClosingThread();
  ClosingThread(const ClosingThread&) = delete;
  ClosingThread& operator=(const ClosingThread&) = delete;

  void close_at(SessionPtr session, std::chrono::steady_clock::time_point when);

 private:
  struct Order {
    SessionPtr session;
    std::chrono::steady_clock::time_point when;
  };
  void run();

  World& world_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<Order> orders_;
  bool over_ = false;
  std::thread thread_;
};

class Server {
 public:
  Server(World& world, ClosingThread& closer) : world_(world), closer_(closer) {}

  // REQUIRES, for both: on a fiber. close() returns when nobody accepts any more; the connections
  // that were accepted go on without this object.
  void open();
  void close();

 private:
  template <class Listener>
  void accept_all(Listener& listener);

  World& world_;
  ClosingThread& closer_;
  TcpListener tcp_;
  UnixListener unix_;
  JoinHandle<void> acceptors_[2];
};

}  // namespace rearm::torture
