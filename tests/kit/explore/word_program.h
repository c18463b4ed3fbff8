// WordProgram: what the scenarios of single words share. Each thread is named after what it does;
// the things that they share are made anew, in place, for each execution.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "explore/machine.h"

namespace rearm::explore {

template <class Things>
class WordProgram : public Program {
 public:
  explicit WordProgram(std::vector<std::string> actors) : actors_(std::move(actors)) {}

  [[nodiscard]] int threads() const final { return static_cast<int>(actors_.size()); }
  [[nodiscard]] const char* thread_name(int index) const final {
    return actors_[static_cast<std::size_t>(index)].c_str();
  }
  // What an execution that was cut short left behind is not destroyed: its parts refer to stacks
  // that are gone.
  void reset() override { things_ = new (memory_) Things(); }

  [[nodiscard]] std::string name_of(const void* object) const override {
    const auto at = reinterpret_cast<std::uintptr_t>(object);
    const auto begin = reinterpret_cast<std::uintptr_t>(memory_);
    if (at >= begin && at < begin + sizeof(Things)) return "word+" + std::to_string(at - begin);
    return "a word";
  }

 protected:
  [[nodiscard]] Things& things() noexcept { return *things_; }
  [[nodiscard]] std::string_view actor_of(int index) const {
    return actors_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int count_of(std::string_view actor) const {
    return static_cast<int>(std::ranges::count(actors_, actor));
  }

 private:
  std::vector<std::string> actors_;
  alignas(64) std::byte memory_[sizeof(Things)];
  Things* things_ = nullptr;
};

// Each knows the actors of its own kind.
[[nodiscard]] std::unique_ptr<Program> make_wait_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_life_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_queue_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_idle_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_timer_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_join_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_line_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_words_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_runs_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_monitor_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_ends_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_ask_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_channel_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_buffer_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_mutex_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_permit_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_gate_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_shared_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_turn_program(std::vector<std::string> actors);
[[nodiscard]] std::unique_ptr<Program> make_worker_program(std::vector<std::string> actors);

}  // namespace rearm::explore
