// Buffers: where bytes come from and go to. Views that own nothing, made implicitly from anything
// contiguous whose elements are one byte: std::array, std::vector, std::span, std::string,
// std::string_view, char[N]. A string literal stands for its characters without the terminating
// zero.
#pragma once

#include <concepts>
#include <cstddef>
#include <ranges>
#include <string_view>
#include <type_traits>

namespace rearm {

namespace detail {

template <class R>
concept ByteRange = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                    sizeof(std::ranges::range_value_t<R>) == 1 &&
                    std::is_trivially_copyable_v<std::ranges::range_value_t<R>>;

template <class R>
concept MutableByteRange =
    ByteRange<R> && !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

// A string literal, or what cannot be told from one.
template <class R>
concept ConstCharArray = std::is_array_v<std::remove_reference_t<R>> &&
                         std::same_as<std::remove_extent_t<std::remove_reference_t<R>>, const char>;

template <class P>
concept CharPointer =
    std::is_pointer_v<P> && std::same_as<std::remove_const_t<std::remove_pointer_t<P>>, char>;

}  // namespace detail

// Bytes to be written to. Layout: struct iovec's.
class MutableBuffer {
 public:
  constexpr MutableBuffer() noexcept = default;
  constexpr MutableBuffer(void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <detail::MutableByteRange R>
  constexpr MutableBuffer(R&& range) noexcept  // NOLINT(google-explicit-constructor): a view.
      : data_(std::ranges::data(range)), size_(std::ranges::size(range)) {}

  [[nodiscard]] constexpr std::byte* data() const noexcept {
    return static_cast<std::byte*>(data_);
  }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  // Without the first `n` bytes. REQUIRES: n <= size().
  [[nodiscard]] constexpr MutableBuffer after(std::size_t n) const noexcept {
    return {data() + n, size_ - n};
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

// Bytes to be read from. Layout: struct iovec's.
class ConstBuffer {
 public:
  constexpr ConstBuffer() noexcept = default;
  constexpr ConstBuffer(const void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  // A literal, without its terminating zero; zeros inside it count.
  template <std::size_t N>
  constexpr ConstBuffer(const char (&literal)[N]) noexcept  // NOLINT(google-explicit-constructor)
      : data_(literal), size_(literal[N - 1] == '\0' ? N - 1 : N) {}
  // A C string, up to its terminating zero.
  template <detail::CharPointer P>
  constexpr ConstBuffer(const P& text) noexcept  // NOLINT(google-explicit-constructor)
      : data_(text), size_(std::string_view(text).size()) {}
  constexpr ConstBuffer(MutableBuffer buffer) noexcept  // NOLINT(google-explicit-constructor)
      : data_(buffer.data()), size_(buffer.size()) {}
  template <detail::ByteRange R>
    requires(!detail::ConstCharArray<R>)
  constexpr ConstBuffer(R&& range) noexcept  // NOLINT(google-explicit-constructor): a view.
      : data_(std::ranges::data(range)), size_(std::ranges::size(range)) {}

  [[nodiscard]] constexpr const std::byte* data() const noexcept {
    return static_cast<const std::byte*>(data_);
  }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  // Without the first `n` bytes. REQUIRES: n <= size().
  [[nodiscard]] constexpr ConstBuffer after(std::size_t n) const noexcept {
    return {data() + n, size_ - n};
  }

 private:
  const void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rearm
