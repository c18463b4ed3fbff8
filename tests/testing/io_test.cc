// Readiness takes part in the choices: pipes, Unix sockets and TCP over loopback, on each backend.
#include <array>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "testing/programs.h"

namespace rearm::test {
namespace {

class IoTest : public ExploreTest, public ::testing::WithParamInterface<std::string_view> {
 protected:
  static testing::Options options(testing::Options options) {
    options.backend = GetParam();
    return options;
  }
};

// A request and its answer, over any two streams.
template <class Stream>
void ask_and_answer(Stream& client, Stream& server) {
  auto answering = spawn([&server] {
    std::array<char, 4> request;
    require(server.read_exact(request).has_value(), "no request");
    require(server.write_all("pong").has_value(), "no room");
  });
  std::array<char, 4> answer;
  require(client.write_all("ping").has_value(), "no room");
  require(client.read_exact(answer).has_value(), "no answer");
  require(std::string_view(answer.data(), 4) == "pong", "another answer");
  answering.join();
}

void over_unix_sockets() {
  auto [client, server] = UnixStream::pair().value();
  ask_and_answer(client, server);
}

void over_tcp() {
  auto listener = TcpListener::bind(SocketAddress::ipv4_loopback(0)).value();
  const SocketAddress address = listener.local_address().value();
  auto accepting = spawn([&listener] { return listener.accept().value(); });
  TcpStream client = TcpStream::connect(address).value();
  TcpStream server = accepting.join();
  ask_and_answer(client, server);
}

void over_pipes() {
  Pipe there = Pipe::create().value();
  Pipe back = Pipe::create().value();
  auto echoing = spawn([&] {
    std::array<char, 8> bytes;
    while (const auto n = there.read_end.read_some(bytes)) {
      if (*n == 0) break;
      (void)back.write_end.write_all({bytes.data(), *n});
    }
    (void)back.write_end.close();
  });
  (void)there.write_end.write_all("ping");
  (void)there.write_end.close();
  std::array<char, 4> echoed;
  require(back.read_end.read_exact(echoed).has_value(), "nothing came back");
  echoing.join();
}

TEST_P(IoTest, RequestsAreAnsweredUnderEverySchedule) {
  for (const auto& body : {over_unix_sockets, over_tcp, over_pipes}) {
    expect_no_failure(testing::explore(body, options({.runs = 200})));
    expect_no_failure(
        testing::explore(body, options({.strategy = Strategy::kPct, .runs = 200, .depth = 3})));
    const Report report = testing::explore(body, options(exhaustive(1)));
    expect_no_failure(report);
    EXPECT_TRUE(report.complete);
  }
}

// Two clients of one server: whose request is read first is chosen.
TEST_P(IoTest, EitherOfTwoReadersThatAreReadyMayGoFirst) {
  std::set<std::string> orders;
  const Report report = testing::explore(
      [&orders] {
        std::string order;
        auto first = UnixStream::pair().value();
        auto second = UnixStream::pair().value();
        const auto reading = [&order](UnixStream& stream, char name) {
          return spawn([&order, &stream, name] {
            char byte = 0;
            require(stream.read_some({&byte, 1}).has_value(), "nothing read");
            order += name;
          });
        };
        auto one = reading(first.second, '1');
        auto two = reading(second.second, '2');
        (void)first.first.write_all("x");
        (void)second.first.write_all("x");
        one.join();
        two.join();
        orders.insert(order);
      },
      options(exhaustive(1)));
  expect_no_failure(report);
  EXPECT_EQ(orders, (std::set<std::string>{"12", "21"}));
}

// A full pipe: the writer parks until the reader has made room.
TEST_P(IoTest, AWriterWaitsForRoom) {
  const std::string much(200'000, 'x');
  expect_no_failure(testing::explore(
      [&much] {
        Pipe pipe = Pipe::create().value();
        auto writer = spawn([&] {
          require(pipe.write_end.write_all(much).has_value(), "not written");
          (void)pipe.write_end.close();
        });
        std::size_t bytes = 0;
        std::array<char, 65536> buffer;
        while (const auto n = pipe.read_end.read_some(buffer)) {
          if (*n == 0) break;
          bytes += *n;
        }
        writer.join();
        require(bytes == much.size(), "bytes were lost");
      },
      options({.runs = 50})));
}

std::vector<std::string_view> backends() {
  const auto names = detail::backend_names();
  return {names.begin(), names.end()};
}

INSTANTIATE_TEST_SUITE_P(Backends, IoTest, ::testing::ValuesIn(backends()),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace rearm::test
