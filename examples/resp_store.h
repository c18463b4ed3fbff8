// What resp_server keeps: strings and lists by key, spread over shards with a lock each.
//
// A std::mutex is right here, since nobody parks while holding one. Bytes are accounted for before
// they are stored, so that clients together cannot fill the memory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

constexpr std::size_t kMaxStoredBytes = 256 * 1024 * 1024;
constexpr std::size_t kBytesAnEntry = 64;  // What a key or an element costs besides its bytes.

using List = std::deque<std::string>;
using Value = std::variant<std::string, List>;

struct Hash {
  using is_transparent = void;  // NOLINT(readability-identifier-naming): the standard's name.
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};
using Map = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;

class Store {
 public:
  // Calls `use(map)` with the shard of `key`, under its lock: do not park.
  template <class Use>
  auto with(std::string_view key, Use&& use) {
    Shard& shard = shards_[Hash()(key) % shards_.size()];
    const std::lock_guard lock(shard.mutex);
    return use(shard.map);
  }

  // Under the lock of each shard in turn.
  template <class Use>
  void with_all(Use&& use) {
    for (Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      use(shard.map);
    }
  }

  // Accounts for `bytes` more in the store; false, and nothing happens, if that is too much.
  bool reserve(std::size_t bytes) {
    if (bytes_.fetch_add(bytes) + bytes <= kMaxStoredBytes) return true;
    bytes_.fetch_sub(bytes);
    return false;
  }
  void release(std::size_t bytes) { bytes_.fetch_sub(bytes); }

  static std::size_t bytes_of(std::string_view text) { return text.size() + kBytesAnEntry; }
  static std::size_t bytes_of_value(const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return bytes_of(*text);
    std::size_t bytes = kBytesAnEntry;
    for (const auto& element : std::get<List>(value)) bytes += bytes_of(element);
    return bytes;
  }

 private:
  struct Shard {
    std::mutex mutex;
    Map map;
  };

  std::array<Shard, 64> shards_;
  std::atomic<std::size_t> bytes_ = 0;
};
