// Hears of every close in the process.
//
// What this is. On the BSDs and on illumos close() of a number takes its registrations along; Linux
// tells nobody. An emulation of those kernels therefore hears of a close from here, before the
// number is free: test programs that link close_hook.cc call close() and its kin through it.
//
// What is not heard: a close by exec, by the end of the process, or inside the C library itself
// (fclose, closedir). A child that fork() made hears nothing either: the emulations end there.
#pragma once

namespace rearm::test {

// Runs on the closing thread, before the kernel closes `fd`; also for a number that is not open.
using CloseHook = void (*)(int fd);

// Adds a hook, for good. Thread-safe; at most four.
void add_close_hook(CloseHook hook);

// close(2) itself, for the numbers of an emulation.
int close_without_hooks(int fd);

}  // namespace rearm::test
