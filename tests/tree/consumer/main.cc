// The smallest program that needs all of Rearm: a runtime, a fiber, and its result.
#include "rearm/rearm.h"

int main() {
  int answer = 0;
  rearm::Runtime runtime;
  runtime.run([&] { answer = rearm::spawn([] { return 42; }).join(); });
  return answer == 42 ? 0 : 1;
}
