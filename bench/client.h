// The load: many connections driven by one thread on one epoll, in a closed loop. A connection with
// a part in a phase sends one message, waits for the whole echo, checks it, and sends the next.
//
// A phase starts and ends with nothing in flight. So the requests counted are exactly the requests
// the server served in between, and its CPU time and system calls divide by them without a
// remainder that belongs to somebody else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "histogram.h"
#include "support.h"

namespace bench {

struct ClientOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::size_t connections = 64;
  std::size_t message_bytes = 64;
  std::size_t connect_batch = 128;
  bool verify_all_bytes = false;  // otherwise the message's head and its length
  std::int64_t stall_ns = 10'000'000'000;
  std::string congestion = "reno";
};

// Ends at its limit or its deadline, whichever comes first; then waits for what is in flight.
struct Phase {
  std::uint64_t requests_max = std::numeric_limits<std::uint64_t>::max();
  std::int64_t duration_ns = std::numeric_limits<std::int64_t>::max();
};

struct PhaseResult {
  std::uint64_t requests = 0;
  std::int64_t elapsed_ns = 0;
};

class Client {
 public:
  explicit Client(const ClientOptions& options);

  // Opens all connections, in batches that fit a backlog; each does one request, so the server has
  // accepted it and has touched what a connection touches.
  void open_connections();
  // Runs a phase over `active` connections, spread evenly over all. Dies if the server stalls.
  PhaseResult run(std::size_t active, const Phase& phase);

  [[nodiscard]] Histogram& latency() { return latency_; }
  [[nodiscard]] std::uint64_t errors() const { return errors_; }
  // What went wrong first; empty if nothing did.
  [[nodiscard]] const std::string& first_error() const { return first_error_; }

 private:
  static constexpr std::size_t kHeadBytes = 16;
  using Head = std::array<char, kHeadBytes>;

  struct Connection {
    OwnedFd fd;
    std::uint64_t sequence = 0;
    std::int64_t sent_ns = 0;
    std::size_t sent_bytes = 0;
    std::size_t received_bytes = 0;
    bool in_flight = false;
  };

  OwnedFd connect_one(std::size_t index) const;
  void start_request(std::size_t index, std::int64_t now);
  void continue_request(std::size_t index);
  bool send_rest(std::size_t index);
  // True when the whole echo is here.
  bool receive(std::size_t index);
  void finish_request(std::size_t index);
  [[nodiscard]] bool matches(std::size_t index, std::size_t offset, std::size_t bytes) const;
  [[nodiscard]] Head head_of(std::size_t index) const;
  void fail(std::size_t index, const std::string& reason);
  PhaseResult run_over(std::span<const std::size_t> indexes, const Phase& phase);

  ClientOptions options_;
  OwnedFd epoll_;
  std::vector<Connection> connections_;
  std::vector<char> message_;         // the body all messages share; the head is written before use
  std::vector<char> receive_buffer_;  // larger than a message, to notice bytes too many

  // The phase that runs.
  std::uint64_t requests_left_ = 0;
  std::int64_t deadline_ns_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t finished_ = 0;

  Histogram latency_;
  std::uint64_t errors_ = 0;
  std::string first_error_;
};

}  // namespace bench
