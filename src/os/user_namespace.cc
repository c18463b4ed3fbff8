#include "rearm/os/user_namespace.h"

#include <unistd.h>

namespace rearm {

UserNamespace& UserNamespace::operator=(UserNamespace&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

UserNamespace::~UserNamespace() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace rearm
