#include "explore/scenarios.h"

#include <algorithm>
#include <iterator>

#include "explore/words.h"

namespace rearm::explore {
namespace {

constexpr int kLargestGroup = 3;

// Every multiset of this size.
std::vector<std::vector<Actor>> actor_sets(int size) {
  std::vector<std::vector<Actor>> sets;
  std::vector<int> at(static_cast<std::size_t>(size), 0);
  for (;;) {
    std::vector<Actor> set;
    for (const int actor : at) set.push_back(static_cast<Actor>(actor));
    sets.push_back(set);
    int i = size - 1;
    while (i >= 0 && at[static_cast<std::size_t>(i)] == kCombined - 1) --i;
    if (i < 0) return sets;
    const int value = at[static_cast<std::size_t>(i)] + 1;
    for (; i < size; ++i) at[static_cast<std::size_t>(i)] = value;
  }
}

void add_descriptor_scenarios(std::vector<Entry>& out, const char* backend) {
  for (int size = 2; size <= kLargestGroup; ++size) {
    for (const auto& actors : actor_sets(size)) {
      const char* const group = size == 2 ? "pairs" : "triples";
      out.push_back({group, DescriptorWorld::name_of({.actors = actors}), backend});
      if (size == 2) {
        out.push_back(
            {group, DescriptorWorld::name_of({.actors = actors, .alone = true}), backend});
      }
    }
  }
  for (int actor = 0; actor < kCombined; ++actor) {
    const std::vector<Actor> actors = {Actor::kRead, Actor::kWrite, Actor::kReport,
                                       static_cast<Actor>(actor)};
    out.push_back({"quads", DescriptorWorld::name_of({.actors = actors}), backend});
  }
  for (const char* const name :
       {"reread+report+report!alone", "reread+report+report+close!alone",
        "reread+report+report+reset!alone", "reread+report+report+cancel!alone", "drain+end!alone",
        "drain+report+end!alone"}) {
    out.push_back({"pairs", name, backend});
  }
  for (const char* const crowd :
       {"read+write+report+close+cancel", "read+write+report+report+reopen",
        "read+write+report+poll+reopen+wake", "read+read+report+stop+expiry+close",
        "read+write+report+expiry+reset+close2", "read+write+report+poll+reopen+stop"}) {
    out.push_back({"crowds", crowd, backend});
  }
}

}  // namespace

std::vector<Entry> all_scenarios() {
  std::vector<Entry> all;
  for (const Class kind : kClasses) add_descriptor_scenarios(all, name_of(kind));
  for (const std::string& name : word_scenarios()) {
    all.push_back({is_crowd(name) ? "workers" : "words", name, ""});
  }
  // Group by group, in the order of the list within each.
  std::vector<Entry> sorted;
  for (const std::string_view group : {"pairs", "triples", "quads", "words", "workers", "crowds"}) {
    std::ranges::copy_if(all, std::back_inserter(sorted),
                         [&](const Entry& entry) { return entry.group == group; });
  }
  return sorted;
}

Program* Stage::set(std::string_view name, std::string_view backend) {
  if (backend.empty()) {
    // One world at a time: the last one goes before the next one comes.
    world_.reset();
    backend_.clear();
    program_.reset();
    program_ = make_word_scenario(name);
    return program_.get();
  }
  const auto scenario = DescriptorWorld::parse(name);
  const auto* const kind = std::ranges::find(
      kClasses, backend, [](Class c) { return std::string_view(explore::name_of(c)); });
  if (!scenario || kind == kClasses.end()) return nullptr;
  if (backend_ != backend) {
    program_.reset();
    world_.reset();
    world_ = std::make_unique<DescriptorWorld>(*kind);
    backend_ = backend;
  }
  world_->set(*scenario);
  return world_.get();
}

}  // namespace rearm::explore
