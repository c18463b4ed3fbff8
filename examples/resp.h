// The protocol of Redis, version 2 (RESP2): commands out of bytes, replies into bytes.
//
// Nothing here waits or knows of sockets; the parser takes whatever has been read, from anybody.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace resp {

constexpr std::size_t kMaxWords = 1024;
constexpr std::size_t kMaxWordBytes = 1024 * 1024;
constexpr std::size_t kMaxCommandBytes = 4 * 1024 * 1024;
constexpr std::size_t kMaxLineBytes = 64 * 1024;
constexpr std::size_t kMaxReplyBytes = 4 * 1024 * 1024;

using Words = std::vector<std::string_view>;

inline std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What was read is no command; where the next one begins is not known.
struct ProtocolError {
  std::string_view what;
};

// A reply would be longer than kMaxReplyBytes: one short command may ask for a long value often.
struct ReplyTooLong {};

// Cuts commands out of what has been read; goes on where it was when a command was not complete.
class Parser {
 public:
  // The next command of `text`, which begins where the one before ended; `words` point into it.
  // Returns the bytes that it took, or nothing if it is not complete. Throws ProtocolError.
  std::optional<std::size_t> next(std::string_view text, Words& words) {
    if (at_ == 0 && !text.empty() && text.front() != '*') return inline_command(text, words);
    if (words_left_ < 0 && !begin(text)) return std::nullopt;
    while (words_left_ > 0) {
      if (!next_word(text)) return std::nullopt;
    }
    words.clear();
    for (const auto& [offset, size] : places_) words.push_back(text.substr(offset, size));
    places_.clear();
    words_left_ = -1;
    return std::exchange(at_, 0);
  }

 private:
  // "*3\r\n": how many words will come.
  bool begin(std::string_view text) {
    const auto count = number_line(text, '*');
    if (!count) return false;
    if (*count > static_cast<std::int64_t>(kMaxWords)) throw ProtocolError{"too many words"};
    words_left_ = std::max<std::int64_t>(*count, 0);
    return true;
  }

  // "$5\r\nhello\r\n"
  bool next_word(std::string_view text) {
    const std::size_t before = at_;
    const auto size = number_line(text, '$');
    if (!size) return false;
    if (*size < 0 || *size > static_cast<std::int64_t>(kMaxWordBytes)) {
      throw ProtocolError{"invalid bulk length"};
    }
    const auto bytes = static_cast<std::size_t>(*size);
    if (at_ + bytes > kMaxCommandBytes) throw ProtocolError{"the command is too long"};
    if (text.size() < at_ + bytes + 2) {
      at_ = before;
      return false;
    }
    if (text.substr(at_ + bytes, 2) != "\r\n") throw ProtocolError{"a word without its end"};
    places_.emplace_back(at_, bytes);
    at_ += bytes + 2;
    --words_left_;
    return true;
  }

  // The number of a line that begins with `kind`, and goes behind the line; nothing if it is not
  // complete.
  std::optional<std::int64_t> number_line(std::string_view text, char kind) {
    const std::string_view rest = text.substr(at_);
    if (!rest.empty() && rest.front() != kind) throw ProtocolError{"expected another type"};
    const std::size_t end = rest.substr(0, 32).find("\r\n");
    if (end == std::string_view::npos) {
      if (rest.size() >= 32) throw ProtocolError{"a number that is too long"};
      return std::nullopt;
    }
    const auto value = number_of(rest.substr(1, end - 1));
    if (!value) throw ProtocolError{"not a number"};
    at_ += end + 2;
    return value;
  }

  // Words and spaces up to the end of the line: what one types into telnet.
  static std::optional<std::size_t> inline_command(std::string_view text, Words& words) {
    const std::size_t end = text.substr(0, kMaxLineBytes).find('\n');
    if (end == std::string_view::npos) {
      if (text.size() >= kMaxLineBytes) throw ProtocolError{"too big inline request"};
      return std::nullopt;
    }
    words.clear();
    for (std::size_t at = 0; at < end;) {
      const std::size_t first = std::min(text.find_first_not_of(" \t\r\n", at), end);
      const std::size_t last = std::min(text.find_first_of(" \t\r\n", first), end);
      if (first < last) words.push_back(text.substr(first, last - first));
      at = last + 1;
    }
    if (words.size() > kMaxWords) throw ProtocolError{"too many words"};
    return end + 1;
  }

  std::size_t at_ = 0;                                       // How far the command is understood.
  std::int64_t words_left_ = -1;                             // Negative: it has not begun.
  std::vector<std::pair<std::size_t, std::size_t>> places_;  // Of the words so far.
};

// Replies, in the order of the commands.
class Replies {
 public:
  void simple(std::string_view text) { text_.append("+").append(text).append("\r\n"); }
  void error(std::string_view text) { text_.append("-").append(text).append("\r\n"); }
  void integer(std::int64_t value) { head(':', value); }
  void array(std::size_t size) { head('*', static_cast<std::int64_t>(size)); }
  void null() { text_.append("$-1\r\n"); }
  // Throws ReplyTooLong.
  void bulk(std::string_view text) {
    if (text_.size() + text.size() > kMaxReplyBytes) throw ReplyTooLong{};
    head('$', static_cast<std::int64_t>(text.size()));
    text_.append(text).append("\r\n");
  }

  [[nodiscard]] std::string& text() { return text_; }

 private:
  void head(char kind, std::int64_t value) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    text_.append(1, kind).append(digits.data(), end).append("\r\n");
  }

  std::string text_;
};

}  // namespace resp
