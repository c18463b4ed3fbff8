// The smallest program that needs all of Rearm: a runtime, a fiber, a lock, a result, a child.
// A filter by name brings libseccomp into the link, where it is.
#include <mutex>

#include "rearm/rearm.h"

int main() {
  int answer = 0;
  rearm::Runtime runtime;
  rearm::Mutex mutex;
  runtime.run([&] {
    const std::scoped_lock lock(mutex);
    answer = rearm::spawn([] { return 42; }).join();
  });
  if (answer != 42) return 1;
  const auto filter = rearm::SeccompFilter::Builder(rearm::SeccompAction::allow()).build();
  if (!filter && filter.error().code != rearm::Errc::kNotSupported) return 2;
  return runtime.run([] {
    const auto output = rearm::Command("echo", {"hello"}).output();
    return output && output->standard_output == "hello\n" ? 0 : 3;
  });
}
