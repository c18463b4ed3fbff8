// Which calls a kind of descriptor has, and that the others do not compile.
#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>

#include <gtest/gtest.h>

#include "net/net_fixture.h"
#include "rearm/net/datagram.h"
#include "rearm/net/stream.h"
#include "rearm/net/unix_datagram.h"
#include "rearm/net/unix_seqpacket.h"

namespace rearm {
namespace {

template <class T>
concept Reads = requires(T t, MutableBuffer in, std::span<const MutableBuffer> many) {
  t.read_some(in);
  t.readv(many);
  t.read_exact(in);
};
template <class T>
concept ReadsSomehow = requires(T t, MutableBuffer in) { t.read_some(in); } ||
                       requires(T t, std::span<const MutableBuffer> in) { t.readv(in); } ||
                       requires(T t, MutableBuffer in) { t.read_exact(in); };
template <class T>
concept Writes = requires(T t, ConstBuffer out, std::span<const ConstBuffer> many) {
  t.write_some(out);
  t.writev(many);
  t.write_all(out);
};
template <class T>
concept WritesSomehow = requires(T t, ConstBuffer out) { t.write_some(out); } ||
                        requires(T t, std::span<const ConstBuffer> out) { t.writev(out); } ||
                        requires(T t, ConstBuffer out) { t.write_all(out); };
template <class T>
concept ShutsDown = requires(T t) { t.shutdown(Shutdown::kWrite); };
template <class T>
concept HasPeer = requires(const T t) { t.peer_address(); };
template <class T>
concept Accepts = requires(T t) { t.accept(); };
template <class T>
concept WaitsForRoom =
    requires(T t) { t.wait_writable(); } || requires(T t) { t.set_write_deadline(Deadline()); };
template <class T>
concept Sends = requires(T t, ConstBuffer out, MutableBuffer in, SocketAddress to) {
  t.send(out);
  t.send_to(out, to);
  t.recv_from(in);
};
template <class T>
concept HasSocketsCalls = requires(T t, const T c) {
  c.local_address();
  t.set_receive_buffer_bytes(1);
  t.set_send_buffer_bytes(1);
  c.receive_buffer_bytes();
  c.send_buffer_bytes();
};
template <class T>
concept Opens = requires(T t, const T c) {
  c.is_open();
  t.close();
  t.release(Fd::Flags::kKeep);
  c.native_handle();
  t.set_deadline(Deadline());
  t.wait_readable();
};

template <class T>
constexpr bool kIsHandle =
    Opens<T> && std::default_initializable<T> && std::is_nothrow_move_constructible_v<T> &&
    std::is_nothrow_move_assignable_v<T> && !std::copyable<T>;

// A descriptor of no known kind can be waited for and closed.
static_assert(kIsHandle<Fd> && !ReadsSomehow<Fd> && !WritesSomehow<Fd> && !HasSocketsCalls<Fd>);

// What carries bytes.
static_assert(kIsHandle<Stream> && Reads<Stream> && Writes<Stream>);
static_assert(!ShutsDown<Stream> && !HasPeer<Stream> && !HasSocketsCalls<Stream>);
template <class T>
constexpr bool kIsConnection =
    kIsHandle<T> && Reads<T> && Writes<T> && ShutsDown<T> && HasPeer<T> && HasSocketsCalls<T> &&
    !Accepts<T> && !Sends<T> && std::derived_from<T, StreamSocket> && std::derived_from<T, Stream>;
static_assert(kIsConnection<TcpStream> && kIsConnection<UnixStream>);

// What carries messages.
static_assert(kIsHandle<UdpSocket> && Sends<UdpSocket> && HasPeer<UdpSocket>);
static_assert(HasSocketsCalls<UdpSocket> && std::derived_from<UdpSocket, Datagram>);
static_assert(!ReadsSomehow<UdpSocket> && !WritesSomehow<UdpSocket> && !ShutsDown<UdpSocket>);
static_assert(!Accepts<UdpSocket>);
static_assert(kIsHandle<UnixDatagram> && Sends<UnixDatagram> && !ReadsSomehow<UnixDatagram>);
static_assert(std::derived_from<UnixDatagram, Datagram> && !ShutsDown<UnixDatagram>);
static_assert(kIsHandle<UnixSeqpacket> && HasPeer<UnixSeqpacket> && ShutsDown<UnixSeqpacket>);
static_assert(!ReadsSomehow<UnixSeqpacket> && !WritesSomehow<UnixSeqpacket>);
static_assert(!Sends<UnixSeqpacket>, "a message on a connection has no address");

// What accepts, and nothing else; it passes for no other kind either.
template <class T>
constexpr bool kIsListener =
    kIsHandle<T> && Accepts<T> && HasSocketsCalls<T> && !ReadsSomehow<T> && !WritesSomehow<T> &&
    !WaitsForRoom<T> && !HasPeer<T> && !ShutsDown<T> && !Sends<T> &&
    std::derived_from<T, Listener> && !std::convertible_to<T&, Fd&>;
static_assert(kIsListener<TcpListener> && kIsListener<UnixListener>);
static_assert(kIsListener<UnixSeqpacketListener>);

// What throws nothing says so.
template <class T>
concept WaitsQuietly = requires(T t, int number, Runtime& runtime) {
  { T::adopt(number, runtime) } noexcept;
  { T::adopt(number) } noexcept;
  { t.wait_readable(Deadline()) } noexcept;
  { t.set_deadline(Deadline()) } noexcept;
  { t.release() } noexcept;
  { t.close() } noexcept;
};
static_assert(WaitsQuietly<Fd> && WaitsQuietly<Stream> && WaitsQuietly<TcpStream>);
static_assert(WaitsQuietly<TcpListener> && WaitsQuietly<UnixStream> && WaitsQuietly<UnixListener>);
static_assert(WaitsQuietly<UdpSocket> && WaitsQuietly<UnixDatagram>);
static_assert(WaitsQuietly<UnixSeqpacket> && WaitsQuietly<UnixSeqpacketListener>);
template <class T>
concept MovesBytesQuietly =
    requires(T t, MutableBuffer in, ConstBuffer out, std::span<const MutableBuffer> ins,
             std::span<const ConstBuffer> outs) {
      { t.read_some(in) } noexcept;
      { t.readv(ins) } noexcept;
      { t.read_exact(in) } noexcept;
      { t.write_some(out) } noexcept;
      { t.writev(outs) } noexcept;
      { t.write_all(out) } noexcept;
      { t.write_all(outs) } noexcept;
      { t.write_all({out, out}) } noexcept;
    };
static_assert(MovesBytesQuietly<Stream> && MovesBytesQuietly<TcpStream>);
template <class T>
concept SendsQuietly =
    requires(T t, MutableBuffer in, ConstBuffer out, SocketAddress to,
             std::span<Datagram::Incoming> ins, std::span<const Datagram::Outgoing> outs) {
      { t.recv_from(in) } noexcept;
      { t.send_to(out, to) } noexcept;
      { t.send(out) } noexcept;
      { t.recv_batch(ins) } noexcept;
      { t.send_batch(outs) } noexcept;
    };
static_assert(SendsQuietly<UdpSocket> && SendsQuietly<UnixDatagram>);
static_assert(noexcept(TcpListener().accept()) && noexcept(TcpListener().accept_from()));
static_assert(noexcept(TcpStream::connect(SocketAddress(), Deadline())));
static_assert(noexcept(Pipe::create()) && noexcept(SocketAddress::parse(std::string_view())));

// One kind is not made from another.
static_assert(!std::constructible_from<Stream, Fd> && !std::constructible_from<Stream, UdpSocket>);
static_assert(!std::constructible_from<TcpStream, Stream>);
static_assert(!std::constructible_from<TcpStream, UnixStream>);
static_assert(!std::constructible_from<UdpSocket, TcpStream>);
static_assert(std::constructible_from<Stream, TcpStream>, "code that knows bytes alone");

class KindsTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Net, KindsTest, ::testing::Values(1), test::workers_test_name);

// A server hands its listener on, or looks whether an accept would wait.
TEST_P(KindsTest, AListenerIsWaitedForAndGivenBack) {
  run([] {
    auto listener = test::expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    const SocketAddress address = test::expect_value(listener.local_address());
    test::expect_error(listener.wait_readable(test::at_once()), Errc::kTimedOut);
    const auto client = test::expect_value(TcpStream::connect(address, test::patience()));
    test::expect_ok(listener.wait_readable(test::patience()));
    const int number = test::expect_value(listener.release(Fd::Flags::kKeep));
    EXPECT_FALSE(listener.is_open());
    auto again = test::expect_value(TcpListener::adopt(number));
    test::expect_ok(again.accept(test::at_once()));
  });
}

// What knows nothing but bytes takes every kind that has them.
TEST_P(KindsTest, AStreamIsWhateverCarriesBytes) {
  run([] {
    const auto say = [](Stream& stream) { test::expect_ok(stream.write_all("x")); };
    auto [a, b] = test::tcp_streams();
    auto pair = test::expect_value(UnixStream::pair());
    auto pipe = test::expect_value(Pipe::create());
    say(a);
    say(pair.first);
    say(pipe.write_end);
    Stream taken = std::move(b);
    char byte = 0;
    test::expect_ok(taken.read_exact(MutableBuffer(&byte, 1), test::patience()));
    EXPECT_EQ(byte, 'x');
    EXPECT_FALSE(b.is_open());
  });
}

}  // namespace
}  // namespace rearm
