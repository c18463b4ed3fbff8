// A program with an event loop of its own, and a Poller nested in it: callbacks, no fibers.
//
//   ./own_loop [port [connections]]     then, elsewhere: nc 127.0.0.1 PORT
//
// Links rearm::poller alone. The loop is any loop that can watch a descriptor; here it is a small
// one on epoll, which also takes SIGTERM and SIGINT. It watches the poller's own descriptor, and
// when that becomes readable, collect() returns the waiters whose wait is over. What a waiter is,
// the program decides: here, an object with a callback.
//
// The service is an echo. It ends after that many connections, or when it is told to.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "rearm/poller.h"

using rearm::Direction;
using rearm::Poller;

namespace {

// Stops the program where going on makes no sense.
[[noreturn]] void fail(const char* what, std::error_code error) {
  std::fprintf(stderr, "own_loop: %s: %s\n", what, error.message().c_str());
  std::exit(1);
}

int or_fail(int result, const char* what) {
  if (result < 0) fail(what, {errno, std::system_category()});
  return result;
}

// Somebody else's event loop: it knows nothing of Rearm.
class ForeignLoop {
 public:
  ForeignLoop() : epoll_fd_(or_fail(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {}
  ForeignLoop(const ForeignLoop&) = delete;
  ForeignLoop& operator=(const ForeignLoop&) = delete;
  ~ForeignLoop() { ::close(epoll_fd_); }

  void when_readable(int fd, std::function<void()> callback) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    or_fail(::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    callbacks_[fd] = std::move(callback);
  }

  void run() {
    while (!stopped_) {
      epoll_event event{};
      const int count = ::epoll_wait(epoll_fd_, &event, 1, -1);
      if (count < 0 && errno != EINTR) or_fail(count, "epoll_wait");
      if (count == 1) callbacks_.at(event.data.fd)();
    }
  }

  void stop() { stopped_ = true; }

 private:
  const int epoll_fd_;
  std::map<int, std::function<void()>> callbacks_;
  bool stopped_ = false;
};

// What waits here: somebody who is called when there is reason to go on. While a wait is in
// progress it belongs to the poller and must stay where it is.
class Callback : public rearm::Waiter {
 public:
  virtual ~Callback() = default;
  virtual void go_on() = 0;
};

void call_all(rearm::WaiterList waiters) {
  while (rearm::Waiter* const waiter = waiters.pop_front()) {
    static_cast<Callback*>(waiter)->go_on();
  }
}

// Ends the life of a descriptor: whoever waits for it is called, and finds it closed.
void close(Poller& poller, rearm::Token token) {
  if (auto waiters = poller.close(token)) call_all(std::move(*waiters));
}

// A system call on a descriptor, with its error as a negative number. While the operation lives,
// the number stays open, even if another thread closes the descriptor meanwhile.
template <class Call>
ssize_t perform(Poller& poller, rearm::Token token, Direction direction, Call&& call) {
  const auto operation = poller.begin(token, direction);
  if (!operation) return -EBADF;
  const ssize_t n = call(operation->fd());
  return n < 0 ? -errno : n;
}

// One client. Reads, writes it all back, reads again; waits only when the kernel says EAGAIN.
class Connection final : public Callback {
 public:
  Connection(Poller& poller, rearm::Token token, std::function<void(rearm::Token)>& on_end)
      : poller_(poller), token_(token), on_end_(on_end) {}

  [[nodiscard]] rearm::Token token() const { return token_; }

  // Until there is nothing to do but wait. At the end of the connection, calls `on_end`, which
  // destroys this.
  void go_on() override {
    for (;;) {
      const Direction direction = written_ == filled_ ? Direction::kRead : Direction::kWrite;
      const ssize_t n = direction == Direction::kRead ? read() : write();
      if (n > 0 || n == -EINTR) continue;
      if (n == -EAGAIN) {
        const auto wait = poller_.wait(token_, direction, *this);
        if (wait && *wait == Poller::Prepared::kParked) return;
        if (wait) continue;
      }
      on_end_(token_);  // The end of the stream, an error, or closed.
      return;
    }
  }

 private:
  ssize_t read() {
    const ssize_t n = perform(poller_, token_, Direction::kRead, [this](int fd) {
      return ::read(fd, buffer_.data(), buffer_.size());
    });
    if (n > 0) {
      filled_ = static_cast<std::size_t>(n);
      written_ = 0;
    }
    return n;
  }

  ssize_t write() {
    const ssize_t n = perform(poller_, token_, Direction::kWrite, [this](int fd) {
      return ::send(fd, buffer_.data() + written_, filled_ - written_, MSG_NOSIGNAL);
    });
    if (n > 0) written_ += static_cast<std::size_t>(n);
    return n;
  }

  Poller& poller_;
  const rearm::Token token_;
  std::function<void(rearm::Token)>& on_end_;
  std::array<char, 4096> buffer_;
  std::size_t filled_ = 0;
  std::size_t written_ = 0;
};

class Server final : public Callback {
 public:
  Server(Poller& poller, int listen_fd, std::uint64_t connections, std::function<void()> on_end)
      : poller_(poller), left_(connections), on_end_(std::move(on_end)) {
    const auto token = poller_.add(listen_fd);
    if (!token) fail("listening socket", token.error());
    listener_ = *token;
  }

  // Accepts whoever is there.
  void go_on() override {
    for (;;) {
      const ssize_t n = perform(poller_, listener_, Direction::kRead, [](int fd) {
        return ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      });
      if (n >= 0) {
        begin(static_cast<int>(n));
        if (--left_ == 0) stop_accepting();
      } else if (n == -EAGAIN || n == -EMFILE || n == -ENFILE) {
        // Out of descriptors, the next newcomer makes the next try.
        const auto wait = poller_.wait(listener_, Direction::kRead, *this);
        if (!wait || *wait == Poller::Prepared::kParked) return;
      } else if (n == -EBADF) {
        return;  // Stopped.
      } else if (n != -ECONNABORTED && n != -EINTR) {
        fail("accept", {static_cast<int>(-n), std::system_category()});
      }
    }
  }

  // Closes everything: each connection ends because its wait does.
  void stop() {
    stop_accepting();
    while (!connections_.empty()) {
      close(poller_, connections_.begin()->second->token());
    }
  }

 private:
  void begin(int fd) {
    const auto token = poller_.add(fd);
    if (!token) {
      ::close(fd);
      return;
    }
    auto connection = std::make_unique<Connection>(poller_, *token, end_connection_);
    Connection& here = *connection;
    connections_.emplace(token->slot, std::move(connection));
    here.go_on();
  }

  void stop_accepting() {
    left_ = 0;
    close(poller_, listener_);
    end_if_done();
  }

  void end_if_done() {
    if (left_ == 0 && connections_.empty()) on_end_();
  }

  Poller& poller_;
  std::uint64_t left_;  // Connections still to be accepted.
  const std::function<void()> on_end_;
  rearm::Token listener_;
  // By slot: no two descriptors that are open have the same.
  std::map<std::uint32_t, std::unique_ptr<Connection>> connections_;
  std::function<void(rearm::Token)> end_connection_ = [this](rearm::Token token) {
    connections_.erase(token.slot);
    close(poller_, token);
    end_if_done();
  };
};

int listen_on_loopback(std::uint16_t port) {
  const int fd = or_fail(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const int on = 1;
  or_fail(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), "setsockopt");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  or_fail(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), "bind");
  or_fail(::listen(fd, SOMAXCONN), "listen");
  socklen_t size = sizeof(address);
  or_fail(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

// A descriptor that becomes readable when the program is told to end.
int termination_fd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  or_fail(::sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask");
  return or_fail(::signalfd(-1, &signals, SFD_CLOEXEC), "signalfd");
}

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 7777);
  const std::uint64_t connections =
      argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::numeric_limits<std::uint64_t>::max();

  ForeignLoop loop;
  const int told_to_end = termination_fd();  // Before anybody is told that we are there.
  auto poller = Poller::open();
  if (!poller) fail("poller", poller.error());
  if (poller->native_handle() < 0) {
    const std::string backend(poller->backend_name());
    std::fprintf(stderr, "own_loop: the backend %s has no descriptor of its own to nest\n",
                 backend.c_str());
    return 1;
  }
  Server server(*poller, listen_on_loopback(port), connections, [&loop] { loop.stop(); });

  loop.when_readable(poller->native_handle(), [&poller] {
    call_all(poller->collect(rearm::Deadline::after(std::chrono::seconds(0))));
  });
  loop.when_readable(told_to_end, [&server] { server.stop(); });
  server.go_on();
  loop.run();
  return 0;
}
