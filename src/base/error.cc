#include "rearm/error.h"

#include <cerrno>
#include <ostream>
#include <string>

namespace rearm {
namespace {

// Of the errno values: what is used up now and may be free later, and what a network or a peer says
// that may have another answer later. accept() returns the latter for a connection that failed
// while it waited (accept(2) on Linux), which is no fault of the listener's.
bool is_transient_errno(int value) noexcept {
  switch (value) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
    case EINTR:
    case ECONNABORTED:
    case ECONNREFUSED:
    case ETIMEDOUT:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTUNREACH:
#ifdef EHOSTDOWN
    case EHOSTDOWN:
#endif
#ifdef ENONET
    case ENONET:
#endif
      return true;
    default: return false;
  }
}

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
      case Errc::kDeadlock: return "deadlock: the join could not end";
    }
    return "unknown error " + std::to_string(value);
  }

  std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<Errc>(value)) {
      case Errc::kTimedOut: return std::errc::timed_out;
      case Errc::kCancelled: return std::errc::operation_canceled;
      case Errc::kNotSupported: return std::errc::not_supported;
      case Errc::kInvalidArgument: return std::errc::invalid_argument;
      case Errc::kDeadlock: return std::errc::resource_deadlock_would_occur;
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

bool is_transient(std::error_code error) noexcept {
  if (error.category() == error_category()) return error == Errc::kStacksExhausted;
  const std::error_condition condition = error.default_error_condition();
  const bool has_errno = condition.category() == std::generic_category() ||
                         condition.category() == std::system_category();
  return has_errno && is_transient_errno(condition.value());
}

std::string_view name(Errc code) noexcept {
  switch (code) {
    case Errc::kClosed: return "kClosed";
    case Errc::kTimedOut: return "kTimedOut";
    case Errc::kCancelled: return "kCancelled";
    case Errc::kBusy: return "kBusy";
    case Errc::kNotPollable: return "kNotPollable";
    case Errc::kNotSupported: return "kNotSupported";
    case Errc::kEndOfStream: return "kEndOfStream";
    case Errc::kInvalidArgument: return "kInvalidArgument";
    case Errc::kWrongRuntime: return "kWrongRuntime";
    case Errc::kUnknownBackend: return "kUnknownBackend";
    case Errc::kStacksExhausted: return "kStacksExhausted";
    case Errc::kDeadlock: return "kDeadlock";
  }
  return "";
}

std::string to_string(std::error_code error) {
  const std::string value = std::to_string(error.value());
  std::string code = error.category().name() + (":" + value);
  if (error.category() == error_category()) {
    if (const std::string_view known = name(static_cast<Errc>(error.value())); !known.empty()) {
      code = known;
    }
  } else if (error.category() == std::system_category() ||
             error.category() == std::generic_category()) {
    code = "errno " + value;
  }
  return error.message() + " (" + code + ")";
}

std::ostream& operator<<(std::ostream& out, Errc code) { return out << to_string(code); }

void detail::throw_system_error(std::error_code error, std::string_view what) {
  throw std::system_error(error, std::string(what));
}

}  // namespace rearm
