#include "base/check.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace rearm::detail {
namespace {

// Formats into a buffer on the stack, because the reason for stopping may be that memory is gone.
class Line {
 public:
  Line& add(std::string_view text) noexcept {
    const std::size_t n = std::min(text.size(), sizeof(text_) - size_);
    std::memcpy(text_ + size_, text.data(), n);
    size_ += n;
    return *this;
  }
  Line& add(int number) noexcept {
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    return add(std::string_view(digits, static_cast<std::size_t>(end - digits)));
  }
  void write() noexcept {
    if (::write(STDERR_FILENO, text_, size_) < 0) return;  // Nobody is left to tell.
  }

 private:
  char text_[512];
  std::size_t size_ = 0;
};

}  // namespace

void check_failed(const char* sentence, const char* file, int line) noexcept {
  Line().add("rearm: ").add(sentence).add(" (").add(file).add(":").add(line).add(")\n").write();
  std::abort();
}

void impossible_errno(const char* system_call, int number, int error) noexcept {
  Line()
      .add("rearm: ")
      .add(system_call)
      .add(" on ")
      .add(number)
      .add(" failed with errno ")
      .add(error)
      .add(", which its manual page rules out; was the descriptor closed behind the library?\n")
      .write();
  std::abort();
}

}  // namespace rearm::detail
