// Drives an echo server and says, as one JSON object, how it did: requests a second and latencies
// seen from here, and the server's CPU time, context switches, system calls and resident memory by
// the kernel's accounting of its process. bench/run.py starts it; it may be used by hand.

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "client.h"
#include "server_probe.h"
#include "support.h"

namespace {

using bench::Client;
using bench::Phase;
using bench::PhaseResult;
using bench::ServerProbe;
using bench::SyscallCounter;

struct Options {
  bench::ClientOptions client;
  std::size_t active = 0;  // 0: all
  bool idle_only = false;
  double warmup_s = 0.3;
  double seconds = 1;
  std::uint64_t requests = 0;  // instead of seconds
  double stall_s = 10;
  pid_t server_pid = 0;
  bool turns = false;
  std::string count_syscalls = "none";
};

// What the kernel says of the server at one moment.
struct Reading {
  std::int64_t cpu_ns = 0;
  std::int64_t context_switches = 0;
  std::int64_t syscalls = 0;
  std::int64_t user_instructions = 0;
};

struct Report {
  PhaseResult measured;
  Reading server;  // differences over the measured phases
  bench::ResidentMemory before;
  bench::ResidentMemory after;
  std::string syscalls_method = "none";
  bool has_user_instructions = false;
};

// With nothing in flight, lets the server finish its last request's tail and go to sleep, so that
// its CPU clock stands still.
void settle() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }

std::int64_t ns_of(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

// One load on one server: opened once, measured once or in turns with others.
class Session {
 public:
  Session(const Options& options, Client& client) : options_(options), client_(client) {}

  void open();
  void measure();
  [[nodiscard]] Report close();

 private:
  [[nodiscard]] Reading read_server() const;

  const Options& options_;
  Client& client_;
  std::optional<ServerProbe> probe_;
  std::optional<SyscallCounter> counter_;
  bench::PerfCounter instructions_;
  Report report_;
};

void Session::open() {
  if (options_.server_pid > 0) {
    probe_.emplace(options_.server_pid);
    report_.before = probe_->resident_memory();
  }
  client_.open_connections();
  if (options_.idle_only) return;
  if (options_.requests > 0) {
    client_.run(options_.active, {.requests_max = options_.requests / 10 + options_.active});
  } else {
    client_.run(options_.active, {.duration_ns = ns_of(options_.warmup_s)});
  }
  if (options_.server_pid > 0 && options_.count_syscalls != "none") {
    counter_.emplace(options_.server_pid, options_.count_syscalls);
    report_.syscalls_method = counter_->method();
    report_.has_user_instructions = instructions_.open_user_instructions(options_.server_pid);
  }
  client_.latency().clear();
}

void Session::measure() {
  Phase phase;
  if (options_.requests > 0) {
    phase.requests_max = options_.requests;
  } else {
    phase.duration_ns = ns_of(options_.seconds);
  }
  settle();
  const Reading start = read_server();
  const PhaseResult result = client_.run(options_.active, phase);
  settle();
  const Reading end = read_server();
  report_.measured.requests += result.requests;
  report_.measured.elapsed_ns += result.elapsed_ns;
  report_.server.cpu_ns += end.cpu_ns - start.cpu_ns;
  report_.server.context_switches += end.context_switches - start.context_switches;
  report_.server.syscalls += end.syscalls - start.syscalls;
  report_.server.user_instructions += end.user_instructions - start.user_instructions;
}

Report Session::close() {
  settle();
  if (probe_) report_.after = probe_->resident_memory();
  return report_;
}

Reading Session::read_server() const {
  Reading reading;
  if (probe_) {
    reading.cpu_ns = probe_->cpu_ns();
    reading.context_switches = probe_->context_switches();
  }
  if (counter_) reading.syscalls = counter_->count();
  reading.user_instructions = instructions_.count();
  return reading;
}

// Measures one slice for each line on standard input, so that several generators can take turns,
// each with its server, while the others sleep. The end of input ends it.
void take_turns(Session& session) {
  const auto answer = [](const char* word) {
    std::puts(word);
    std::fflush(stdout);
  };
  answer("ready");
  for (std::string line; std::getline(std::cin, line);) {
    session.measure();
    answer("done");
  }
}

void print_number(const char* name, double value) { std::printf(", \"%s\": %.6g", name, value); }

void print_report(const Options& options, Client& client, const Report& report) {
  const auto requests = static_cast<double>(report.measured.requests);
  const double seconds = static_cast<double>(report.measured.elapsed_ns) / 1e9;
  std::printf("{\"connections\": %zu, \"active\": %zu, \"message_bytes\": %zu",
              options.client.connections, options.active, options.client.message_bytes);
  std::printf(", \"requests\": %llu, \"errors\": %llu",
              static_cast<unsigned long long>(report.measured.requests),
              static_cast<unsigned long long>(client.errors()));
  if (report.measured.requests > 0) {
    print_number("seconds", seconds);
    print_number("requests_per_s", requests / seconds);
    print_number("p50_us", client.latency().quantile_us(0.5));
    print_number("p99_us", client.latency().quantile_us(0.99));
    print_number("p999_us", client.latency().quantile_us(0.999));
    print_number("max_us", client.latency().max_us());
    if (options.server_pid > 0) {
      print_number("cpu_ns_per_request", static_cast<double>(report.server.cpu_ns) / requests);
      print_number("context_switches_per_request",
                   static_cast<double>(report.server.context_switches) / requests);
    }
    if (report.syscalls_method != "none") {
      print_number("syscalls_per_request", static_cast<double>(report.server.syscalls) / requests);
    }
    if (report.has_user_instructions) {
      print_number("user_instructions_per_request",
                   static_cast<double>(report.server.user_instructions) / requests);
    }
  }
  std::printf(", \"syscalls_method\": \"%s\"", report.syscalls_method.c_str());
  if (options.server_pid > 0) {
    const auto count = static_cast<double>(options.client.connections);
    const auto rss = report.after.rss_bytes - report.before.rss_bytes;
    const auto anonymous = report.after.anonymous_bytes - report.before.anonymous_bytes;
    std::printf(", \"rss_bytes\": %lld", static_cast<long long>(report.after.rss_bytes));
    print_number("rss_bytes_per_connection", static_cast<double>(rss) / count);
    print_number("anonymous_bytes_per_connection", static_cast<double>(anonymous) / count);
  }
#ifdef __OPTIMIZE__
  const char* optimized = "true";
#else
  const char* optimized = "false";
#endif
  std::printf(", \"compiler\": \"%s\", \"optimized\": %s}\n", REARM_BENCH_COMPILER, optimized);
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--host", options.client.host, "IPv4 address");
  app.add_option("--port", options.client.port)->required();
  app.add_option("--connections", options.client.connections, "opened, each with one request");
  app.add_option("--active", options.active, "of these, how many work; 0: all");
  app.add_flag("--idle-only", options.idle_only, "open them and measure memory, nothing else");
  app.add_option("--message-bytes", options.client.message_bytes);
  app.add_option("--warmup-s", options.warmup_s);
  app.add_option("--seconds", options.seconds, "measured, after the warm-up");
  app.add_option("--requests", options.requests, "a fixed number instead of --seconds");
  app.add_flag("--turns", options.turns, "measure once for each line of standard input");
  app.add_option("--connect-batch", options.client.connect_batch, "fits the server's backlog");
  app.add_flag("--verify-all", options.client.verify_all_bytes, "compare every byte of the echo");
  app.add_option("--stall-s", options.stall_s, "give up when nothing comes back for so long");
  app.add_option("--congestion", options.client.congestion, "'' leaves the system's default");
  app.add_option("--server-pid", options.server_pid, "measure this process");
  app.add_option("--count-syscalls", options.count_syscalls, "auto, perf, ptrace or none")
      ->check(CLI::IsMember({"auto", "perf", "ptrace", "none"}));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Load generator for echo servers; prints one JSON object"};
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  if (options.client.connections == 0) bench::die("--connections must be at least 1");
  options.client.stall_ns = ns_of(options.stall_s);
  if (options.active == 0) options.active = options.client.connections;

  bench::raise_open_files(options.client.connections + 64);
  Client client(options.client);
  Session session(options, client);
  session.open();
  if (options.turns) {
    take_turns(session);
  } else if (!options.idle_only) {
    session.measure();
  }
  const Report report = session.close();
  print_report(options, client, report);
  if (client.errors() == 0) return 0;
  std::fprintf(stderr, "error: %llu connections failed, the first: %s\n",
               static_cast<unsigned long long>(client.errors()), client.first_error().c_str());
  return 1;
}
