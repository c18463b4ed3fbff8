#include "torture/pattern.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "torture/random.h"

namespace rearm::torture {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);

std::uint64_t word_of(std::uint32_t owner, std::uint64_t index) {
  return mix((std::uint64_t{owner} << 32) | (index & 0xffffffffU));
}

// Undoes x ^ (x >> shift).
constexpr std::uint64_t unshift(std::uint64_t x, unsigned shift) {
  std::uint64_t result = x;
  for (unsigned done = shift; done < 64; done += shift) result = x ^ (result >> shift);
  return result;
}

// The inverse of an odd factor modulo 2^64, by Newton's iteration.
constexpr std::uint64_t inverse(std::uint64_t factor) {
  std::uint64_t x = factor;
  for (int i = 0; i < 6; ++i) x *= 2 - factor * x;
  return x;
}

constexpr std::uint64_t unmix(std::uint64_t x) {
  x = unshift(x, 31) * inverse(0x94d049bb133111ebU);
  x = unshift(x, 27) * inverse(0xbf58476d1ce4e5b9U);
  return unshift(x, 30);
}
static_assert(unmix(mix(0x0123456789abcdefU)) == 0x0123456789abcdefU);

// Calls visit(index, size, word bytes) for the pieces of at most a word that `bytes` consist of.
template <class Visit>
void for_each_piece(std::uint32_t owner, std::uint64_t position, std::size_t size, Visit visit) {
  for (std::size_t i = 0; i < size;) {
    const std::uint64_t word = word_of(owner, (position + i) / kWord);
    const std::size_t skip = (position + i) % kWord;
    const std::size_t n = std::min(kWord - skip, size - i);
    if (!visit(i, n, reinterpret_cast<const std::byte*>(&word) + skip)) return;
    i += n;
  }
}

}  // namespace

void fill_pattern(std::uint32_t owner, std::uint64_t position, std::span<std::byte> bytes) {
  for_each_piece(owner, position, bytes.size(),
                 [&](std::size_t i, std::size_t n, const std::byte* piece) {
                   std::memcpy(bytes.data() + i, piece, n);
                   return true;
                 });
}

std::optional<std::size_t> first_mismatch(std::uint32_t owner, std::uint64_t position,
                                          std::span<const std::byte> bytes) {
  std::optional<std::size_t> found;
  for_each_piece(
      owner, position, bytes.size(), [&](std::size_t i, std::size_t n, const std::byte* piece) {
        const std::byte* const actual = bytes.data() + i;
        if (std::memcmp(actual, piece, n) == 0) return true;
        found = i + static_cast<std::size_t>(std::mismatch(piece, piece + n, actual).first - piece);
        return false;
      });
  return found;
}

std::optional<Place> locate(std::span<const std::byte> bytes, std::uint32_t owners) {
  constexpr std::uint64_t kLargestIndex = 1U << 20;
  for (std::size_t skip = 0; skip < kWord && skip + kWord <= bytes.size(); ++skip) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + skip, kWord);
    const std::uint64_t pair = unmix(word);
    const std::uint64_t index = pair & 0xffffffffU;
    if (pair >> 32 >= owners || index > kLargestIndex) continue;
    return Place{
        .owner = static_cast<std::uint32_t>(pair >> 32),
        .position = static_cast<std::int64_t>(index * kWord) - static_cast<std::int64_t>(skip)};
  }
  return std::nullopt;
}

std::string describe_bytes(std::span<const std::byte> bytes, std::uint32_t owners) {
  if (const auto place = locate(bytes, owners)) {
    return "the bytes of " + std::to_string(place->owner) + " from " +
           std::to_string(place->position) + " on";
  }
  std::string hex = "nobody's bytes:";
  for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 16); ++i) {
    std::array<char, 4> text{};
    std::snprintf(text.data(), text.size(), " %02x", static_cast<unsigned>(bytes[i]));
    hex += text.data();
  }
  return hex;
}

}  // namespace rearm::torture
