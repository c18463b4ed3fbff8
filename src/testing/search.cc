#include "testing/search.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/check.h"
#include "testing/random.h"

namespace rearm::detail {
namespace {

constexpr unsigned kMostDepth = 1000;  // With more changes of rank than that, it is kRandom.

class RandomSearch final : public Search {
 public:
  explicit RandomSearch(std::uint64_t seed) : random_(seed) {}

  bool begin_run() override { return true; }
  Decision choose(const Chooser::Choice& choice) override {
    const std::uint32_t options = options_of(choice);
    return options == 1 ? 0 : random_.below(options);
  }

 private:
  Random random_;
};

// Ranks are numbers, the highest goes first. Those drawn at random are positive; each change of
// rank, and each yield, gives one that is lower than all before.
class PctSearch final : public Search {
 public:
  PctSearch(std::uint64_t seed, unsigned depth) : random_(seed), changes_(depth - 1) {}

  bool begin_run() override {
    most_choices_ = std::max(most_choices_, choices_);
    choices_ = 0;
    lowest_ = 0;
    ranked_.clear();
    change_at_.clear();
    for (unsigned i = 0; i < changes_; ++i) {
      change_at_.push_back(1 + random_.below(std::max(most_choices_, 1U)));
    }
    return true;
  }

  Decision choose(const Chooser::Choice& choice) override {
    for (const Controlled* const fiber : choice.line) {
      Ranked& ranked = of(fiber->number);
      const bool yielded = fiber->state == Controlled::State::kYielded;
      if (yielded && !ranked.yielded) ranked.rank = --lowest_;
      ranked.yielded = yielded;
    }
    std::uint32_t first = highest(choice);
    if (options_of(choice) > 1) {
      ++choices_;
      for (auto n = std::ranges::count(change_at_, choices_); n > 0; --n) {
        ranked_[number(choice, first)].rank = --lowest_;
        first = highest(choice);
      }
    }
    Ranked& chosen = ranked_[number(choice, first)];
    chosen.yielded = false;
    // Or else somebody who sleeps again and again would keep all the others from running.
    if (first == choice.line.size() && first > 0) chosen.rank = --lowest_;
    return first;
  }

 private:
  struct Ranked {
    std::int64_t rank = 0;
    bool yielded = false;  // It is in line because it yielded, and has lost its rank for that.
  };

  // Number 0 is the passing of time.
  static std::uint32_t number(const Chooser::Choice& choice, std::uint32_t option) {
    return option == choice.line.size() ? 0 : choice.line[option]->number;
  }

  Ranked& of(std::uint32_t number) {
    while (ranked_.size() <= number) {
      ranked_.push_back({.rank = static_cast<std::int64_t>(random_.next() >> 1) + 1});
    }
    return ranked_[number];
  }

  std::uint32_t highest(const Chooser::Choice& choice) {
    std::uint32_t best = 0;
    for (std::uint32_t i = 1; i < options_of(choice); ++i) {
      if (of(number(choice, i)).rank > of(number(choice, best)).rank) best = i;
    }
    static_cast<void>(of(number(choice, best)));
    return best;
  }

  Random random_;
  const unsigned changes_;
  std::vector<Ranked> ranked_;  // By the fibers' numbers.
  std::vector<std::uint32_t> change_at_;
  std::int64_t lowest_ = 0;
  std::uint32_t choices_ = 0;
  std::uint32_t most_choices_ = 0;
};

// Depth first, by running again from the beginning: the stack holds the choices of the last run;
// the next run repeats them up to the last one that has an alternative within the bound.
class ExhaustiveSearch final : public Search {
 public:
  explicit ExhaustiveSearch(unsigned delays) : delays_(delays) {}

  bool begin_run() override {
    if (std::exchange(begun_, true) && !advance()) return false;
    position_ = 0;
    return true;
  }

  Decision choose(const Chooser::Choice& choice) override {
    if (options_of(choice) == 1) return 0;
    const std::uint64_t seen = fingerprint(choice);
    if (position_ == stack_.size()) {
      const std::uint64_t spent = stack_.empty() ? 0 : stack_.back().spent + cost(stack_.back());
      stack_.push_back({.in_line = static_cast<std::uint32_t>(choice.line.size()),
                        .options = options_of(choice),
                        .fingerprint = seen,
                        .spent = spent});
    }
    const Node& node = stack_[position_++];
    if (node.fingerprint != seen) return std::unexpected(testing::Failure::Kind::kNotDeterministic);
    return node.chosen;
  }

  std::expected<void, testing::Failure::Kind> end_run() override {
    if (position_ == stack_.size()) return {};
    return std::unexpected(testing::Failure::Kind::kNotDeterministic);
  }

 private:
  struct Node {
    std::uint32_t chosen = 0;
    std::uint32_t in_line = 0;
    std::uint32_t options = 0;
    std::uint64_t fingerprint = 0;
    std::uint64_t spent = 0;  // Delays before it.
  };

  // In delays; letting time pass although somebody can go on is one.
  static std::uint64_t cost(const Node& node) {
    return node.chosen == node.in_line ? std::min(node.in_line, 1U) : node.chosen;
  }

  bool advance() {
    while (!stack_.empty()) {
      Node& last = stack_.back();
      while (++last.chosen < last.options) {
        if (last.spent + cost(last) <= delays_ || delays_ == testing::kUnbounded) return true;
      }
      stack_.pop_back();
    }
    return false;
  }

  // What the options are, as far as it is the same in every run (FNV-1a).
  static std::uint64_t fingerprint(const Chooser::Choice& choice) {
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto mix = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3; };
    mix(choice.may_time_pass ? 1 : 0);
    mix(static_cast<std::uint64_t>(choice.now_ns));
    for (const Controlled* const fiber : choice.line) {
      mix(fiber->number);
      mix(static_cast<std::uint64_t>(fiber->state));
      mix(reinterpret_cast<std::uintptr_t>(fiber->act));
    }
    return hash;
  }

  const unsigned delays_;
  std::vector<Node> stack_;
  std::size_t position_ = 0;
  bool begun_ = false;
};

class Replay final : public Search {
 public:
  explicit Replay(Schedule schedule) : schedule_(std::move(schedule)) {}

  bool begin_run() override {
    position_ = 0;
    return true;
  }

  Decision choose(const Chooser::Choice& choice) override {
    const std::uint32_t options = options_of(choice);
    if (options == 1 || position_ == schedule_.size()) return 0;
    const Chosen& chosen = schedule_[position_++];
    if (chosen.option != 0 && chosen.options != options) {
      return std::unexpected(testing::Failure::Kind::kBadSchedule);
    }
    return chosen.option;
  }

  std::expected<void, testing::Failure::Kind> end_run() override {
    if (position_ == schedule_.size()) return {};
    return std::unexpected(testing::Failure::Kind::kBadSchedule);
  }

 private:
  const Schedule schedule_;
  std::size_t position_ = 0;
};

}  // namespace

std::unique_ptr<Search> make_search(const testing::Options& options) {
  switch (options.strategy) {
    case testing::Strategy::kRandom: return std::make_unique<RandomSearch>(options.seed);
    case testing::Strategy::kPct:
      REARM_CHECK(options.depth >= 1, "testing::Options::depth is 0; a bug is at least 1 deep");
      REARM_CHECK(options.depth <= kMostDepth, "testing::Options::depth is more than 1000");
      return std::make_unique<PctSearch>(options.seed, options.depth);
    case testing::Strategy::kExhaustive: return std::make_unique<ExhaustiveSearch>(options.delays);
  }
  check_failed("testing::Options::strategy is none", __FILE__, __LINE__);
}

std::unique_ptr<Search> make_replay(Schedule schedule) {
  return std::make_unique<Replay>(std::move(schedule));
}

}  // namespace rearm::detail
