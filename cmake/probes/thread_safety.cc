// One correct use of the annotated mutex and two violations, for cmake/RearmThreadSafety.cmake.
#include "base/mutex.h"

namespace {

class Probe {
 public:
  void correct() {
    const rearm::detail::MutexLock lock(outer_);
    ++guarded_;
  }

#if defined(PROBE_UNGUARDED)
  void unguarded() { ++guarded_; }
#elif defined(PROBE_ORDER)
  void wrong_order() {
    const rearm::detail::MutexLock inner(inner_);
    const rearm::detail::MutexLock outer(outer_);
  }
#endif

 private:
  rearm::detail::Mutex outer_;
  rearm::detail::Mutex inner_ REARM_ACQUIRED_AFTER(outer_);
  int guarded_ REARM_GUARDED_BY(outer_) = 0;
};

}  // namespace

void use_probe() {
  Probe probe;
  probe.correct();
}
