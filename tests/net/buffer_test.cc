// Buffers: what they are made from, and how many bytes that is.
#include "rearm/net/buffer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace rearm {
namespace {

std::size_t size_of(ConstBuffer buffer) { return buffer.size(); }
const void* data_of(ConstBuffer buffer) { return buffer.data(); }
std::size_t room_of(MutableBuffer buffer) { return buffer.size(); }

TEST(ConstBuffer, ALiteralStandsForItsCharacters) {
  EXPECT_EQ(size_of("hello"), 5U);
  EXPECT_EQ(size_of(""), 0U);
  EXPECT_EQ(size_of("with\0zero"), 9U);
}

TEST(ConstBuffer, ACharArrayStandsForAllOfItsBytes) {
  char bytes[4] = {'a', '\0', 'b', '\0'};
  EXPECT_EQ(size_of(bytes), 4U);
  char unterminated[3] = {'x', 'y', 'z'};
  EXPECT_EQ(size_of(unterminated), 3U);
  const unsigned char raw[2] = {1, 0};
  EXPECT_EQ(size_of(raw), 2U);
  const std::byte more[7]{};
  EXPECT_EQ(size_of(more), 7U);
}

TEST(ConstBuffer, APointerGoesUpToItsZero) {
  const char* const pointer = "text";
  EXPECT_EQ(size_of(pointer), 4U);
  char text[8] = "abc";
  char* const changeable = text;
  EXPECT_EQ(size_of(changeable), 3U);
}

TEST(ConstBuffer, StringsAndContainersStandForTheirElements) {
  const std::string zeroes(3, '\0');
  EXPECT_EQ(size_of(zeroes), 3U);
  EXPECT_EQ(data_of(zeroes), zeroes.data());
  EXPECT_EQ(size_of(std::string_view("ab\0c", 4)), 4U);
  EXPECT_EQ(size_of(std::vector<std::uint8_t>(5)), 5U);
  EXPECT_EQ(size_of(std::vector<char>()), 0U);
  const std::array<char, 6> array{};
  EXPECT_EQ(size_of(array), 6U);
  EXPECT_EQ(size_of(std::span(array).subspan(1, 2)), 2U);
  EXPECT_EQ(data_of(std::span(array).subspan(1, 2)), array.data() + 1);
  EXPECT_EQ(size_of(MutableBuffer(nullptr, 0)), 0U);
}

TEST(MutableBuffer, IsMadeFromWhateverMayBeWrittenTo) {
  char bytes[4];
  EXPECT_EQ(room_of(bytes), 4U);
  std::string text(3, 'x');
  EXPECT_EQ(room_of(text), 3U);
  std::vector<std::byte> vector(5);
  EXPECT_EQ(room_of(vector), 5U);
  std::array<std::uint8_t, 2> array{};
  EXPECT_EQ(room_of(array), 2U);
  EXPECT_EQ(room_of(std::span(vector).first(1)), 1U);
}

TEST(MutableBuffer, IsNotMadeFromWhatIsConstantOrWide) {
  static_assert(!std::is_convertible_v<const std::string&, MutableBuffer>);
  static_assert(!std::is_convertible_v<std::string_view, MutableBuffer>);
  static_assert(!std::is_convertible_v<std::span<const std::byte>, MutableBuffer>);
  static_assert(!std::is_convertible_v<std::vector<int>&, MutableBuffer>);
  static_assert(!std::is_convertible_v<std::vector<int>&, ConstBuffer>);
  static_assert(!std::is_convertible_v<std::u16string&, ConstBuffer>);
  static_assert(std::is_convertible_v<MutableBuffer, ConstBuffer>);
}

TEST(MutableBuffer, AfterLeavesOutTheFirstBytes) {
  std::array<char, 5> array{};
  const MutableBuffer buffer(array);
  EXPECT_EQ(buffer.after(0).size(), 5U);
  EXPECT_EQ(buffer.after(2).size(), 3U);
  EXPECT_EQ(static_cast<void*>(buffer.after(2).data()), array.data() + 2);
  EXPECT_EQ(buffer.after(5).size(), 0U);
  EXPECT_EQ(ConstBuffer("abc").after(1).size(), 2U);
}

}  // namespace
}  // namespace rearm
