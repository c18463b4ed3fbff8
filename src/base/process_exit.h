// ProcessExit: whether the process is on its way out, by exit() or by the end of main().
//
// What this is for. exit() destroys static objects while other threads go on, or on the very stack
// that called it. An object that threads still use must then be left alone: to destroy it would
// crash them, and to complain would replace the exit status by that of an abort.
//
// How it works. Static objects are destroyed, and handlers of std::atexit() called, in the reverse
// order of their construction and registration. So a handler that is registered after an object
// was constructed runs before the object's destructor, which then sees that the exit has begun.
// Each registration costs 16 to 32 bytes for the rest of the process's life.
//
// Limits. An object that is a part of a larger static one, whose constructor is still running when
// watch() is called, is destroyed before the handler runs; so watch() is called as late as can be.
#pragma once

namespace rearm::detail {

class ProcessExit {
 public:
  // From now on has_begun() tells the destructors of all objects that are complete. Any thread.
  static void watch() noexcept;

  [[nodiscard]] static bool has_begun() noexcept;
};

}  // namespace rearm::detail
