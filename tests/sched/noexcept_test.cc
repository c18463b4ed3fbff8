// What throws nothing says so, to the compiler, too.
#include <chrono>
#include <type_traits>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/fiber.h"
#include "rearm/runtime.h"

namespace rearm {
namespace {

// The constructors of durations do not say that they throw nothing.
constexpr std::chrono::seconds kSecond{1};
constexpr std::chrono::duration<double> kFraction{0.5};
constexpr std::chrono::steady_clock::time_point kInstant{kSecond};

static_assert(noexcept(Deadline()));
static_assert(noexcept(Deadline::never()));
static_assert(noexcept(Deadline::now()));
static_assert(noexcept(Deadline::after(kSecond)));
static_assert(noexcept(Deadline::after(kFraction)));
static_assert(noexcept(Deadline::at(kInstant)));
static_assert(noexcept(Deadline::at_ns(1)));
static_assert(noexcept(Deadline().is_standing()));
static_assert(noexcept(Deadline().is_never()));
static_assert(noexcept(Deadline().ns()));
static_assert(noexcept(Deadline() == Deadline()));

static_assert(noexcept(std::declval<Runtime&>().request_stop()));
static_assert(noexcept(std::declval<Runtime&>().trim()));
static_assert(noexcept(std::declval<const Runtime&>().stats()));
static_assert(noexcept(std::declval<const Runtime&>().workers()));
static_assert(noexcept(std::declval<const Runtime&>().backend_name()));
static_assert(noexcept(Runtime::current()));

using Handle = JoinHandle<int>;
static_assert(std::is_nothrow_default_constructible_v<Handle>);
static_assert(std::is_nothrow_move_constructible_v<Handle>);
static_assert(std::is_nothrow_move_assignable_v<Handle>);
static_assert(noexcept(std::declval<const Handle&>().joinable()));
static_assert(noexcept(std::declval<const Handle&>().id()));
static_assert(!noexcept(std::declval<Handle&>().wait(Deadline())));  // Errc::kDeadlock.
static_assert(noexcept(std::declval<Handle&>().detach()));
// Throws what the fiber threw.
static_assert(!noexcept(std::declval<Handle&>().join()));

static_assert(noexcept(this_fiber::yield()));
static_assert(noexcept(this_fiber::sleep_until(Deadline())));
static_assert(noexcept(this_fiber::sleep_for(kSecond)));
static_assert(noexcept(this_fiber::id()));
static_assert(noexcept(this_fiber::name()));

}  // namespace
}  // namespace rearm
