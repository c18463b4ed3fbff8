// What the tests of this room share: fibers of a runtime and plain threads, on the same object.
#pragma once

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "rearm/runtime.h"
#include "sched/runtime_fixture.h"

namespace rearm::test {

using namespace std::chrono_literals;

inline Deadline patience() { return Deadline::after(kPatience); }
inline Deadline soon() { return Deadline::after(2ms); }

// Runs `act` in so many fibers of two workers and in so many plain threads at once, each with a
// number of its own.
inline void run_mixed(int fibers, int threads, const std::function<void(int)>& act) {
  std::vector<std::thread> plain;
  for (int i = 0; i < threads; ++i) plain.emplace_back([&act, fibers, i] { act(fibers + i); });
  Runtime runtime({.workers = 2});
  runtime.run([&] {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < fibers; ++i) handles.push_back(spawn([&act, i] { act(i); }));
    for (auto& handle : handles) handle.join();
  });
  for (std::thread& thread : plain) thread.join();
}

}  // namespace rearm::test
