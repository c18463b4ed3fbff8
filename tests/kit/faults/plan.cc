#include "faults/plan.h"

#include <algorithm>
#include <cstring>

#include "torture/random.h"

namespace rearm::test::faults {
namespace {

struct Totals {
  std::array<std::atomic<std::uint64_t>, kCalls> calls{};
  std::array<std::atomic<std::uint64_t>, kCalls> injected{};
};

Totals& totals() {
  static Totals instance;
  return instance;
}

std::size_t index(Call call) { return static_cast<std::size_t>(call); }

std::string_view how_name(const Fault& fault) {
  switch (fault.how) {
    case How::kInstead: return "";
    case How::kAfter: return " after its effect";
    case How::kLater: return " with a report later";
    case How::kShort: return "a short transfer";
    case How::kDelay: return "reports held back";
    case How::kRepeat: return "a report repeated";
  }
  return "";
}

}  // namespace

std::uint64_t total_calls(Call call) { return totals().calls[index(call)].load(); }
std::uint64_t total_injected(Call call) { return totals().injected[index(call)].load(); }

Decision FaultPlan::decide(Call call, Where where) {
  const std::uint64_t n = ++calls_;
  ++count_[index(call)];
  ++totals().calls[index(call)];
  if (kind_ == Kind::kNothing) return {};
  const std::uint64_t random = torture::mix(torture::mix(number_) + n);
  const Fault* const fault = choose(call, where, n, random);
  if (fault == nullptr) {
    burst_[index(call)].store(0);
    return {};
  }
  note(n, call, *fault);
  return {.fault = fault, .random = torture::mix(random)};
}

const Fault* FaultPlan::choose(Call call, Where where, std::uint64_t n, std::uint64_t random) {
  if (kind_ == Kind::kNth && n != number_) return nullptr;
  const auto pick = [&](std::size_t k, auto wanted) -> const Fault* {
    for (const Fault& fault : faults_of(call)) {
      if ((fault.where & where) == 0 || !wanted(fault)) continue;
      if (k-- == 0) return &fault;
    }
    return nullptr;
  };
  if (kind_ == Kind::kNth) return pick(k_, [](const Fault&) { return true; });
  if (kind_ == Kind::kFirst) {
    if (index(call) != number_ || injected() != 0) return nullptr;
    return pick(0, [this](const Fault& one) { return one.error == static_cast<int>(k_); });
  }

  const auto drawn = static_cast<unsigned>(random % 1000);
  Outcome outcome = Outcome::kTransparent;
  if (drawn < rates_.reported_per_mille) {
    outcome = Outcome::kReported;
  } else if (drawn >= rates_.reported_per_mille + rates_.silent_per_mille) {
    return nullptr;
  }
  const auto wanted = [outcome](const Fault& fault) { return fault.outcome == outcome; };
  const auto fits = [&](const Fault& fault) { return (fault.where & where) != 0 && wanted(fault); };
  const auto choices = static_cast<std::size_t>(std::ranges::count_if(faults_of(call), fits));
  if (choices == 0 || burst_[index(call)].fetch_add(1) >= kMaxBurst) return nullptr;
  return pick((random >> 32) % choices, wanted);
}

void FaultPlan::note(std::uint64_t n, Call call, const Fault& fault) {
  ++injected_;
  ++totals().injected[index(call)];
  if (fault.outcome == Outcome::kReported) ++reported_;
  const std::lock_guard lock(mu_);
  log_.push_back({.n = n, .call = call, .fault = &fault});
}

bool FaultPlan::has_reported(Calls calls, int error) const {
  const std::lock_guard lock(mu_);
  return std::ranges::any_of(log_, [&](const Injection& one) {
    return one.fault->outcome == Outcome::kReported && calls.has(one.call) &&
           (error == 0 || one.fault->error == error);
  });
}

std::string FaultPlan::describe() const {
  std::string text;
  switch (kind_) {
    case Kind::kNothing: text = "no faults"; break;
    case Kind::kSeeded: text = "REARM_FAULT_SEED=" + std::to_string(number_); break;
    case Kind::kNth:
      text = "REARM_FAULT_NTH=" + std::to_string(number_) + ":" + std::to_string(k_);
      break;
    case Kind::kFirst: text = "the first call"; break;
  }
  text += "; " + std::to_string(calls()) + " calls, " + std::to_string(injected()) + " faults:\n";
  constexpr std::size_t kLast = 40;
  const std::lock_guard lock(mu_);
  const std::size_t first = log_.size() > kLast ? log_.size() - kLast : 0;
  for (std::size_t i = first; i < log_.size(); ++i) {
    const Injection& one = log_[i];
    text += "  call " + std::to_string(one.n) + ", ";
    text.append(name_of(one.call)).append(": ");
    if (one.fault->error != 0) text += ::strerrorname_np(one.fault->error);
    text.append(how_name(*one.fault)).append("\n");
  }
  return text;
}

}  // namespace rearm::test::faults
