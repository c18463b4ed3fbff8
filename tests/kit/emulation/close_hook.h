// Hears of every close in the process.
//
// What this is. On the BSDs and on illumos close() of a number takes its registrations along; Linux
// tells nobody. An emulation of those kernels therefore hears of a close from here, before the
// number is free: test programs that link close_hook.cc call close() and its kin through it.
//
// What is not heard: a close by exec, by the end of the process, inside the C library itself
// (fclose, closedir), by syscall(2), or in the table of its own that CLOSE_RANGE_UNSHARE makes. A
// child that fork() made hears nothing either: the emulations end there.
#pragma once

#include <mutex>

namespace rearm::test {

// Runs on the closing thread, before the kernel closes `fd`; also for a number that is not open.
using CloseHook = void (*)(int fd);

// Adds a hook, for good. Thread-safe; at most four.
void add_close_hook(CloseHook hook);

// Until the lock is let go of, whoever closes the number waits: as a kernel's close does for a call
// that has looked the number up. For the time of one call; never in a hook. A signal handler must
// not close a number that the call it interrupts is about.
[[nodiscard]] std::unique_lock<std::mutex> keep_from_closing(int fd);

// close(2) itself, for the numbers of an emulation.
int close_without_hooks(int fd);

}  // namespace rearm::test
