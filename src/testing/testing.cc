// The explorer: runs a body under control, again and again, and says what came of it.
#include "rearm/testing.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <utility>

#include "base/check.h"
#include "rearm/runtime.h"
#include "sched/control.h"
#include "sched/scheduler.h"
#include "sched/worker.h"
#include "testing/last_words.h"
#include "testing/search.h"
#include "testing/trace.h"

namespace rearm::testing {

using detail::Control;
using detail::Controlled;
using detail::LastWords;
using detail::Schedule;
using detail::Search;
using detail::Step;
using detail::Trace;
using detail::Worker;

namespace {

// When a run begins: late enough for deadlines before it.
constexpr std::int64_t kStartNs = 1'000'000'000'000;

// In which a run that was stopped must have ended, however short it was to be.
constexpr std::uint64_t kStopSteps = 100'000;

constexpr const char* kNotASchedule =
    "this is not a schedule; they look like \"12:1/3.4:2/2\", or \"fifo\"";

class Explorer final : public detail::Chooser {
 public:
  Explorer(const std::function<void()>& body, const Options& options,
           const std::source_location& site)
      : body_(body),
        options_(options),
        site_(site),
        runtime_({.workers = 1, .stack_bytes = options.stack_bytes, .backend = options.backend}),
        control_(runtime_.scheduler(), *this,
                 {.start_ns = kStartNs,
                  .patience_ns = options.patience.count(),
                  .stop_steps = std::max(options.max_steps, kStopSteps)}) {}

  Report explore(Search& search);
  Report replay(Search& search, std::string_view text);

  std::optional<std::size_t> choose(const Choice& choice) override;
  void deadlock() override;
  void cannot_stop() override;

 private:
  void run_once(Search& search);
  void run_body();
  [[nodiscard]] bool fails_again();
  void fail(Failure::Kind kind, std::string what);
  void fail(Failure::Kind kind);
  std::nullopt_t end_trace();
  void close_last_step();
  void complete_failure();
  void print_failure() const;

  const std::function<void()>& body_;
  const Options& options_;
  const std::source_location site_;
  Runtime runtime_;
  Control control_;

  Report report_;
  // Of the run in progress.
  Search* search_ = nullptr;
  std::uint64_t run_ = 0;
  Schedule schedule_;
  Trace trace_;
  bool trace_has_ended_ = false;  // What comes after it is the stop.
  std::optional<Failure> failure_;
};

// --- One run. ---

std::optional<std::size_t> Explorer::choose(const Choice& choice) {
  close_last_step();
  if (failure_) return end_trace();
  const auto decision = search_->choose(choice);
  if (!decision) {
    fail(decision.error());
    return end_trace();
  }
  if (trace_.size() == options_.max_steps) {
    fail(Failure::Kind::kTooManySteps,
         "the run has not ended after " + std::to_string(options_.max_steps) + " steps");
    return end_trace();
  }
  const std::uint32_t options = detail::options_of(choice);
  Step step{.now_ns = choice.now_ns, .option = *decision, .options = options};
  if (*decision < choice.line.size()) {
    const Controlled& fiber = *choice.line[*decision];
    step.number = fiber.number;
    step.from = fiber.state;
    step.act = fiber.act;
    step.reason = fiber.reason;
    step.object = fiber.object;
  }
  trace_.push_back(step);
  if (options > 1) schedule_.push_back({.option = *decision, .options = options});
  return *decision;
}

// What became of the fiber that went on last is known when the next one is chosen.
void Explorer::close_last_step() {
  if (trace_has_ended_ || trace_.empty() || trace_.back().number == 0) return;
  Step& step = trace_.back();
  const Controlled& fiber = control_.fibers()[step.number - 1];
  step.then = fiber.state;
  step.then_act = fiber.act;
  step.then_object = fiber.object;
}

std::nullopt_t Explorer::end_trace() {
  trace_has_ended_ = true;
  return std::nullopt;
}

void Explorer::deadlock() {
  close_last_step();
  fail(Failure::Kind::kDeadlock, "deadlock: nobody can go on, and no timer is set" +
                                     detail::describe_waiting(control_.fibers()));
  end_trace();
}

void Explorer::cannot_stop() {
  complete_failure();
  print_failure();
  LastWords::say_nothing();
  detail::check_failed(
      "the fibers of a run that was stopped do not end: they wait for what a stop does not end, or "
      "go on in spite of Errc::kCancelled",
      __FILE__, __LINE__);
}

void Explorer::fail(Failure::Kind kind, std::string what) {
  if (!failure_) failure_ = Failure{.kind = kind, .what = std::move(what)};
}

void Explorer::fail(Failure::Kind kind) {
  const std::string at = " (step " + std::to_string(trace_.size() + 1) + ")";
  if (kind == Failure::Kind::kBadSchedule) {
    fail(kind, "the schedule does not fit this program: other options, or another end" + at);
  } else {
    fail(kind, "the program is not deterministic: the same choices led to other options" + at);
  }
}

// The first fiber. What it throws has failed the run even if others then wait for ever.
void Explorer::run_body() {
  try {
    body_();
  } catch (const std::exception& exception) {
    fail(Failure::Kind::kException, std::string("it threw: ") + exception.what());
  } catch (...) {
    fail(Failure::Kind::kException, "it threw something that is not a std::exception");
  }
}

void Explorer::run_once(Search& search) {
  search_ = &search;
  run_ = ++report_.runs;
  schedule_.clear();
  trace_.clear();
  trace_has_ended_ = false;
  failure_.reset();
  control_.begin_run();
  runtime_.run([this] { run_body(); }, site_);
  close_last_step();
  if (!failure_ && options_.failed) {
    const detail::VirtualClock::Suspended real;
    if (options_.failed()) {
      fail(Failure::Kind::kFailed, "Options::failed() says that it has failed");
    }
  }
  if (!failure_) {
    if (const auto ended = search.end_run(); !ended) fail(ended.error());
  }
  run_ = 0;
  report_.steps += trace_.size();
}

void Explorer::complete_failure() {
  failure_->schedule = detail::to_string(schedule_);
  failure_->table = detail::to_table(trace_, control_.fibers(), kStartNs);
}

void Explorer::print_failure() const {
  std::fprintf(stderr,
               "\nrearm::testing: run %llu failed: %s\n\n%s\nto replay: REARM_SCHEDULE=%s\n",
               static_cast<unsigned long long>(report_.runs), failure_->what.c_str(),
               failure_->table.c_str(), failure_->schedule.c_str());
}

// --- Many runs. ---

Report Explorer::explore(Search& search) {
  const LastWords words(run_, schedule_);
  for (;;) {
    if (!search.begin_run()) {
      report_.complete = true;
      break;
    }
    if (report_.runs == options_.runs) break;
    run_once(search);
    if (failure_) break;
  }
  if (failure_) {
    complete_failure();
    if (!options_.quiet) print_failure();  // Before it is had again: that may end the process.
    if (failure_->kind != Failure::Kind::kNotDeterministic && !fails_again()) {
      constexpr const char* kAnother =
          "the program is not deterministic: replayed, this run took another course";
      failure_->what.append("\n").append(kAnother);
      if (!options_.quiet) std::fprintf(stderr, "\nrearm::testing: %s\n", kAnother);
    }
    report_.failure = std::move(failure_);
  }
  return report_;
}

// Whether the same choices lead to the same failure; the report stays that of the first time.
bool Explorer::fails_again() {
  Failure first = std::move(*failure_);
  const Trace trace = trace_;
  Report report = report_;
  const auto search = detail::make_replay(schedule_);
  static_cast<void>(search->begin_run());
  run_once(*search);
  const bool again = failure_ && failure_->kind == first.kind &&
                     std::ranges::equal(trace_, trace, &Step::is_the_same);
  report_ = std::move(report);
  failure_ = std::move(first);
  return again;
}

Report Explorer::replay(Search& search, std::string_view text) {
  const LastWords words(run_, schedule_);
  static_cast<void>(search.begin_run());
  run_once(search);
  if (failure_) {
    complete_failure();
    if (failure_->kind == Failure::Kind::kBadSchedule) failure_->schedule = text;
    if (!options_.quiet) print_failure();
    report_.failure = std::move(failure_);
  }
  return report_;
}

}  // namespace

Report explore(const std::function<void()>& body, const Options& options,
               const std::source_location& site) {
  REARM_CHECK(Worker::current() == nullptr, "rearm::testing::explore() was called on a fiber");
  const char* const schedule = std::getenv("REARM_SCHEDULE");
  if (schedule != nullptr && *schedule != '\0') return replay(body, schedule, options, site);
  const auto search = detail::make_search(options);
  return Explorer(body, options, site).explore(*search);
}

Report replay(const std::function<void()>& body, std::string_view schedule, const Options& options,
              const std::source_location& site) {
  REARM_CHECK(Worker::current() == nullptr, "rearm::testing::replay() was called on a fiber");
  auto parsed = detail::parse_schedule(schedule);
  if (!parsed) {
    Report report;
    report.failure = Failure{.kind = Failure::Kind::kBadSchedule, .what = kNotASchedule};
    if (!options.quiet) std::fprintf(stderr, "\nrearm::testing: %s\n", kNotASchedule);
    return report;
  }
  const auto search = detail::make_replay(std::move(*parsed));
  return Explorer(body, options, site).replay(*search, schedule);
}

}  // namespace rearm::testing
