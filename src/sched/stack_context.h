// StackContext: a stack and the place where its execution stands. One switches to another.
//
// What this is. The only part of the library that knows how a stack is left and entered. The work
// is done by Boost.Context's jump_fcontext; this adds what a jump alone forgets:
//   - the thread's C++ exception globals (what std::current_exception and std::uncaught_exceptions
//     look at) belong to a stack, not to a thread: they are saved and restored, so that a fiber may
//     park inside a catch block or during unwinding and continue on another thread;
//   - ThreadSanitizer and AddressSanitizer are told of every switch;
//   - no library lock may be held (checked in debug builds).
//
// How a switch works. switch_to(from, to, message) saves the running stack in `from` and continues
// `to`, which finds `message` as the result of its own switch_to(), or as the argument of its entry
// if it runs for the first time. Only the arriving side knows that the leaving side has left: what
// must not happen before (handing the fiber to another thread, freeing its stack) is done there,
// by whoever reads the message.
//
// Who may call. One thread at a time for each context; a context may be left on one thread and
// continued on another. Anything that the compiler may have cached from thread-local storage (errno
// included) is stale after switch_to() returns: read it again, out of line.
//
// Rejected. boost::context::fiber: since 1.88 it mishandles exception state across migration, and
// its assembly build has no sanitizer hooks. Assembly of our own for the switch: jump_fcontext
// exists for every platform and is one call.
#pragma once

#include <cstddef>
#include <utility>

#include <boost/context/detail/fcontext.hpp>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/sanitizer.h"

#if defined(__x86_64__) && defined(__ELF__)
// jump_fcontext, left by a predicted return; see stack_context.cc.
extern "C" boost::context::detail::transfer_t rearm_jump(boost::context::detail::fcontext_t to,
                                                         void* data) noexcept;
#else
#define rearm_jump boost::context::detail::jump_fcontext
#endif

namespace rearm::detail {

class StackContext {
 public:
  // Where a context runs: the usable bytes, lowest address first.
  struct Bounds {
    std::byte* base = nullptr;
    std::size_t bytes = 0;
  };

  // The layout that the Itanium C++ ABI gives __cxa_eh_globals (section 2.2.2).
  struct ExceptionState {
    void* caught = nullptr;
    unsigned int uncaught = 0;
  };

  // What a switch needs to know of the thread that it happens on.
  class Thread {
   public:
    // REQUIRES: constructed on the thread that it stands for.
    Thread() noexcept;

   private:
    friend class StackContext;
    ExceptionState* exceptions_;
  };

  // What to do at the end of an entry function: where to go for good, on which thread, and with
  // which message.
  struct Exit {
    StackContext* to = nullptr;
    Thread* thread = nullptr;
    void* message = nullptr;
  };
  using Entry = Exit (*)(void* message);

  // The context of a thread; it stands wherever that thread calls switch_to() from.
  StackContext() noexcept = default;
  StackContext(const StackContext&) = delete;
  StackContext& operator=(const StackContext&) = delete;
  ~StackContext() { forget(); }

  // Makes this a new context that runs `entry` when it is first switched to. REQUIRES: `bounds`
  // stays mapped until the context has exited.
  void make(Bounds bounds, Entry entry) noexcept;

  // For a context that has exited, so that the memory of its stack may be used for something else.
  void forget() noexcept;

  // Asks the processor for the memory where this context, which may be running elsewhere by now,
  // was left: about as much as a fiber touches that wakes from a wait and goes on.
  void prefetch() const noexcept {
    constexpr std::size_t kLines = 12;
    constexpr std::size_t kLineBytes = 64;
    const auto* const top = static_cast<const char*>(stack_pointer_.load(kRelaxed));
    for (std::size_t i = 0; i < kLines; ++i) __builtin_prefetch(top + i * kLineBytes);
  }

  // Leaves `from`, which must be the running context, for `to`. Returns the message of whoever
  // switches back to `from`.
  static void* switch_to(StackContext& from, StackContext& to, Thread& thread,
                         void* message) noexcept;

 private:
  // What travels with a jump. It lies on the stack that is being left.
  struct Leap {
    StackContext* from;
    StackContext* to;
    Thread* thread;
    void* message;
    bool exits = false;
  };

  static void run(boost::context::detail::transfer_t transfer);
  [[noreturn]] static void jump_for_good(Leap& leap) noexcept;
#if REARM_TSAN || REARM_ASAN
  static boost::context::detail::transfer_t jump(Leap& leap) noexcept;
  // On the arriving side, which is `to`, or runs for the first time.
  static void finish_jump(Leap& arrival, StackContext* to) noexcept;
#else
  static boost::context::detail::transfer_t jump(Leap& leap) noexcept {
    return rearm_jump(leap.to->stack_pointer_.load(kRelaxed), &leap);
  }
  static void finish_jump(Leap&, StackContext*) noexcept {}
#endif

  Atomic<void*> stack_pointer_{nullptr};  // Atomic for prefetch() alone.
  ExceptionState exceptions_;             // While the context is left, and only if there are any.
  Entry entry_ = nullptr;
#if REARM_TSAN || REARM_ASAN
  Bounds bounds_;  // For ASan; of a thread's own context it is found out on leaving.
  void* sanitizer_state_ = nullptr;  // TSan: the fiber. ASan: the fake stack while it is left.
#endif
};

inline void* StackContext::switch_to(StackContext& from, StackContext& to, Thread& thread,
                                     void* message) noexcept {
  check_no_lock_held();
  // The thread's exception state moves into the context that is left. The thread is left with none,
  // so that arriving needs to look only at what the arriving context brings.
  if (thread.exceptions_->caught != nullptr || thread.exceptions_->uncaught != 0) [[unlikely]] {
    from.exceptions_ = std::exchange(*thread.exceptions_, {});
  }
  Leap leap{.from = &from, .to = &to, .thread = &thread, .message = message};
  const boost::context::detail::transfer_t transfer = jump(leap);
  // Here the thread may be another: whoever came here says which.
  Leap& arrival = *static_cast<Leap*>(transfer.data);
  finish_jump(arrival, &from);
  arrival.from->stack_pointer_.store(transfer.fctx, kRelaxed);
  if (from.exceptions_.caught != nullptr || from.exceptions_.uncaught != 0) [[unlikely]] {
    *arrival.thread->exceptions_ = std::exchange(from.exceptions_, {});
  }
  return arrival.message;
}

}  // namespace rearm::detail
