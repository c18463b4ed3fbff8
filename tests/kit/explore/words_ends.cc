// The last fibers of a run.
//
// ends: names such as ends/ender+ender+drain+drain. Actors: ender (a worker whose last fiber has
// ended: counts that, with a store that the others may see late, and looks whether all have ended),
// drain (the store buffer of an ender). One of the enders must see that all have ended.
#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "explore/names.h"
#include "explore/runtime_program.h"
#include "explore/word_program.h"
#include "rearm/runtime.h"
#include "sched/scheduler.h"

namespace rearm::explore {

using detail::Scheduler;

namespace {

struct EndThings {
  Runtime runtime{{.workers = 2, .stack_bytes = 16 * 1024, .backend = "epoll"}};
  std::array<StoreBuffer, 2> buffers;
};

class EndsProgram final : public RuntimeProgram {
 public:
  explicit EndsProgram(std::vector<std::string> actors) : RuntimeProgram(std::move(actors)) {
    const InArena in_arena;
    things_ = new EndThings();
    for (const std::string& actor : actors_) {
      if (actor == "ender") things_->runtime.scheduler().count_spawned_outside();
    }
    save();
  }

  [[nodiscard]] std::string name_of(const void* object) const override {
    return name_in_library(things_->runtime, object);
  }
  [[nodiscard]] std::string value_of(const void* object, std::uint64_t value) const override {
    return value_in_library(object, value);
  }

  void run(int index) override {
    StoreBuffer& buffer = things_->buffers[rank_of(index) % things_->buffers.size()];
    if (actor_of(index) == "drain") buffer.drain();
    delay_stores(buffer);
    Scheduler& scheduler = things_->runtime.scheduler();
    detail::Processor::count_life(scheduler.processors()[rank_of(index)]->ended);
    scheduler.finish_if_all_ended();
  }

  void finish() override {
    if (!things_->runtime.scheduler().finished()) {
      violation("run", "all fibers have ended, and no worker has seen it");
    }
  }

 private:
  // Which of its kind the actor is.
  [[nodiscard]] std::size_t rank_of(int index) const {
    const auto end = actors_.begin() + index;
    return static_cast<std::size_t>(std::count(actors_.begin(), end, *end));
  }

  EndThings* things_ = nullptr;
};

}  // namespace

std::unique_ptr<Program> make_ends_program(std::vector<std::string> actors) {
  return std::make_unique<EndsProgram>(std::move(actors));
}

}  // namespace rearm::explore
