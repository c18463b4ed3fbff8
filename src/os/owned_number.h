// OwnedNumber: a descriptor that is closed with the object, and that no poller knows.
#pragma once

#include <unistd.h>

#include <utility>

namespace rearm::detail {

class OwnedNumber {
 public:
  OwnedNumber() noexcept = default;
  explicit OwnedNumber(int number) noexcept : number_(number) {}
  OwnedNumber(OwnedNumber&& other) noexcept : number_(other.release()) {}
  OwnedNumber& operator=(OwnedNumber&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = other.release();
    }
    return *this;
  }
  ~OwnedNumber() { reset(); }

  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
  void reset() noexcept {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_ = -1;
};

}  // namespace rearm::detail
