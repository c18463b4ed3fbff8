// Hidden: room for an object whose type only the library's sources know. It lies where its owner
// lies, so that nothing is allocated and nothing can fail.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace rearm::detail {

template <class T>
class Hidden {
 public:
  template <class... Args>
  explicit Hidden(std::in_place_t, Args&&... args) {
    static_assert(sizeof(T) <= kBytes && alignof(T) <= kAlignment);
    ::new (static_cast<void*>(bytes_)) T(std::forward<Args>(args)...);
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
  ~Hidden() { (**this).~T(); }

  [[nodiscard]] T& operator*() noexcept { return *std::launder(reinterpret_cast<T*>(bytes_)); }
  [[nodiscard]] const T& operator*() const noexcept {
    return *std::launder(reinterpret_cast<const T*>(bytes_));
  }
  [[nodiscard]] T* operator->() noexcept { return &**this; }
  [[nodiscard]] const T* operator->() const noexcept { return &**this; }

 private:
  // The system's lock is the largest part, and differs: 40 bytes on Linux and x86-64, 64 on macOS.
  static constexpr std::size_t kBytes = 112;
  static constexpr std::size_t kAlignment = 16;

  alignas(kAlignment) std::byte bytes_[kBytes];
};

}  // namespace rearm::detail
