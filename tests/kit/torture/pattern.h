// The bytes that a connection carries: each word of eight says whose it is and where it belongs.
//
// The bytes of connection `owner` are its words w(0), w(1), ..., where w(i) is the pair (owner, i)
// mixed one-to-one. So every position can be checked without what was sent being kept, and bytes
// that are wrong can be asked whose they are: mixing is undone, and the pair is there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace rearm::torture {

// The bytes of `owner` from `position` on. No owner has more than 2^32 words.
void fill_pattern(std::uint32_t owner, std::uint64_t position, std::span<std::byte> bytes);

// The index of the first byte that is not the one of `owner` at its place, or nothing.
[[nodiscard]] std::optional<std::size_t> first_mismatch(std::uint32_t owner, std::uint64_t position,
                                                        std::span<const std::byte> bytes);

// Where bytes come from, if they begin with, or hold, a whole word of an owner below `owners`.
struct Place {
  std::uint32_t owner = 0;
  std::int64_t position = 0;  // Of the first byte; negative if it is not of the pattern.
};
[[nodiscard]] std::optional<Place> locate(std::span<const std::byte> bytes, std::uint32_t owners);

// The same in words: "the bytes of 17 from 4096 on".
[[nodiscard]] std::string describe_bytes(std::span<const std::byte> bytes, std::uint32_t owners);

}  // namespace rearm::torture
