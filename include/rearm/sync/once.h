// Once: something that is done once, by the first who comes; the others wait for it.
//
//   rearm::Once once;
//   once.call([] { load(); });
//
// If it throws, the exception goes to its caller, and the next one does it. Fibers and plain
// threads, on the same object; the function may park. Done already, a call costs one load.
#pragma once

#include <concepts>
#include <functional>
#include <utility>

#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {
struct OnceState;
}  // namespace detail

class Once {
 public:
  Once();
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;
  // REQUIRES: no call in progress.
  ~Once();

  // Returns when it is done. Throws what `function` throws. May park; is not cancelled. A call from
  // inside of `function` stops the process with a sentence.
  template <class... Args, std::invocable<Args...> F>
  void call(F&& function, Args&&... args) {
    if (!begin()) return;
    struct End {
      Once& once;
      bool is_done = false;
      ~End() { once.end(is_done); }
    } end{*this};
    std::invoke(std::forward<F>(function), std::forward<Args>(args)...);
    end.is_done = true;
  }

  [[nodiscard]] bool is_done() const noexcept;

 private:
  [[nodiscard]] bool begin() noexcept;  // Whether the caller is to do it.
  void end(bool is_done) noexcept;

  detail::Hidden<detail::OnceState> state_;
};

}  // namespace rearm
