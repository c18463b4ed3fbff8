// Our echo server, in the same shape as the rival's (raw_epoll_server.cc): one read and one write a
// request, on a buffer larger than a message. The code of a connection is straight-line; what it
// costs beyond the rival is what the library costs.

#include <signal.h>
#include <sys/signalfd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "rearm/rearm.h"
#include "support.h"

namespace {

struct Options {
  std::uint16_t port = 0;
  std::size_t message_bytes = 64;
  std::size_t buffer_bytes = 0;  // 0: the smallest that exceeds a message
  std::size_t workers = 1;
  std::size_t open_files = 1024;
  std::string congestion = "reno";
  std::string backend;
  std::int64_t time_slice_us = 200;
};

// The buffer lies in the fiber's frame, so its size is chosen at compile time: a small one keeps
// the whole of a parked connection on one page of stack.
template <std::size_t kBytes>
void echo(rearm::TcpStream& stream) {
  std::array<char, kBytes> buffer;
  for (;;) {
    const auto count = stream.read_some(buffer);
    if (!count || *count == 0) return;
    if (!stream.write_all({buffer.data(), *count})) return;
  }
}

constexpr std::size_t kSmallBytes = 512;
constexpr std::size_t kMediumBytes = std::size_t{8} * 1024;
constexpr std::size_t kLargeBytes = std::size_t{64} * 1024;

using Handler = void (*)(rearm::TcpStream&);

Handler handler_for(const Options& options) {
  const std::size_t bytes =
      options.buffer_bytes != 0 ? options.buffer_bytes : options.message_bytes + 1;
  if (bytes <= kSmallBytes) return echo<kSmallBytes>;
  if (bytes <= kMediumBytes) return echo<kMediumBytes>;
  return echo<kLargeBytes>;
}

void serve(rearm::TcpListener& listener, Handler handler) {
  for (;;) {
    auto accepted = listener.accept();
    if (!accepted) {
      if (accepted.error() == rearm::Errc::kCancelled) return;
      // A server that refuses connections would be measured doing nothing.
      bench::die("accept: " + accepted.error().message());
    }
    (void)accepted->set_no_delay(true);
    rearm::spawn([stream = std::move(*accepted), handler]() mutable { handler(stream); }).detach();
  }
}

// SIGTERM and SIGINT as a readable descriptor: so the process has one thread, like its rival's.
// (With a second one glibc makes each read and send a cancellation point the long way round.)
int open_stop_signals() {
  sigset_t stop{};
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  if (pthread_sigmask(SIG_BLOCK, &stop, nullptr) != 0) bench::die_errno("pthread_sigmask");
  const int fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd < 0) bench::die_errno("signalfd");
  return fd;
}

void stop_on_signal(rearm::Runtime& runtime, int signal_fd) {
  auto signals = rearm::Fd::adopt(signal_fd);
  if (!signals) bench::die("signalfd: " + signals.error().message());
  rearm::spawn([&runtime, signals = std::move(*signals)]() mutable {
    if (signals.wait_readable()) runtime.request_stop();
  }).detach();
}

void run(rearm::Runtime& runtime, const Options& options) {
  auto listener = rearm::TcpListener::bind(rearm::SocketAddress::ipv4_loopback(options.port));
  if (!listener) bench::die("bind: " + listener.error().message());
  bench::set_congestion(listener->native_handle(), options.congestion);
  const auto address = listener->local_address();
  if (!address) bench::die("local address: " + address.error().message());
  const std::string backend(runtime.backend_name());
  std::printf("listening %s backend=%s workers=%zu\n", address->to_string().c_str(),
              backend.c_str(), runtime.workers());
  std::fflush(stdout);
  serve(*listener, handler_for(options));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Echo server on Rearm's fibers"};
  app.add_option("--port", options.port, "0 chooses one and prints it");
  app.add_option("--message-bytes", options.message_bytes, "chooses a buffer that is larger");
  app.add_option("--buffer-bytes", options.buffer_bytes, "rounded up to 512, 8192 or 65536");
  app.add_option("--workers", options.workers, "0: one for each CPU");
  app.add_option("--open-files", options.open_files, "raise the limit of open files to this");
  app.add_option("--congestion", options.congestion, "'' leaves the system's default");
  app.add_option("--time-slice-us", options.time_slice_us,
                 "of fibers; longer where a tool makes the process slow");
  app.add_option("--backend", options.backend, "by name; '' is the best for this system");
  CLI11_PARSE(app, argc, argv);

  bench::raise_open_files(options.open_files);
  rearm::Runtime runtime({.workers = options.workers,
                          .backend = options.backend,
                          .time_slice = std::chrono::microseconds(options.time_slice_us)});
  const int signal_fd = open_stop_signals();
  runtime.run([&] {
    stop_on_signal(runtime, signal_fd);
    run(runtime, options);
  });
  return 0;
}
