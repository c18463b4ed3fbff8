#include "rearm/error.h"

#include <string>

namespace rearm {
namespace {

class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "rearm"; }

  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::kClosed: return "closed";
      case Errc::kTimedOut: return "timed out";
      case Errc::kCancelled: return "cancelled";
      case Errc::kBusy: return "busy: somebody else is working in this direction";
      case Errc::kNotPollable: return "not pollable: the kernel reports no readiness for it";
      case Errc::kNotSupported: return "not supported on this system or by this build";
      case Errc::kEndOfStream: return "the stream ended early";
      case Errc::kInvalidArgument: return "invalid argument";
      case Errc::kWrongRuntime: return "the descriptor belongs to another runtime";
      case Errc::kUnknownBackend:
        return "no backend of that name in this build; Poller::backends() has the names";
      case Errc::kStacksExhausted: return "no memory or address space for another fiber stack";
    }
    return "unknown error " + std::to_string(value);
  }

  std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<Errc>(value)) {
      case Errc::kTimedOut: return std::errc::timed_out;
      case Errc::kCancelled: return std::errc::operation_canceled;
      case Errc::kNotSupported: return std::errc::not_supported;
      case Errc::kInvalidArgument: return std::errc::invalid_argument;
      default: return std::error_condition(value, *this);
    }
  }
};

}  // namespace

const std::error_category& error_category() noexcept {
  static constinit const Category category;
  return category;
}

std::error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), error_category()};
}

}  // namespace rearm
