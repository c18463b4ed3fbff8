// The standard's stop token of the calling fiber, for code that knows nothing of fibers: a loop
// that asks token.stop_requested(), a std::stop_callback.
//
// Of a request to stop (JoinHandle::request_stop, TaskGroup, Runtime::request_stop) it hears as the
// waits of the fiber do. Callbacks run on the thread of the one who asks, before the request has
// returned; one that throws ends the process, as the standard says. A callback must not wait for
// what a stopped fiber does: the waits that the request ends are woken after all callbacks have
// returned. Only where the standard library
// has std::stop_token.
#pragma once

#include <version>

#if defined(__cpp_lib_jthread)
#include <stop_token>
#endif

namespace rearm::this_fiber {

#if defined(__cpp_lib_jthread)
// The same one at each call; the first allocates, and throws std::bad_alloc. On a plain thread one
// that nobody can ask to stop. Does not wait.
[[nodiscard]] std::stop_token stop_token();
#endif

}  // namespace rearm::this_fiber
