// World: one run of one scenario over one backend under one plan, and the verdict on it.
//
// What is held against the library
//   - Each operation succeeds or returns an error that the plan injected into one of the calls that
//     this operation makes: the scenario names these calls, operation by operation. `kPeer` besides
//     allows what the other end of a connection sees when an operation on this end has failed.
//   - kTimedOut is an error only where the scenario waits for it: all other deadlines are longer
//     than the watchdog's patience.
//   - What was read is what was written, in order, and all of it, but for as many conversations as
//     there were faults that end an operation: one of them does not cost the others.
//   - Afterwards no fiber, stack, descriptor or number is left, and the same runtime runs once more
//     without faults.
//   - It ends. The watchdog names each of the scenario's fibers and what it is doing, prints the
//     runtime's counters and what the plan did, and ends the process.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>

#include "faults/plan.h"
#include "faults/syscalls.h"
#include "rearm/rearm.h"

namespace rearm::test::faults {

// Whether the failure of the other end may show here.
enum class Peer : bool { kNo, kYes };

class World {
 public:
  World(std::string_view scenario, std::string_view backend, FaultPlan& plan);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  [[nodiscard]] std::string_view backend() const noexcept { return backend_; }
  [[nodiscard]] FaultPlan& plan() noexcept { return plan_; }

  // Opens a runtime, runs `first` in it, and proves that nothing is left and that it still works.
  void run(std::size_t workers, const std::function<void()>& first);

  // --- Verdicts; from any fiber or thread. ---

  void fail(const std::string& what);
  // Whether `result` is a success. A failure that the plan does not account for is one of the run.
  template <class T>
  bool good(const Result<T>& result, std::string_view what, Calls calls, Peer peer = Peer::kNo) {
    if (result) return true;
    check_error(result.error(), what, calls, peer);
    return false;
  }
  void check_error(std::error_code error, std::string_view what, Calls calls, Peer peer);
  void expect(bool condition, std::string_view what) {
    if (!condition) fail(std::string(what));
  }
  // Whether some operation was made to fail, so that not all that was asked for can have happened.
  [[nodiscard]] bool is_broken() const noexcept { return plan_.reported() != 0; }
  // A conversation that did not come to its end. Each takes a fault of its own.
  void note_casualty() { ++casualties_; }
  // How many errors the plan accounted for.
  [[nodiscard]] std::uint64_t excuses() const noexcept { return excuses_; }
  // Why the run is not as it should be; empty if it is.
  [[nodiscard]] std::string complaints();

 private:
  friend class Stage;

  struct Doing {
    std::string who;
    std::atomic<const char*> what{"starting"};
  };

  void watch();
  [[noreturn]] void dump_and_abort();
  void check_left(const Runtime& runtime);
  void check_numbers();

  const std::string scenario_;
  const std::string backend_;
  FaultPlan& plan_;
  const std::map<int, std::string> fds_;
  const std::size_t descriptors_;
  std::atomic<Runtime*> runtime_{nullptr};
  std::atomic<std::uint64_t> casualties_{0};
  std::atomic<std::uint64_t> excuses_{0};

  std::mutex mu_;
  std::list<Doing> doing_;
  std::string complaints_;
};

// What one fiber of the scenario is doing, for the watchdog.
class Stage {
 public:
  Stage(World& world, std::string who);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // `what` is a literal.
  void at(const char* what) noexcept { self_->what.store(what); }

 private:
  World& world_;
  std::list<World::Doing>::iterator self_;
};

// Reports of earlier lives that pollers have dropped, in all runs of this process.
[[nodiscard]] std::uint64_t total_stale_reports();

// Longer than any run takes, and shorter than ctest's patience.
[[nodiscard]] Deadline long_deadline();

}  // namespace rearm::test::faults
