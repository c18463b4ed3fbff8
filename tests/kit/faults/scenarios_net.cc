// Scenarios of sockets.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "faults/scenarios.h"
#include "support/sockets.h"

namespace rearm::test::faults {
namespace {

using std::chrono::microseconds;

constexpr std::size_t kChunk = 1500;
constexpr Calls kAccepts = Calls(Call::k_accept4) | kAdds | kWaits;
constexpr Calls kConnects = kOpens | Call::k_connect | Call::k_getsockopt | Call::k_getpeername;
constexpr Calls kListens = kOpens | Call::k_bind | Call::k_listen;

// Bytes that say where they belong.
std::string pattern(unsigned stream, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i)
    text[i] = static_cast<char>(stream * 31 + i * 7 + i / 251);
  return text;
}

// Echoes until the client has said all.
template <class Stream>
void echo(World& world, Stream stream, unsigned number) {
  Stage stage(world, "echo " + std::to_string(number));
  std::array<char, 700> one;
  std::array<char, 300> two;
  for (;;) {
    stage.at("read");
    const std::array<MutableBuffer, 2> buffers{MutableBuffer(one), MutableBuffer(two)};
    const auto n = stream.readv(buffers, long_deadline());
    if (!world.good(n, "echo: readv", kReads, Peer::kYes)) return;
    if (*n == 0) break;
    stage.at("write");
    std::string block(one.data(), std::min(*n, one.size()));
    if (*n > one.size()) block.append(two.data(), *n - one.size());
    if (!world.good(stream.write_all(block, long_deadline()), "echo: write", kWrites, Peer::kYes)) {
      return;
    }
  }
  stage.at("shutdown");
  (void)world.good(stream.shutdown(Shutdown::kWrite), "echo: shutdown", Call::k_shutdown,
                   Peer::kYes);
}

// Accepts until the listener is closed, through whatever comes: EMFILE passes.
template <class Listener>
void accept_all(World& world, Listener& listener) {
  Stage stage(world, "accept");
  std::vector<JoinHandle<void>> handlers;
  for (unsigned number = 0;; ++number) {
    stage.at("accept");
    auto stream = listener.accept(long_deadline());
    if (!stream) {
      if (stream.error() == Errc::kClosed) break;
      (void)world.good(stream, "accept", kAccepts);
      (void)this_fiber::sleep_for(microseconds(50));
      continue;
    }
    auto handler = try_spawn(
        [&world, number, s = std::move(*stream)]() mutable { echo(world, std::move(s), number); });
    if (world.good(handler, "spawn", {})) handlers.push_back(std::move(*handler));
  }
  stage.at("join");
  for (auto& handler : handlers) handler.join();
}

// Says its pattern and hears it again. Returns whether it got to the end.
template <class Stream>
bool converse(World& world, Stage& stage, Stream& stream, unsigned number) {
  const std::string said = pattern(number, 3 * kChunk);
  stage.at("write");
  for (std::size_t at = 0; at < said.size();) {
    const std::string_view left = std::string_view(said).substr(at, kChunk);
    const std::array<ConstBuffer, 2> buffers{ConstBuffer(left.substr(0, left.size() / 3)),
                                             ConstBuffer(left.substr(left.size() / 3))};
    const auto n = stream.writev(buffers, long_deadline());
    if (!world.good(n, "client: writev", kWrites, Peer::kYes)) return false;
    at += *n;
  }
  stage.at("shutdown");
  const auto ended = stream.shutdown(Shutdown::kWrite);
  if (!world.good(ended, "client: shutdown", Call::k_shutdown, Peer::kYes)) return false;
  stage.at("read");
  std::string heard;
  for (;;) {
    std::array<char, 1000> block;
    const auto n = stream.read_some(block, long_deadline());
    if (!world.good(n, "client: read", kReads, Peer::kYes)) break;
    if (*n == 0) break;
    heard.append(block.data(), *n);
  }
  world.expect(said.starts_with(heard), "the client hears what it said, in order");
  return heard == said;
}

// A server and its clients; `connect(address)` makes a stream.
template <class Listener, class Connect>
void serve(World& world, Listener& listener, std::size_t clients, Connect connect) {
  auto server = try_spawn([&] { accept_all(world, listener); });
  if (!world.good(server, "spawn", {})) return;
  std::vector<JoinHandle<void>> handles;
  for (unsigned i = 0; i < clients; ++i) {
    auto client = try_spawn([&world, &connect, i] {
      Stage stage(world, "client " + std::to_string(i));
      stage.at("connect");
      auto stream = connect();
      const bool connected = world.good(stream, "connect", kConnects);
      if (!connected || !converse(world, stage, *stream, i)) world.note_casualty();
    });
    if (world.good(client, "spawn", {})) handles.push_back(std::move(*client));
  }
  for (auto& handle : handles) handle.join();
  (void)listener.close();
  server->join();
}

}  // namespace

void tcp_echo(World& world) {
  world.run(1, [&world] {
    auto listener = TcpListener::bind(SocketAddress::ipv4_loopback(0));
    if (!world.good(listener, "bind", kListens)) return;
    const auto address = listener->local_address();
    if (!world.good(address, "local_address", Call::k_getsockname)) return;
    serve(world, *listener, 3, [&] {
      auto stream = TcpStream::connect(*address, long_deadline());
      if (stream) {
        (void)world.good(stream->set_no_delay(true), "set_no_delay", Call::k_setsockopt);
        (void)world.good(stream->receive_buffer_bytes(), "SO_RCVBUF", Call::k_getsockopt);
        (void)world.good(stream->peer_address(), "peer_address", Call::k_getpeername, Peer::kYes);
      }
      return stream;
    });
  });
}

void unix_streams(World& world) {
  static std::atomic<unsigned> runs{0};
  // In the abstract namespace: nothing is left in the file system.
  const std::string name =
      "@rearm-faults-" + std::to_string(::getpid()) + "-" + std::to_string(++runs);
  world.run(1, [&world, &name] {
    const auto address = SocketAddress::unix_path(name);
    auto listener = UnixListener::bind(*address, {.backlog = 1});
    if (!world.good(listener, "bind", kListens)) return;
    serve(world, *listener, 3, [&] { return UnixStream::connect(*address, long_deadline()); });

    auto pair = UnixStream::pair();
    if (!world.good(pair, "pair", Calls(Call::k_socketpair) | kAdds)) return;
    auto server = try_spawn([&] { echo(world, std::move(pair->second), 100); });
    if (!world.good(server, "spawn", {})) return;
    {
      Stage stage(world, "pair");
      if (!converse(world, stage, pair->first, 100)) world.note_casualty();
      (void)pair->first.close();
    }
    server->join();
  });
}

// Datagrams get lost when their sender is told so; those that were sent arrive, whole.
void udp_datagrams(World& world) {
  constexpr unsigned kDatagrams = 12;
  world.run(1, [&world] {
    auto a = UdpSocket::bind(SocketAddress::ipv4_loopback(0));
    auto b = UdpSocket::bind(SocketAddress::ipv4_loopback(0));
    if (!world.good(a, "bind", kListens) || !world.good(b, "bind", kListens)) return;
    const auto to = b->local_address();
    if (!world.good(to, "local_address", Call::k_getsockname)) return;
    unsigned sent = 0;
    std::atomic<unsigned> received{0};
    auto receiver = try_spawn([&] {
      Stage stage(world, "receiver");
      unsigned last = 0;
      std::array<char, 600> buffer;
      for (;;) {
        stage.at("recv_from");
        const auto got = b->recv_from(buffer, long_deadline());
        if (!got && got.error() == Errc::kClosed) break;
        if (!world.good(got, "recv_from", Calls(Call::k_recvmsg) | kWaits)) continue;
        const auto number = static_cast<unsigned char>(buffer[0]);
        world.expect(got->bytes == 100U + number && !got->truncated, "datagrams arrive whole");
        world.expect(number > last || received == 0, "datagrams keep their order on loopback");
        last = number;
        ++received;
      }
    });
    if (!world.good(receiver, "spawn", {})) return;
    Stage stage(world, "sender");
    const bool connected = world.good(a->connect(*to), "connect", Call::k_connect);
    for (unsigned i = 1; i <= kDatagrams; ++i) {
      const std::string datagram(100 + i, static_cast<char>(i));
      stage.at("send");
      if (connected && i % 2 == 0) {
        const auto n = a->send(datagram, long_deadline());
        if (world.good(n, "send", kWrites)) ++sent;
      } else {
        const auto done = a->send_to(datagram, *to, long_deadline());
        if (world.good(done, "send_to", Calls(Call::k_sendto) | kWaits)) ++sent;
      }
      if (i % 4 == 0) this_fiber::yield();
    }
    stage.at("waiting for the last datagram");
    while (received != sent) (void)this_fiber::sleep_for(microseconds(50));
    (void)b->close();
    stage.at("join");
    receiver->join();
  });
}

// As many as are said to be sent arrive, in order.
void udp_batches(World& world) {
  constexpr std::size_t kDatagrams = 10;
  world.run(1, [&world] {
    auto a = UdpSocket::bind(SocketAddress::ipv4_loopback(0));
    auto b = UdpSocket::bind(SocketAddress::ipv4_loopback(0));
    if (!world.good(a, "bind", kListens) || !world.good(b, "bind", kListens)) return;
    const auto to = b->local_address();
    if (!world.good(to, "local_address", Call::k_getsockname)) return;
    std::array<char, kDatagrams> sent{};
    std::vector<Datagram::Outgoing> out;
    for (std::size_t i = 0; i < kDatagrams; ++i) {
      sent[i] = static_cast<char>('a' + i);
      out.push_back({.datagram = ConstBuffer(&sent[i], 1), .to = *to});
    }
    Stage stage(world, "batches");
    stage.at("send_batch");
    std::size_t gone = 0;
    for (int tries = 0; gone < kDatagrams && tries < 100; ++tries) {
      const auto n = a->send_batch(std::span(out).subspan(gone), long_deadline());
      if (!world.good(n, "send_batch", Calls(Call::k_sendmmsg) | kWaits)) continue;
      world.expect(*n >= 1, "a batch that was sent has a datagram");
      gone += *n;
    }
    stage.at("recv_batch");
    std::string got;
    std::array<std::array<char, 4>, 4> room{};
    for (int tries = 0; got.size() < gone && tries < 100; ++tries) {
      std::vector<Datagram::Incoming> in;
      for (auto& one : room) in.push_back({.buffer = one});
      const auto n = b->recv_batch(in, long_deadline());
      if (!world.good(n, "recv_batch", Calls(Call::k_recvmmsg) | kWaits)) continue;
      for (std::size_t i = 0; i < *n; ++i) {
        world.expect(in[i].received.bytes == 1, "datagrams arrive whole");
        got += room[i][0];
      }
    }
    world.expect(got == std::string_view(sent.data(), gone), "datagrams keep their order");
  });
}

// What is refused leaves the path as it was; what is not takes it over.
void stale_path(World& world) {
  static std::atomic<unsigned> runs{0};
  const std::string path =
      "/tmp/rearm-faults-" + std::to_string(::getpid()) + "-" + std::to_string(++runs) + ".sock";
  world.run(1, [&world, &path] {
    const auto address = SocketAddress::unix_path(path);
    Stage stage(world, "stale path");
    exempt([&] {
      const UniqueFd left(require(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
      return require(::bind(left.get(), static_cast<const sockaddr*>(address->data()),
                            static_cast<socklen_t>(address->size())),
                     "bind");
    });
    stage.at("bind");
    auto listener = UnixListener::bind(*address, {.remove_stale = true});
    // Where the look at what is there has failed, it stays.
    const bool stays = !listener && listener.error() == std::errc::address_in_use;
    const bool is_excused = stays && world.plan().injected() != 0;
    if (!is_excused) {
      (void)world.good(listener, "bind", kListens | Call::k_lstat | Call::k_unlink);
    }
    exempt([&] { return ::unlink(path.c_str()); });
  });
}

// A listener that takes no more: connecting goes on until its deadline, whatever is reported.
void connect_in_vain(World& world) {
  UniqueFd listener(require(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  const sockaddr_in native = bind_to_loopback(listener.get());
  (void)require(::listen(listener.get(), 0), "listen");
  UniqueFd only(require(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  connect_to(only.get(), native);
  const auto address = SocketAddress::from_native(&native, sizeof(native));
  world.run(1, [&] {
    Stage stage(world, "client");
    stage.at("connect");
    const auto stream = TcpStream::connect(address, Deadline::after(std::chrono::milliseconds(2)));
    if (stream) return world.fail("it is connected to a listener that is full");
    if (stream.error() != Errc::kTimedOut) (void)world.good(stream, "connect", kConnects);
  });
  listener.reset();
  only.reset();
}

// The client is a plain thread with blocking calls of its own, which never fail.
void outside_client(World& world) {
  world.run(1, [&world] {
    auto listener = TcpListener::bind(SocketAddress::ipv4_loopback(0));
    if (!world.good(listener, "bind", kListens)) return;
    const auto address = listener->local_address();
    if (!world.good(address, "local_address", Call::k_getsockname)) return;
    auto server = try_spawn([&] { accept_all(world, *listener); });
    if (!world.good(server, "spawn", {})) return;
    std::atomic<bool> done{false};
    std::thread client;
    {
      const Exempt exempt;
      client = std::thread([&] {
        const Exempt also_exempt;
        const UniqueFd fd(require(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
        (void)require(::connect(fd.get(), static_cast<const sockaddr*>(address->data()),
                                static_cast<socklen_t>(address->size())),
                      "connect");
        const std::string said = pattern(77, 2 * kChunk);
        std::string heard;
        if (::send(fd.get(), said.data(), said.size(), MSG_NOSIGNAL) > 0) {
          ::shutdown(fd.get(), SHUT_WR);
          heard = drain(fd.get());
        }
        world.expect(said.starts_with(heard), "the stranger hears what it said, in order");
        if (heard != said) world.note_casualty();
        done = true;
      });
    }
    Stage stage(world, "main");
    stage.at("waiting for the stranger");
    while (!done) (void)this_fiber::sleep_for(microseconds(100));
    client.join();
    (void)listener->close();
    server->join();
  });
}

}  // namespace rearm::test::faults
