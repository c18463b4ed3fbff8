// A web server that says hello: enough of HTTP/1.1 for a browser, curl, or a load generator.
//
//   ./http_hello [port]         then, elsewhere: curl http://127.0.0.1:PORT/
//                                           or: wrk -c64 -d5s http://127.0.0.1:PORT/
//
// Connections are kept alive, and requests may be pipelined: whatever one read brings is answered
// by one write. A request has five seconds from its first moment to its last byte, however slowly
// it trickles in, and its head must fit into 8 KiB. Bodies are not read; a request that has one is
// refused, because taking its bytes for the next request would be a hole.
#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rearm/rearm.h"

using namespace std::chrono_literals;

namespace {

constexpr std::string_view kBody = "hello, world\n";
constexpr std::string_view kEndOfHead = "\r\n\r\n";
constexpr std::size_t kMaxHeadBytes = 8 * 1024;
constexpr auto kRequestTime = 5s;

struct Response {
  std::string_view status = "200 OK";
  std::string_view body = kBody;
  bool without_body = false;  // HEAD: everything but the body.
  bool keep_alive = true;
};

Response refusal(std::string_view status) {
  return {.status = status, .body = {}, .keep_alive = false};
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

// Cuts `text` in front of the first `separator` and returns that part.
std::string_view take_until(std::string_view& text, std::string_view separator) {
  const std::size_t at = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + separator.size(), text.size()));
  return part;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The answer to one request, given everything in front of the empty line.
Response respond(std::string_view head) {
  std::string_view request = take_until(head, "\r\n");
  const std::string_view method = take_until(request, " ");
  const std::string_view target = take_until(request, " ");
  if (target.empty() || !request.starts_with("HTTP/1.")) return refusal("400 Bad Request");
  if (method != "GET" && method != "HEAD") return refusal("405 Method Not Allowed");

  Response response{.without_body = method == "HEAD", .keep_alive = request != "HTTP/1.0"};
  while (!head.empty()) {
    std::string_view value = take_until(head, "\r\n");
    const std::string_view name = take_until(value, ":");
    value = trimmed(value);
    if (equals_ignoring_case(name, "connection")) {
      if (equals_ignoring_case(value, "close")) response.keep_alive = false;
    } else if (equals_ignoring_case(name, "transfer-encoding") ||
               (equals_ignoring_case(name, "content-length") && value != "0")) {
      return refusal("413 Content Too Large");
    }
  }
  return response;
}

void append(std::string& out, const Response& response) {
  out.append("HTTP/1.1 ").append(response.status);
  out.append("\r\nContent-Type: text/plain\r\nContent-Length: ");
  out.append(std::to_string(response.body.size()));
  if (!response.keep_alive) out.append("\r\nConnection: close");
  out.append(kEndOfHead);
  if (!response.without_body) out.append(response.body);
}

void serve(rearm::TcpStream stream) {
  std::array<char, kMaxHeadBytes> buffer;
  std::size_t filled = 0;
  std::string out;
  auto deadline = rearm::Deadline::after(kRequestTime);
  for (bool keep_alive = true; keep_alive;) {
    const auto n = stream.read_some({buffer.data() + filled, buffer.size() - filled}, deadline);
    if (n && *n == 0) return;
    out.clear();
    if (n) {
      filled += *n;
      std::string_view unread(buffer.data(), filled);
      while (keep_alive && unread.find(kEndOfHead) != std::string_view::npos) {
        const Response response = respond(take_until(unread, kEndOfHead));
        append(out, response);
        keep_alive = response.keep_alive;
        deadline = rearm::Deadline::after(kRequestTime);
      }
      // What is left is the beginning of the next request.
      filled = unread.size();
      std::ranges::copy(unread, buffer.begin());
      if (keep_alive && filled == buffer.size()) {
        append(out, refusal("431 Request Header Fields Too Large"));
        keep_alive = false;
      }
    } else if (n.error() == rearm::Errc::kTimedOut && filled != 0) {
      append(out, refusal("408 Request Timeout"));
      keep_alive = false;
    } else {
      return;
    }
    if (!stream.write_all(out, rearm::Deadline::after(kRequestTime))) return;
  }
  // Closing with bytes unread would reset the connection, and the answer might be lost with it; so
  // say that this was all, and give the client a moment to hang up.
  (void)stream.shutdown(rearm::TcpStream::Shutdown::kWrite);
  const auto until = rearm::Deadline::after(1s);
  while (stream.read_some(buffer, until).value_or(0) != 0) continue;
}

int run(const rearm::SocketAddress& address) {
  auto listener = rearm::TcpListener::bind(address);
  if (!listener) {
    std::fprintf(stderr, "%s: %s\n", address.to_string().c_str(),
                 listener.error().message().c_str());
    return 1;
  }
  std::printf("listening on %s\n", listener->local_address()->to_string().c_str());
  std::fflush(stdout);
  for (;;) {
    auto stream = listener->accept();
    if (!stream) {  // Out of descriptors: try again when somebody has left.
      std::fprintf(stderr, "accept: %s\n", stream.error().message().c_str());
      (void)rearm::this_fiber::sleep_for(100ms);
      continue;
    }
    (void)stream->set_no_delay(true);
    rearm::spawn([s = std::move(*stream)]() mutable { serve(std::move(s)); }, {.name = "http"})
        .detach();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string port = argc > 1 ? argv[1] : "8080";
  const auto address = rearm::SocketAddress::parse("127.0.0.1:" + port);
  if (!address) {
    std::fprintf(stderr, "%s: not a port\n", port.c_str());
    return 2;
  }
  rearm::Runtime runtime;
  return runtime.run([&] { return run(*address); });
}
