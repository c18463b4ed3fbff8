// Resolve: addresses of names, by c-ares, a library that makes its own system calls.
//
//   ./resolve NAME...                           asks the servers of /etc/resolv.conf
//   ./resolve --server 127.0.0.1:5300 NAME...   asks this one
//
// How a library of other people's is driven from fibers. c-ares opens sockets, says which of them
// it waits for, and wants to be called when one is ready or when its timeout has passed. Here each
// socket has a fiber that waits for it: for a duplicate of its number, because c-ares closes its
// own. wait_readable() means "a read would not block", so it does not matter what c-ares has read
// before. c-ares is not thread-safe: the runtime has one worker, and nothing here parks inside of
// c-ares.
#include <ares.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rearm/rearm.h"

using namespace std::chrono_literals;
using rearm::Deadline;
using rearm::Fd;
using rearm::Pipe;

namespace {

void check(int status) {
  if (status != ARES_SUCCESS) throw std::runtime_error(ares_strerror(status));
}

// A channel of c-ares, and the sockets that it waits for. Lookups run until wait() has returned.
class Resolver {
 public:
  Resolver() : bell_(Pipe::create().value()) {
    ares_options options{};
    options.timeout = 250;  // Milliseconds, of the first try.
    options.sock_state_cb = [](void* self, ares_socket_t socket, int readable, int writable) {
      static_cast<Resolver*>(self)->watch(socket, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    check(ares_init_options(&channel_, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_SOCK_STATE_CB));
  }
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver() { ares_destroy(channel_); }

  void ask(const std::string& server) {
    check(ares_set_servers_ports_csv(channel_, server.c_str()));
  }

  void look_up(const std::string& name) {
    ++pending_;
    auto* const lookup = new Lookup{.resolver = *this, .name = name};
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_INET;
    ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, &finished, lookup);
  }

  // Until every lookup has ended. Returns how many have failed.
  int wait() {
    while (pending_ > 0) {
      timeval left{};
      const timeval* const until = ares_timeout(channel_, nullptr, &left);
      const auto patience = until == nullptr ? 1s
                                             : std::chrono::seconds(until->tv_sec) +
                                                   std::chrono::microseconds(until->tv_usec);
      if (!bell_.read_end.wait_readable(Deadline::after(patience))) {
        ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // A timeout, perhaps.
      }
    }
    return failed_;
  }

 private:
  struct Watch {
    Fd fd;
    bool readable = false;
    bool writable = false;
  };
  struct Lookup {
    Resolver& resolver;
    std::string name;
  };

  // What c-ares waits for now; neither: it is about to close the socket.
  void watch(ares_socket_t socket, bool readable, bool writable) {
    if (!readable && !writable) {
      if (const auto it = watches_.find(socket); it != watches_.end()) {
        (void)it->second->fd.close();  // Its fiber ends.
        watches_.erase(it);
      }
      return;
    }
    std::shared_ptr<Watch>& watch = watches_[socket];
    if (watch == nullptr) {
      watch = std::make_shared<Watch>();
      watch->fd = Fd::adopt(::fcntl(socket, F_DUPFD_CLOEXEC, 0)).value();
    }
    if (readable && !watch->readable) start(socket, watch, watch->readable, true);
    if (writable && !watch->writable) start(socket, watch, watch->writable, false);
  }

  // A fiber that calls c-ares whenever one direction of the socket is ready, until it is closed.
  void start(ares_socket_t socket, const std::shared_ptr<Watch>& watch, bool& runs, bool reads) {
    runs = true;
    rearm::spawn([this, socket, watch, reads] {
      for (;;) {
        const auto ready = reads ? watch->fd.wait_readable() : watch->fd.wait_writable();
        if (!ready) return;
        ares_process_fd(channel_, reads ? socket : ARES_SOCKET_BAD,
                        reads ? ARES_SOCKET_BAD : socket);
        if (!reads) {  // Room to write is there for long: once is enough.
          watch->writable = false;
          return;
        }
      }
    }).detach();
  }

  static void finished(void* argument, int status, int /*timeouts*/, ares_addrinfo* result) {
    const std::unique_ptr<Lookup> lookup(static_cast<Lookup*>(argument));
    Resolver& resolver = lookup->resolver;
    if (status == ARES_SUCCESS) {
      for (const ares_addrinfo_node* node = result->nodes; node != nullptr; node = node->ai_next) {
        const auto address = rearm::SocketAddress::from_native(node->ai_addr, node->ai_addrlen);
        const std::string text = address.to_string();
        std::printf("%s %s\n", lookup->name.c_str(), text.substr(0, text.rfind(':')).c_str());
      }
      ares_freeaddrinfo(result);
    } else {
      std::printf("%s: %s\n", lookup->name.c_str(), ares_strerror(status));
      ++resolver.failed_;
    }
    --resolver.pending_;
    (void)resolver.bell_.write_end.write_some("!", Deadline::immediate());
  }

  ares_channel channel_ = nullptr;
  std::map<ares_socket_t, std::shared_ptr<Watch>> watches_;
  Pipe bell_;
  int pending_ = 0;
  int failed_ = 0;
};

int run(const std::string& server, const std::vector<std::string>& names) {
  Resolver resolver;
  if (!server.empty()) resolver.ask(server);
  for (const std::string& name : names) resolver.look_up(name);
  return resolver.wait() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names(argv + 1, argv + argc);
  std::string server;
  if (names.size() >= 2 && names.front() == "--server") {
    server = names[1];
    names.erase(names.begin(), names.begin() + 2);
  }
  if (names.empty()) {
    std::fprintf(stderr, "usage: %s [--server ADDRESS:PORT] NAME...\n", argv[0]);
    return 2;
  }
  try {
    check(ares_library_init(ARES_LIB_INIT_ALL));
    rearm::Runtime runtime({.workers = 1});
    const int status = runtime.run([&] { return run(server, names); });
    ares_library_cleanup();
    return status;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "resolve: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
