// A server for the protocol of Redis (RESP2): strings, counters and lists, in memory.
//
//   ./resp_server [port]        then, elsewhere: redis-cli -p PORT set greeting hello
//                                           or: redis-benchmark -p PORT -t set,get,incr,lpush -q
//
// A connection is a fiber. All commands that one read brings are carried out, and their replies
// leave in one write, so pipelining costs one pair of system calls for many commands.
//
// A client can take no more than its share: a command has at most 1024 words and 4 MiB, a reply at
// most 4 MiB, all values and unfinished commands together at most 256 MiB, and a client that does
// not read its replies is cut off.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rearm/rearm.h"
#include "resp.h"
#include "resp_store.h"
#include "serve.h"

using namespace std::chrono_literals;

namespace {

using resp::Replies;
using Words = std::span<const std::string_view>;

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kFlushBytes = 256 * 1024;
constexpr auto kTimeToRead = 10s;  // For a client to take what it has asked for.

constexpr std::string_view kWrongType =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
constexpr std::string_view kNotInteger = "ERR value is not an integer or out of range";
constexpr std::string_view kOutOfMemory = "OOM command not allowed: the store is full";

// Puts a value in the place of another. Under the shard's lock.
bool assign(Store& store, Map& map, std::string_view key, std::string_view text) {
  if (!store.reserve(Store::bytes_of(key) + Store::bytes_of(text))) return false;
  const auto found = map.find(key);
  if (found == map.end()) {
    map.emplace(key, std::string(text));
    return true;
  }
  store.release(Store::bytes_of(key) + Store::bytes_of_value(found->second));
  found->second.emplace<std::string>(text);
  return true;
}

void erase(Store& store, Map& map, Map::iterator entry) {
  store.release(Store::bytes_of(entry->first) + Store::bytes_of_value(entry->second));
  map.erase(entry);
}

void set(Store& store, Words words, Replies& out) {
  const bool only_new = words.size() == 4 && (words[3] == "NX" || words[3] == "nx");
  const bool only_old = words.size() == 4 && (words[3] == "XX" || words[3] == "xx");
  if (words.size() > 3 && !only_new && !only_old) return out.error("ERR syntax error");
  store.with(words[1], [&](Map& map) {
    const bool exists = map.contains(words[1]);
    if ((only_new && exists) || (only_old && !exists)) return out.null();
    assign(store, map, words[1], words[2]) ? out.simple("OK") : out.error(kOutOfMemory);
  });
}

void get(Store& store, Words words, Replies& out) {
  store.with(words[1], [&](Map& map) {
    const auto found = map.find(words[1]);
    if (found == map.end()) return out.null();
    const auto* text = std::get_if<std::string>(&found->second);
    text != nullptr ? out.bulk(*text) : out.error(kWrongType);
  });
}

void mget(Store& store, Words words, Replies& out) {
  out.array(words.size() - 1);
  for (const std::string_view key : words.subspan(1)) {
    store.with(key, [&](Map& map) {
      const auto found = map.find(key);
      const auto* text = found == map.end() ? nullptr : std::get_if<std::string>(&found->second);
      text != nullptr ? out.bulk(*text) : out.null();
    });
  }
}

// Key by key: others may see some of the new values beside some of the old.
void mset(Store& store, Words words, Replies& out) {
  if (words.size() % 2 == 0) return out.error("ERR wrong number of arguments for 'mset' command");
  for (std::size_t at = 1; at < words.size(); at += 2) {
    const bool stored = store.with(
        words[at], [&](Map& map) { return assign(store, map, words[at], words[at + 1]); });
    if (!stored) return out.error(kOutOfMemory);
  }
  out.simple("OK");
}

void del(Store& store, Words words, Replies& out) {
  std::int64_t count = 0;
  for (const std::string_view key : words.subspan(1)) {
    store.with(key, [&](Map& map) {
      const auto found = map.find(key);
      if (found == map.end()) return;
      erase(store, map, found);
      ++count;
    });
  }
  out.integer(count);
}

void exists(Store& store, Words words, Replies& out) {
  std::int64_t count = 0;
  for (const std::string_view key : words.subspan(1)) {
    count += store.with(key, [&](Map& map) { return map.contains(key) ? 1 : 0; });
  }
  out.integer(count);
}

void add(Store& store, std::string_view key, std::int64_t difference, Replies& out) {
  store.with(key, [&](Map& map) {
    std::int64_t value = 0;
    if (const auto found = map.find(key); found != map.end()) {
      const auto* text = std::get_if<std::string>(&found->second);
      if (text == nullptr) return out.error(kWrongType);
      const auto number = resp::number_of(*text);
      if (!number) return out.error(kNotInteger);
      value = *number;
    }
    std::int64_t sum = 0;
    if (__builtin_add_overflow(value, difference, &sum)) return out.error(kNotInteger);
    if (!assign(store, map, key, std::to_string(sum))) return out.error(kOutOfMemory);
    out.integer(sum);
  });
}

void incr(Store& store, Words words, Replies& out) { add(store, words[1], 1, out); }
void decr(Store& store, Words words, Replies& out) { add(store, words[1], -1, out); }
void incrby(Store& store, Words words, Replies& out) {
  const auto difference = resp::number_of(words[2]);
  difference ? add(store, words[1], *difference, out) : out.error(kNotInteger);
}

void push(Store& store, Words words, Replies& out, bool front) {
  store.with(words[1], [&](Map& map) {
    auto found = map.find(words[1]);
    if (found != map.end() && !std::holds_alternative<List>(found->second)) {
      return out.error(kWrongType);
    }
    std::size_t bytes = found == map.end() ? Store::bytes_of(words[1]) + kBytesAnEntry : 0;
    for (const std::string_view text : words.subspan(2)) bytes += Store::bytes_of(text);
    if (!store.reserve(bytes)) return out.error(kOutOfMemory);
    if (found == map.end()) found = map.emplace(words[1], List()).first;
    auto& list = std::get<List>(found->second);
    for (const std::string_view text : words.subspan(2)) {
      front ? list.emplace_front(text) : list.emplace_back(text);
    }
    out.integer(static_cast<std::int64_t>(list.size()));
  });
}

// Calls `use(list, map, entry)` if there is a list, otherwise says what there is instead.
template <class Use>
void with_list(Store& store, std::string_view key, Replies& out, Use&& use) {
  store.with(key, [&](Map& map) {
    const auto found = map.find(key);
    if (found == map.end()) return use(nullptr, map, found);
    auto* const list = std::get_if<List>(&found->second);
    list != nullptr ? use(list, map, found) : out.error(kWrongType);
  });
}

void pop(Store& store, Words words, Replies& out, bool front) {
  with_list(store, words[1], out, [&](List* list, Map& map, Map::iterator entry) {
    if (list == nullptr) return out.null();
    const std::string& text = front ? list->front() : list->back();
    out.bulk(text);
    store.release(Store::bytes_of(text));
    front ? list->pop_front() : list->pop_back();
    if (list->empty()) erase(store, map, entry);
  });
}

void llen(Store& store, Words words, Replies& out) {
  with_list(store, words[1], out, [&](List* list, Map&, Map::iterator) {
    out.integer(list == nullptr ? 0 : static_cast<std::int64_t>(list->size()));
  });
}

void lrange(Store& store, Words words, Replies& out) {
  const auto from = resp::number_of(words[2]);
  const auto to = resp::number_of(words[3]);
  if (!from || !to) return out.error(kNotInteger);
  with_list(store, words[1], out, [&](List* list, Map&, Map::iterator) {
    const auto size = list == nullptr ? 0 : static_cast<std::int64_t>(list->size());
    const std::int64_t first = std::max<std::int64_t>(*from < 0 ? *from + size : *from, 0);
    const std::int64_t last = std::min(*to < 0 ? *to + size : *to, size - 1);
    if (first > last) return out.array(0);
    out.array(static_cast<std::size_t>(last - first + 1));
    for (auto at = first; at <= last; ++at) out.bulk((*list)[static_cast<std::size_t>(at)]);
  });
}

void dbsize(Store& store, Words, Replies& out) {
  std::size_t count = 0;
  store.with_all([&](Map& map) { count += map.size(); });
  out.integer(static_cast<std::int64_t>(count));
}

void flush_all(Store& store, Words, Replies& out) {
  store.with_all([&](Map& map) {
    while (!map.empty()) erase(store, map, map.begin());
  });
  out.simple("OK");
}

void ping(Store&, Words words, Replies& out) {
  words.size() > 1 ? out.bulk(words[1]) : out.simple("PONG");
}

struct Command {
  void (*run)(Store&, Words, Replies&);
  std::size_t min_words;
  std::size_t max_words = resp::kMaxWords;
};

const std::unordered_map<std::string_view, Command> kCommands = {
    {"PING", {ping, 1, 2}},
    {"ECHO", {[](Store&, Words words, Replies& out) { out.bulk(words[1]); }, 2, 2}},
    {"SELECT", {[](Store&, Words, Replies& out) { out.simple("OK"); }, 2, 2}},
    // What redis-cli and redis-benchmark ask for when they begin.
    {"COMMAND", {[](Store&, Words, Replies& out) { out.array(0); }, 1}},
    {"CONFIG", {[](Store&, Words, Replies& out) { out.array(0); }, 2}},
    {"SET", {set, 3, 4}},
    {"GET", {get, 2, 2}},
    {"MGET", {mget, 2}},
    {"MSET", {mset, 3}},
    {"DEL", {del, 2}},
    {"EXISTS", {exists, 2}},
    {"INCR", {incr, 2, 2}},
    {"DECR", {decr, 2, 2}},
    {"INCRBY", {incrby, 3, 3}},
    {"LPUSH", {[](Store& s, Words words, Replies& out) { push(s, words, out, true); }, 3}},
    {"RPUSH", {[](Store& s, Words words, Replies& out) { push(s, words, out, false); }, 3}},
    {"LPOP", {[](Store& s, Words words, Replies& out) { pop(s, words, out, true); }, 2, 2}},
    {"RPOP", {[](Store& s, Words words, Replies& out) { pop(s, words, out, false); }, 2, 2}},
    {"LLEN", {llen, 2, 2}},
    {"LRANGE", {lrange, 4, 4}},
    {"DBSIZE", {dbsize, 1, 1}},
    {"FLUSHALL", {flush_all, 1, 2}},
};

void execute(Store& store, Words words, Replies& out) {
  const std::size_t before = out.text().size();
  std::string name(words[0].substr(0, 32));
  std::ranges::transform(name, name.begin(), [](char c) {
    return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  const auto command = kCommands.find(name);
  if (command == kCommands.end()) return out.error("ERR unknown command");
  if (words.size() < command->second.min_words || words.size() > command->second.max_words) {
    return out.error("ERR wrong number of arguments");
  }
  try {
    command->second.run(store, words, out);
  } catch (const resp::ReplyTooLong&) {
    out.text().resize(before);
    out.error("ERR the reply is too long");
  }
}

// Carries out every command that is complete; returns the bytes that they took.
std::size_t execute_all(Store& store, std::string_view text, resp::Parser& parser,
                        std::vector<std::string_view>& words, Replies& out) {
  std::size_t taken = 0;
  while (out.text().size() < kFlushBytes) {
    const auto size = parser.next(text.substr(taken), words);
    if (!size) break;
    taken += *size;
    if (!words.empty()) execute(store, words, out);
  }
  return taken;
}

// What a client has sent and nobody has looked at. Large ones count as stored.
class Input {
 public:
  explicit Input(Store& store) : store_(store) {}
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  ~Input() { store_.release(bytes_.size() - kReadBytes); }

  [[nodiscard]] std::string_view text() const { return {bytes_.data(), filled_}; }

  // Room for a read of kReadBytes or more; empty if the store is full.
  rearm::MutableBuffer room() {
    if (bytes_.size() - filled_ < kReadBytes) {
      const std::size_t more = std::max(filled_, kReadBytes);
      if (!store_.reserve(more)) return {};
      bytes_.resize(bytes_.size() + more);
    } else if (filled_ == 0 && bytes_.size() > 16 * kReadBytes) {
      store_.release(bytes_.size() - kReadBytes);
      bytes_ = std::vector<char>(kReadBytes);
    }
    return rearm::MutableBuffer(bytes_).after(filled_);
  }
  void added(std::size_t bytes) { filled_ += bytes; }

  void take(std::size_t bytes) {
    if (bytes == 0) return;  // A large command comes in many reads.
    std::ranges::copy(text().substr(bytes), bytes_.begin());
    filled_ -= bytes;
  }

 private:
  Store& store_;
  std::vector<char> bytes_ = std::vector<char>(kReadBytes);
  std::size_t filled_ = 0;
};

void serve_client(rearm::TcpStream stream, Store& store) {
  Input in(store);
  resp::Parser parser;
  std::vector<std::string_view> words;
  Replies out;
  const auto flush = [&] {
    const auto written = stream.write_all(out.text(), rearm::Deadline::after(kTimeToRead));
    out.text().clear();
    return written.has_value();
  };
  try {
    for (;;) {
      const rearm::MutableBuffer room = in.room();
      if (room.size() == 0) throw resp::ProtocolError{"the store is full"};
      const auto n = stream.read_some(room);
      if (!n || *n == 0) return;
      in.added(*n);
      for (std::size_t taken = 1; taken != 0; in.take(taken)) {
        taken = execute_all(store, in.text(), parser, words, out);
        if (!out.text().empty() && !flush()) return;
      }
    }
  } catch (const resp::ProtocolError& error) {
    out.error("ERR Protocol error: " + std::string(error.what));
    if (flush()) say_goodbye(stream);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Store store;
  return serve("resp_server", std::string("127.0.0.1:") + (argc > 1 ? argv[1] : "6380"),
               {.max_connections = 1000}, [&store](rearm::TcpStream stream, const Server&) {
                 (void)stream.set_no_delay(true);
                 serve_client(std::move(stream), store);
               });
}
