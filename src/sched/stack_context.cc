// Sanitizers. The functions that jump are not instrumented, because they are entered on one fiber's
// shadow stack and left on another's. For the same reason the outermost frame of a context, which
// never returns, is not instrumented, and everything that it calls does return: so a shadow stack
// is balanced when its context exits.
#include "sched/stack_context.h"

#include "base/check.h"

#if REARM_TSAN
#include <sanitizer/tsan_interface.h>
#define REARM_UNINSTRUMENTED __attribute__((noinline, no_sanitize("thread")))
#elif REARM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#define REARM_UNINSTRUMENTED __attribute__((noinline, no_sanitize("address")))
#else
#define REARM_UNINSTRUMENTED
#endif

// A return that is predicted. jump_fcontext is entered by a call and, on x86-64, left by an
// indirect jump, so each switch would leave one entry too many on the processor's return stack, and
// every return that follows, up to the fiber's own code, would be predicted one frame off. This
// enters it by a jump and leaves it by a return, which the processor matches with the call of the
// last switch: one of few places, so mostly the same. A context that exits enters it without a call
// (see jump_for_good()), because the return at the other end matches the call by which that was
// left: 16 ns of a spawn and join of 129. (On AArch64 jump_fcontext itself ends in a return.)
#if defined(__x86_64__) && defined(__ELF__)
asm(R"(
    .text
    .p2align 4
    .globl rearm_jump
    .hidden rearm_jump
    .type rearm_jump, @function
rearm_jump:
    .cfi_startproc
    leaq 1f(%rip), %rax
    pushq %rax
    .cfi_adjust_cfa_offset 8
    jmp jump_fcontext@PLT
    .cfi_adjust_cfa_offset -8
1:  ret
    .cfi_endproc
    .size rearm_jump, . - rearm_jump
)");
#endif

// Where a context goes on that is continued after its exit.
extern "C" [[gnu::visibility("hidden"), noreturn]] void rearm_continued_after_exit();
extern "C" void rearm_continued_after_exit() {
  rearm::detail::check_failed("a context that had exited was continued", __FILE__, __LINE__);
}

// Declared here, not taken from <cxxabi.h>: libstdc++ declares it `const`, which lets a compiler
// keep the address across a switch to another thread, and libc++ does not declare it at all.
namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1

namespace rearm::detail {

using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

StackContext::Thread::Thread() noexcept
    : exceptions_(reinterpret_cast<ExceptionState*>(__cxxabiv1::__cxa_get_globals())) {}

void StackContext::make(Bounds bounds, Entry entry) noexcept {
  entry_ = entry;
  stack_pointer_.store(make_fcontext(bounds.base + bounds.bytes, bounds.bytes, &StackContext::run),
                       kRelaxed);
#if REARM_TSAN || REARM_ASAN
  bounds_ = bounds;
#endif
#if REARM_TSAN
  sanitizer_state_ = __tsan_create_fiber(0);
#elif REARM_ASAN
  // What only a frame points to that is left is no leak, should the process exit meanwhile.
  __lsan_register_root_region(bounds_.base, bounds_.bytes);
#endif
}

void StackContext::forget() noexcept {
#if REARM_ASAN
  if (bounds_.bytes != 0) __lsan_unregister_root_region(bounds_.base, bounds_.bytes);
#endif
  if (entry_ == nullptr) return;
#if REARM_TSAN
  __tsan_destroy_fiber(sanitizer_state_);
#elif REARM_ASAN
  // The frames that never returned left their red zones behind.
  __asan_unpoison_memory_region(bounds_.base, bounds_.bytes);
  bounds_ = {};
#endif
  entry_ = nullptr;
}

#if REARM_TSAN

REARM_UNINSTRUMENTED transfer_t StackContext::jump(Leap& leap) noexcept {
  // Of a thread's own context it is not known before.
  if (leap.from->sanitizer_state_ == nullptr) {
    leap.from->sanitizer_state_ = __tsan_get_current_fiber();
  }
  __tsan_switch_to_fiber(leap.to->sanitizer_state_, 0);
  return rearm_jump(leap.to->stack_pointer_.load(kRelaxed), &leap);
}

void StackContext::finish_jump(Leap&, StackContext*) noexcept {}

#elif REARM_ASAN

REARM_UNINSTRUMENTED transfer_t StackContext::jump(Leap& leap) noexcept {
  __sanitizer_start_switch_fiber(leap.exits ? nullptr : &leap.from->sanitizer_state_,
                                 leap.to->bounds_.base, leap.to->bounds_.bytes);
  return rearm_jump(leap.to->stack_pointer_.load(kRelaxed), &leap);
}

REARM_UNINSTRUMENTED void StackContext::finish_jump(Leap& arrival, StackContext* to) noexcept {
  const void* base = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(to == nullptr ? nullptr : to->sanitizer_state_, &base, &bytes);
  StackContext& from = *arrival.from;
  if (from.bounds_.bytes != 0) return;
  // A thread's own stack, which its leak check looks at only while the thread stands on it.
  from.bounds_ = {static_cast<std::byte*>(const_cast<void*>(base)), bytes};
  __lsan_register_root_region(base, bytes);
}

#endif

#if defined(__x86_64__) && defined(__ELF__) && !REARM_TSAN && !REARM_ASAN

[[gnu::always_inline]] inline void StackContext::jump_for_good(Leap& leap) noexcept {
  // Below the red zone, and so that the stack is aligned as after a call.
  asm volatile(
      "subq $136, %%rsp\n\t"
      "leaq rearm_continued_after_exit(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp jump_fcontext@PLT"
      :
      : "D"(leap.to->stack_pointer_.load(kRelaxed)), "S"(&leap)
      : "rax", "memory");
  __builtin_unreachable();
}

#else

REARM_UNINSTRUMENTED void StackContext::jump_for_good(Leap& leap) noexcept {
  (void)jump(leap);
  rearm_continued_after_exit();
}

#endif

// The outermost frame of every context.
REARM_UNINSTRUMENTED void StackContext::run(transfer_t transfer) {
  Leap& arrival = *static_cast<Leap*>(transfer.data);
  StackContext& self = *arrival.to;
  finish_jump(arrival, nullptr);
  arrival.from->stack_pointer_.store(transfer.fctx, kRelaxed);
  const Exit exit = self.entry_(arrival.message);
  Leap leap{
      .from = &self, .to = exit.to, .thread = exit.thread, .message = exit.message, .exits = true};
  jump_for_good(leap);
}

}  // namespace rearm::detail
