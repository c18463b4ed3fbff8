// RuntimeProgram: what the scenarios share that need a whole runtime. It is built once, in the
// arena, over the model kernel, and copied back before each execution.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "explore/arena.h"
#include "explore/descriptor_world.h"
#include "explore/kernel.h"
#include "explore/machine.h"

namespace rearm::explore {

class RuntimeProgram : public Program {
 public:
  explicit RuntimeProgram(std::vector<std::string> actors) : actors_(std::move(actors)) {
    prepare_ground();
    kernel.begin(Class::kEpoll);
  }
  ~RuntimeProgram() override { Arena::restore(Arena::Copy::kGround); }

  [[nodiscard]] int threads() const final { return static_cast<int>(actors_.size()); }
  [[nodiscard]] const char* thread_name(int index) const final {
    return actors_[static_cast<std::size_t>(index)].c_str();
  }
  void reset() override {
    Arena::restore(Arena::Copy::kWorld);
    kernel = saved_kernel_;
  }

 protected:
  [[nodiscard]] std::string_view actor_of(int index) const {
    return actors_[static_cast<std::size_t>(index)];
  }

  // The world is built.
  void save() {
    Arena::save(Arena::Copy::kWorld);
    saved_kernel_ = kernel;
  }

  std::vector<std::string> actors_;

 private:
  Kernel saved_kernel_;
};

}  // namespace rearm::explore
