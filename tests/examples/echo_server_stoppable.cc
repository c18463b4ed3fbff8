// The echo server, word for word, in a program that can be told to stop: SIGTERM and SIGINT become
// Runtime::request_stop(). So its loops can be seen to end, although the example itself leaves the
// signals to the system.
#include <signal.h>

#include "rearm/rearm.h"

namespace rearm {

class StoppableRuntime : public Runtime {
 public:
  template <class F>
  void run(F&& function) {
    auto signals = or_throw(SignalSet::open({SIGTERM, SIGINT}, *this), "signals");
    Runtime::run([&] {
      auto stopper = rearm::spawn([&] {
        if (!signals.wait()) return;
        (void)signals.close();
        request_stop();
      });
      function();
      (void)signals.close();
      stopper.join();
    });
  }
};

}  // namespace rearm

#define Runtime StoppableRuntime
#include "../../examples/echo_server.cc"  // NOLINT(bugprone-suspicious-include): as it is.
