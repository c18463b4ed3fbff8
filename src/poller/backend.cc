#include "poller/backend.h"

#include <array>
#include <cstdlib>

#if REARM_HAS_EPOLL
#include "poller/backend_epoll.h"
#endif
#if REARM_HAS_EVENT_PORT
#include "poller/backend_event_port.h"
#endif
#if REARM_HAS_KQUEUE
#include "poller/backend_kqueue.h"
#endif
#include "poller/backend_poll.h"

namespace rearm::detail {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<Backend> (*make)();
};

template <class B>
constexpr Entry entry() {
  return {B::kName, []() -> std::unique_ptr<Backend> { return std::make_unique<B>(); }};
}

// The default first.
constexpr std::array kBackends = {
#if REARM_HAS_EPOLL
    entry<EpollBackend>(),
#endif
#if REARM_HAS_EVENT_PORT
    entry<EventPortBackend>(),
#endif
#if REARM_HAS_KQUEUE
    entry<KqueueBackend>(),
#endif
    entry<PollBackend>(),
};

constexpr auto kNames = [] {
  std::array<std::string_view, kBackends.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kBackends[i].name;
  return names;
}();

}  // namespace

std::span<const std::string_view> backend_names() noexcept { return kNames; }

Result<std::unique_ptr<Backend>> open_backend(std::string_view name) {
  if (name.empty()) {
    const char* const from_environment = std::getenv("REARM_BACKEND");
    name = from_environment != nullptr ? from_environment : "";
  }
  if (name.empty()) name = kBackends.front().name;
  for (const Entry& entry : kBackends) {
    if (entry.name != name) continue;
    std::unique_ptr<Backend> backend = entry.make();
    if (const std::error_code error = backend->open()) return std::unexpected(error);
    return backend;
  }
  return std::unexpected(make_error_code(Errc::kUnknownBackend));
}

}  // namespace rearm::detail
