// ModelBackend: the backend contract over the model kernel, and the list of backends, which takes
// the place of src/poller/backend.cc.
#include <array>
#include <memory>

#include "explore/kernel.h"
#include "poller/backend.h"

namespace rearm::detail {
namespace {

class ModelBackend final : public Backend {
 public:
  ModelBackend(std::string_view name, bool needs_arm) noexcept : Backend(name, needs_arm) {}

  std::error_code open() override { return {}; }
  std::error_code add(int fd, Token token) override { return explore::kernel.add(fd, token); }
  std::error_code arm(int fd, Token token, Ready interest) override {
    return explore::kernel.arm(fd, token, interest);
  }
  void remove(int fd) override { explore::kernel.remove(fd); }
  WaitResult wait(std::span<Event> events, Deadline deadline) override {
    return explore::kernel.wait(events, deadline);
  }
  void wake() noexcept override { explore::kernel.wake(); }
  int native_handle() noexcept override { return -1; }
};

constexpr std::array<std::string_view, 4> kNames = {"epoll", "kqueue", "event_port", "poll"};

}  // namespace

std::span<const std::string_view> backend_names() noexcept { return kNames; }

Result<std::unique_ptr<Backend>> open_backend(std::string_view name) {
  for (const explore::Class kind : explore::kClasses) {
    if (name != explore::name_of(kind)) continue;
    const bool forgets = kind == explore::Class::kEventPort || kind == explore::Class::kPoll;
    return std::make_unique<ModelBackend>(explore::name_of(kind), forgets);
  }
  return std::unexpected(make_error_code(Errc::kUnknownBackend));
}

}  // namespace rearm::detail
