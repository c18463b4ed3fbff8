// An HTTP/1.1 server with a strict parser (RFC 9110, 9112): connections are kept alive, requests
// may be pipelined, bodies come with a length or in chunks.
//
//   ./http_server [port]        then, elsewhere: curl http://127.0.0.1:PORT/
//                                           or: curl -d hello http://127.0.0.1:PORT/echo
//                                           or: wrk -c64 -d5s http://127.0.0.1:PORT/
//   GET /        a greeting
//   POST /echo   the body, back
//
// Whatever one read brings is answered by one write. A request has five seconds from its first
// moment to its last byte, however slowly it trickles in; its head must fit into 8 KiB and its body
// into 1 MiB. What two parsers could take for two different things (a length twice, a length and
// chunks, white space before a colon, a folded line) is refused: that is how requests are smuggled
// past a proxy.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rearm/rearm.h"
#include "serve.h"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMaxHeadBytes = 8 * 1024;
constexpr std::size_t kMaxFields = 100;
constexpr std::size_t kMaxBodyBytes = 1024 * 1024;
constexpr std::size_t kMaxChunkLineBytes = 256;
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kFlushBytes = 64 * 1024;
constexpr auto kRequestTime = 5s;

// A status line's end. What is refused ends the connection: where the next request would begin is
// not known, or the client is not one to go on with.
struct Refusal {
  std::string_view status;
};

struct Request {
  std::string_view method;
  std::string_view path;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expects_continue = false;
  bool chunked = false;
  std::optional<std::size_t> length;
};

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

// RFC 9110, 5.6.2.
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c != '\x7f'; });
}

// No control characters but the tab; bare CR and LF among them.
bool is_field_value(std::string_view text) {
  return std::ranges::none_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < ' ' && c != '\t') || byte == 0x7f;
  });
}

std::optional<std::size_t> number_of(std::string_view digits, int base) {
  std::size_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

class HeadParser {
 public:
  // Everything in front of the empty line. Throws Refusal.
  Request parse(std::string_view head) {
    request_line(take_until(head, "\r\n"));
    for (std::size_t fields = 0; !head.empty(); ++fields) {
      if (fields == kMaxFields) throw Refusal{"431 Request Header Fields Too Large"};
      std::string_view value = take_until(head, "\r\n");
      // A line that begins with white space goes on with the one before: it has no token here.
      const std::string_view name = take_until(value, ":");
      value = trimmed(value);
      if (!is_token(name) || !is_field_value(value)) throw Refusal{"400 Bad Request"};
      field(name, value);
    }
    if (hosts_ > 1 || (hosts_ == 0 && !request_.http_1_0)) throw Refusal{"400 Bad Request"};
    if (request_.chunked && (request_.length || request_.http_1_0)) {
      throw Refusal{"400 Bad Request"};
    }
    return request_;
  }

 private:
  void request_line(std::string_view line) {
    request_.method = take_until(line, " ");
    std::string_view target = take_until(line, " ");
    if (!is_token(request_.method) || target.empty() || !is_visible(target)) {
      throw Refusal{"400 Bad Request"};
    }
    if (line != "HTTP/1.1" && line != "HTTP/1.0") {
      const bool is_version = line.size() == 8 && line.starts_with("HTTP/");
      throw Refusal{is_version ? "505 HTTP Version Not Supported" : "400 Bad Request"};
    }
    request_.http_1_0 = line == "HTTP/1.0";
    request_.keep_alive = !request_.http_1_0;
    if (target.starts_with("http://")) {  // As to a proxy; servers take it, too (RFC 9112, 3.2.2).
      target.remove_prefix(7);
      target.remove_prefix(std::min(target.find('/'), target.size()));
      if (target.empty()) target = "/";
    }
    if (!target.starts_with('/') && target != "*") throw Refusal{"400 Bad Request"};
    request_.path = target.substr(0, target.find('?'));
  }

  void field(std::string_view name, std::string_view value) {
    if (equals_ignoring_case(name, "host")) {
      ++hosts_;
    } else if (equals_ignoring_case(name, "connection")) {
      while (!value.empty()) {
        const std::string_view option = trimmed(take_until(value, ","));
        if (equals_ignoring_case(option, "close")) closes_ = true;
        if (equals_ignoring_case(option, "keep-alive")) request_.keep_alive = true;
      }
      if (closes_) request_.keep_alive = false;
    } else if (equals_ignoring_case(name, "content-length")) {
      const bool digits =
          !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
      if (!digits || request_.length) throw Refusal{"400 Bad Request"};
      request_.length = number_of(value, 10).value_or(kMaxBodyBytes + 1);
    } else if (equals_ignoring_case(name, "transfer-encoding")) {
      if (request_.chunked) throw Refusal{"400 Bad Request"};
      if (!equals_ignoring_case(value, "chunked")) throw Refusal{"501 Not Implemented"};
      request_.chunked = true;
    } else if (equals_ignoring_case(name, "expect")) {
      if (!equals_ignoring_case(value, "100-continue")) throw Refusal{"417 Expectation Failed"};
      request_.expects_continue = !request_.http_1_0;
    }
  }

  Request request_;
  std::size_t hosts_ = 0;
  bool closes_ = false;
};

// One connection. What is unread lies in `in_` from `begin_` to `end_`; `out_` is to be written.
class Connection {
 public:
  Connection(rearm::TcpStream stream, const Server& server)
      : stream_(std::move(stream)), server_(server) {}

  void run() {
    try {
      while (serve_one()) continue;
    } catch (const Refusal& refusal) {
      respond(refusal.status, {}, false, false);
    }
    if (flush()) say_goodbye(stream_);
  }

 private:
  // False: the connection has ended, or is to end.
  bool serve_one() {
    deadline_ = rearm::Deadline::after(kRequestTime);
    in_request_ = false;
    auto head = read_line("\r\n\r\n", kMaxHeadBytes, "431 Request Header Fields Too Large");
    if (!head) return false;
    in_request_ = true;
    if (head->starts_with("\r\n")) head->remove_prefix(2);  // RFC 9112, 2.2.
    const Request request = HeadParser().parse(*head);
    // The body is read into the same buffer, and the head's views end.
    const bool is_head = request.method == "HEAD";
    const bool is_get = request.method == "GET" || is_head;
    const bool is_post = request.method == "POST";
    const bool is_root = request.path == "/";
    const bool is_echo = request.path == "/echo";
    const bool keep_alive = request.keep_alive;
    if (request.length.value_or(0) > kMaxBodyBytes) throw Refusal{"413 Content Too Large"};
    if (request.expects_continue && unread().empty()) {
      out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    }
    std::string body;
    if (request.chunked ? !read_chunks(body) : !read_body(request.length.value_or(0), body)) {
      return false;
    }
    const bool stays = keep_alive && !server_.stopping();
    if (!is_get && !is_post) {
      respond("405 Method Not Allowed", {}, false, stays, "Allow: GET, HEAD, POST\r\n");
    } else if (is_get && is_root) {
      respond("200 OK", "hello, world\n", is_head, stays);
    } else if (is_post && is_echo) {
      respond("200 OK", body, false, stays);
    } else if (is_root || is_echo) {
      respond("405 Method Not Allowed", {}, is_head, stays,
              is_root ? "Allow: GET, HEAD\r\n" : "Allow: POST\r\n");
    } else {
      respond("404 Not Found", "there is no such page\n", is_head, stays);
    }
    return stays;
  }

  // What is in front of the next `end`, valid until the next read; nothing at the end of the stream
  // and on an error. Throws Refusal.
  std::optional<std::string_view> read_line(std::string_view end, std::size_t limit,
                                            std::string_view too_long) {
    std::size_t looked_at = 0;  // Of what is unread.
    for (;;) {
      const std::string_view text = unread();
      const std::size_t at = text.find(end, looked_at);
      if (at <= limit) {
        begin_ += at + end.size();
        return text.substr(0, at);
      }
      // What is there may be the line and a part of its end.
      if (at != std::string_view::npos || text.size() >= limit + end.size()) {
        throw Refusal{too_long};
      }
      looked_at = text.size() - std::min(text.size(), end.size() - 1);
      if (!read_more()) return std::nullopt;
    }
  }

  bool read_body(std::size_t size, std::string& body) {
    while (unread().size() < size) {
      if (!read_more()) return false;
    }
    body.append(unread().substr(0, size));
    begin_ += size;
    return true;
  }

  bool read_chunks(std::string& body) {
    for (;;) {
      auto line = read_line("\r\n", kMaxChunkLineBytes, "400 Bad Request");
      if (!line) return false;
      if (!is_field_value(*line)) throw Refusal{"400 Bad Request"};
      std::string_view digits = take_until(*line, ";");
      digits = digits.substr(0, digits.find_last_not_of(" \t") + 1);
      const auto size = number_of(digits, 16);
      if (!size) throw Refusal{"400 Bad Request"};
      if (*size > kMaxBodyBytes - body.size()) throw Refusal{"413 Content Too Large"};
      if (*size == 0) break;
      if (!read_body(*size, body)) return false;
      const auto end = read_line("\r\n", 0, "400 Bad Request");
      if (!end) return false;
    }
    // Trailer fields are read and dropped.
    for (std::size_t left = kMaxHeadBytes;;) {
      const auto line = read_line("\r\n", left, "431 Request Header Fields Too Large");
      if (!line) return false;
      if (line->empty()) return true;
      left -= line->size();
    }
  }

  // Writes what is due, then reads; false at the end of the stream and on an error. Throws Refusal
  // if the time for a request that has begun is over.
  bool read_more() {
    if (!flush()) return false;
    // Once for a body, which would take time in the square of its size otherwise.
    if (begin_ != 0) std::ranges::copy(unread(), in_.begin());
    end_ -= std::exchange(begin_, 0);
    if (in_.size() < end_ + kReadBytes) in_.resize(end_ + kReadBytes);
    const auto n = stream_.read_some({in_.data() + end_, in_.size() - end_}, deadline_);
    end_ += n.value_or(0);
    if (n) return *n != 0;
    const bool begun = in_request_ || end_ != 0;
    if (n.error() == rearm::Errc::kTimedOut && begun) throw Refusal{"408 Request Timeout"};
    return false;
  }

  [[nodiscard]] std::string_view unread() const { return {in_.data() + begin_, end_ - begin_}; }

  void respond(std::string_view status, std::string_view body, bool without_body, bool keep_alive,
               std::string_view fields = {}) {
    out_.append("HTTP/1.1 ").append(status).append("\r\n").append(fields);
    out_.append("Content-Type: text/plain\r\nContent-Length: ");
    out_.append(std::to_string(body.size()));
    if (!keep_alive) out_.append("\r\nConnection: close");
    out_.append("\r\n\r\n");
    if (!without_body) out_.append(body);
    // A long pipeline is not answered from memory: its client has to read.
    if (out_.size() >= kFlushBytes) (void)flush();
  }

  bool flush() {
    if (broken_ || out_.empty()) return !broken_;
    broken_ = !stream_.write_all(out_, rearm::Deadline::after(kRequestTime));
    out_.clear();
    return !broken_;
  }

  rearm::TcpStream stream_;
  const Server& server_;
  rearm::Deadline deadline_;
  std::vector<char> in_ = std::vector<char>(kReadBytes);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool in_request_ = false;  // The head of a request has come, its body perhaps not.
  std::string out_;
  bool broken_ = false;  // A write failed.
};

}  // namespace

int main(int argc, char** argv) {
  return serve("http_server", std::string("127.0.0.1:") + (argc > 1 ? argv[1] : "8080"), {},
               [](rearm::TcpStream stream, const Server& server) {
                 (void)stream.set_no_delay(true);
                 Connection(std::move(stream), server).run();
               });
}
