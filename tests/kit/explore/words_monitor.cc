// The monitor, and workers that rest and go on.
//
// monitor: names such as monitor/monitor+worker. Actors: monitor (the real Monitor::run()), worker
// (rests, and leaves its rest). A worker that no thread plays rests all the time, so that all of
// them rest now and then. When nobody can go on, no worker rests but those: then the monitor may
// not sleep without an end, for nobody would kick it. It is told to stop then, and must come home.
#include <memory>
#include <utility>
#include <vector>

#include "explore/names.h"
#include "explore/peek.h"
#include "explore/runtime_program.h"
#include "explore/word_program.h"
#include "rearm/runtime.h"
#include "sched/monitor.h"
#include "sched/scheduler.h"

namespace rearm::explore {

using detail::Atomic;
using detail::kSeqCst;
using detail::Monitor;
using detail::ThreadParker;

struct MonitorRun {
  using Type = void (Monitor::*)();
  friend constexpr Type member_of(MonitorRun);
};
struct MonitorStop {
  using Type = Atomic<bool> Monitor::*;
  friend constexpr Type member_of(MonitorStop);
};
struct MonitorParker {
  using Type = ThreadParker Monitor::*;
  friend constexpr Type member_of(MonitorParker);
};
struct MonitorSwitches {
  using Type = std::vector<std::uint64_t> Monitor::*;
  friend constexpr Type member_of(MonitorSwitches);
};
template struct Peek<&Monitor::run, MonitorRun>;
template struct Peek<&Monitor::stop_, MonitorStop>;
template struct Peek<&Monitor::parker_, MonitorParker>;
template struct Peek<&Monitor::switches_, MonitorSwitches>;

namespace {

constexpr int kWorkers = 2;

struct MonitorThings {
  Runtime runtime{{.workers = kWorkers, .stack_bytes = 16 * 1024, .backend = "epoll"}};
  bool is_told_to_stop = false;
};

class MonitorProgram final : public RuntimeProgram {
 public:
  explicit MonitorProgram(std::vector<std::string> actors) : RuntimeProgram(std::move(actors)) {
    const InArena in_arena;
    things_ = new MonitorThings();
    (monitor().*member_of(MonitorSwitches{})).assign(kWorkers, 0);
    for (int i = threads() - 1; i < kWorkers; ++i) monitor().worker_rests();
    save();
  }

  [[nodiscard]] std::string name_of(const void* object) const override {
    return name_in_library(things_->runtime, object);
  }
  [[nodiscard]] std::string value_of(const void* object, std::uint64_t value) const override {
    return value_in_library(object, value);
  }

  void run(int index) override {
    if (actor_of(index) == "monitor") {
      (monitor().*member_of(MonitorRun{}))();
    } else {
      monitor().worker_rests();
      monitor().worker_runs();
    }
  }

  [[nodiscard]] bool quiescent() override {
    for (int i = 0; i < threads(); ++i) {
      if (Machine::has_ended(i) || things_->is_told_to_stop) continue;
      if (Machine::pending(i).argument == Deadline::never().ns()) {
        violation("G9", "a worker runs, and %c sleeps until it is kicked", 'A' + i);
      }
    }
    if (std::exchange(things_->is_told_to_stop, true)) return false;
    (monitor().*member_of(MonitorStop{})).store(true, kSeqCst);
    (monitor().*member_of(MonitorParker{})).unpark();
    return true;
  }

  void finish() override {
    for (int i = 0; i < threads(); ++i) {
      if (!Machine::has_ended(i)) violation("G5", "%c sleeps, and was told to stop", 'A' + i);
    }
  }

 private:
  [[nodiscard]] Monitor& monitor() { return things_->runtime.scheduler().monitor(); }

  MonitorThings* things_ = nullptr;
};

}  // namespace

std::unique_ptr<Program> make_monitor_program(std::vector<std::string> actors) {
  return std::make_unique<MonitorProgram>(std::move(actors));
}

}  // namespace rearm::explore
