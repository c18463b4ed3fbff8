// Deadlines: a connect that times out, a slow reader that is cut off, a drip that is not waited
// for, and a deadline that is moved while somebody waits for it.
//
//   ./deadlines                 needs nobody else; exits with 0 if everything went as it should
//
// A deadline is an instant, so it can be handed down through several calls and mean the same. An
// operation is given one as its last argument, or takes the standing one of its stream, which
// set_deadline() may change from any fiber at any time.
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "rearm/rearm.h"

using namespace std::chrono_literals;
using rearm::Deadline;
using rearm::Errc;
using rearm::or_throw;
using rearm::TcpListener;
using rearm::TcpStream;

namespace {

using Clock = std::chrono::steady_clock;

// Prints what happened and since when, and keeps the count of what should not have.
class Report {
 public:
  void line(const std::string& what, bool as_expected) {
    const auto elapsed =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_);
    std::printf("%s  %s (%lld ms)\n", as_expected ? "ok  " : "FAIL", what.c_str(),
                static_cast<long long>(elapsed.count()));
    failures_ += as_expected ? 0 : 1;
    start_ = Clock::now();
  }
  [[nodiscard]] int failures() const { return failures_; }

 private:
  Clock::time_point start_ = Clock::now();
  int failures_ = 0;
};

template <class T>
std::string outcome(const rearm::Result<T>& result) {
  return result ? std::string("done") : result.error().message();
}

// Two ends of a TCP connection. An exception, since a machine without loopback proves nothing.
std::pair<TcpStream, TcpStream> connected_pair() {
  auto listener = or_throw(TcpListener::bind(rearm::SocketAddress::ipv4_loopback(0)), "bind");
  const auto address = or_throw(listener.local_address(), "local address");
  auto client = or_throw(TcpStream::connect(address, Deadline::after(5s)), "connect");
  auto server = or_throw(listener.accept(Deadline::after(5s)), "accept");
  return {std::move(client), std::move(server)};
}

// A server that is too busy to accept: once its backlog is full, Linux answers no one who knocks.
void connect_times_out(Report& report) {
  const auto any_port = rearm::SocketAddress::ipv4_loopback(0);
  auto busy = or_throw(TcpListener::bind(any_port, {.backlog = 0}), "bind");
  const auto address = or_throw(busy.local_address(), "local address");
  std::vector<TcpStream> backlog;
  for (int attempt = 0; attempt < 8; ++attempt) {
    auto stream = TcpStream::connect(address, Deadline::after(200ms));
    if (!stream) {
      report.line("connect to a busy server: " + outcome(stream),
                  stream.error() == Errc::kTimedOut);
      return;
    }
    backlog.push_back(std::move(*stream));
  }
  report.line("connect to a busy server: was never refused", false);
}

// The writer parks when the buffers between the two are full, and the deadline ends that.
void slow_reader_is_cut_off(Report& report) {
  auto [client, server] = connected_pair();
  const std::string chunk(64 * 1024, 'x');
  rearm::Result<void> written;
  std::size_t chunks = 0;
  while ((written = server.write_all(chunk, Deadline::after(200ms)))) ++chunks;
  (void)server.close();
  report.line("write to a client that does not read: " + outcome(written) + " after " +
                  std::to_string(chunks) + " chunks of 64 KiB",
              !written && written.error() == Errc::kTimedOut);
}

// Every byte is in time, and still the whole is too late: one instant for the whole request.
void drip_is_not_waited_for(Report& report) {
  auto [client, server] = connected_pair();
  auto dripping = rearm::spawn([&client] {
    while (client.write_all("x") && rearm::this_fiber::sleep_for(20ms)) continue;
  });
  std::array<char, 1000> request;
  const auto read = server.read_exact(request, Deadline::after(200ms));
  report.line("1000 bytes, one in 20 ms: " + outcome(read),
              !read && read.error() == Errc::kTimedOut);
  (void)client.close();
  dripping.join();
}

// An operation that is waiting takes a new deadline at once: an earlier one,
void deadline_is_brought_forward(Report& report) {
  auto [client, server] = connected_pair();
  (void)server.set_read_deadline(Deadline::after(1h));
  auto reading = rearm::spawn([&server] {
    std::array<char, 16> buffer;
    return server.read_some(buffer);
  });
  (void)rearm::this_fiber::sleep_for(100ms);
  (void)server.set_read_deadline(Deadline::after(100ms));
  const auto read = reading.join();
  report.line("read with an hour's time, cut to 100 ms: " + outcome(read),
              !read && read.error() == Errc::kTimedOut);
}

// or a later one.
void deadline_is_put_off(Report& report) {
  auto [client, server] = connected_pair();
  (void)server.set_read_deadline(Deadline::after(200ms));
  auto reading = rearm::spawn([&server] {
    std::array<char, 16> buffer;
    return server.read_some(buffer);
  });
  (void)rearm::this_fiber::sleep_for(50ms);
  (void)server.set_read_deadline(Deadline::never());
  (void)rearm::this_fiber::sleep_for(300ms);
  (void)client.write_all("late");
  const auto read = reading.join();
  report.line("read with 200 ms, put off for good: " + outcome(read), read && *read == 4);
}

}  // namespace

int main() {
  rearm::Runtime runtime;
  return runtime.run([] {
    Report report;
    connect_times_out(report);
    slow_reader_is_cut_off(report);
    drip_is_not_waited_for(report);
    deadline_is_brought_forward(report);
    deadline_is_put_off(report);
    return report.failures() == 0 ? 0 : 1;
  });
}
