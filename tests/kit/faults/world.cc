#include "faults/world.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "support/leak_check.h"

namespace rearm::test::faults {
namespace {

constexpr std::chrono::seconds kPatience{25};

// Ends the process if the run that it watches takes too long. One thread for all runs.
class Watchdog {
 public:
  static Watchdog& instance() {
    static auto* const watchdog = new Watchdog;
    return *watchdog;
  }

  void watch(std::function<void()> bark) {
    {
      const std::lock_guard lock(mu_);
      bark_ = std::move(bark);
      until_ = std::chrono::steady_clock::now() + kPatience;
    }
    changed_.notify_one();
  }
  void rest() { watch(nullptr); }

 private:
  Watchdog() {
    std::thread([this] {
      const Exempt exempt;
      run();
    }).detach();
  }

  [[noreturn]] void run() {
    std::unique_lock lock(mu_);
    for (;;) {
      if (bark_ == nullptr) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, until_) == std::cv_status::timeout && bark_ != nullptr &&
                 std::chrono::steady_clock::now() >= until_) {
        bark_();
      }
    }
  }

  std::mutex mu_;
  std::condition_variable changed_;
  std::function<void()> bark_;
  std::chrono::steady_clock::time_point until_;
};

// What the other end may see of an operation that failed here.
bool is_of_a_broken_connection(std::error_code error) {
  constexpr std::array kErrors = {ECONNRESET, EPIPE, ENOTCONN, ECONNREFUSED};
  if (error == Errc::kEndOfStream) return true;
  return error.category() == std::system_category() &&
         std::ranges::find(kErrors, error.value()) != kErrors.end();
}

constexpr Calls kOpenPoller = Call::k_epoll_create1 | Call::k_epoll_ctl | Call::k_eventfd |
                              Call::k_pipe2 | Call::k_fcntl | Call::k_port_create | Call::k_kqueue |
                              Call::k_kevent;
std::atomic<std::uint64_t> stale_reports{0};

constexpr Calls kStacks = Call::k_mmap | Call::k_madvise | Call::k_mprotect;

}  // namespace

std::uint64_t total_stale_reports() { return stale_reports; }

Deadline long_deadline() { return Deadline::after(2 * kPatience); }

World::World(std::string_view scenario, std::string_view backend, FaultPlan& plan)
    : scenario_(scenario),
      backend_(backend),
      plan_(plan),
      fds_(open_fds()),
      descriptors_(open_descriptors()) {
  watch();
}

World::~World() { Watchdog::instance().rest(); }

void World::watch() {
  Watchdog::instance().watch([this] { dump_and_abort(); });
}

void World::run(std::size_t workers, const std::function<void()>& first) {
  std::optional<Armed> armed(plan_);
  try {
    Runtime runtime({.workers = workers, .stack_bytes = 64 * 1024, .backend = backend_});
    runtime_.store(&runtime);
    try {
      runtime.run(first);
    } catch (const std::system_error& error) {
      check_error(error.code(), "run()", Call::k_pthread_create, Peer::kNo);
    }
    check_left(runtime);
    armed.reset();
    expect(runtime.run([] { return spawn([] { return 5; }).join(); }) == 5, "it works again");
    check_left(runtime);
    stale_reports += runtime.stats().poller.stale_events;
    runtime_.store(nullptr);
    armed.emplace(plan_);
  } catch (const std::system_error& error) {
    runtime_.store(nullptr);
    check_error(error.code(), "Runtime::Runtime()", kOpenPoller, Peer::kNo);
  }
}

void World::check_left(const Runtime& runtime) {
  const Runtime::Stats stats = runtime.stats();
  expect(stats.fibers_alive == 0, "a fiber is left");
  expect(stats.stacks_taken == 0, "a stack is left");
  expect(stats.poller.descriptors == 0, "a descriptor is left in its poller");
}

void World::check_numbers() {
  const auto now = open_fds();
  for (const auto& [fd, target] : now) {
    if (!fds_.contains(fd)) fail("fd " + std::to_string(fd) + " is left open: " + target);
  }
  for (const auto& [fd, target] : fds_) {
    if (!now.contains(fd)) fail("fd " + std::to_string(fd) + " was closed: " + target);
  }
  expect(open_descriptors() == descriptors_, "a descriptor is left");
}

std::string World::complaints() {
  check_numbers();
  expect(casualties_ <= plan_.reported(), "a fault has cost more than one conversation");
  const std::lock_guard lock(mu_);
  if (complaints_.empty()) return {};
  return scenario_ + " over " + backend_ + ":\n" + complaints_ + plan_.describe();
}

void World::fail(const std::string& what) {
  const std::lock_guard lock(mu_);
  complaints_ += "  " + what + "\n";
}

void World::check_error(std::error_code error, std::string_view what, Calls calls, Peer peer) {
  const bool is_systems =
      error.category() == std::system_category() || error.category() == std::generic_category();
  const bool excused = (error == Errc::kStacksExhausted && plan_.has_reported(kStacks)) ||
                       (is_systems && plan_.has_reported(calls, error.value())) ||
                       (peer == Peer::kYes && is_broken() && is_of_a_broken_connection(error));
  if (excused) {
    ++excuses_;
    return;
  }
  fail(std::string(what) + ": " + error.message() + ", which nothing accounts for");
}

void World::dump_and_abort() {
  std::fprintf(stderr, "no end of %s over %s after %lld s\n", scenario_.c_str(), backend_.c_str(),
               static_cast<long long>(kPatience.count()));
  {
    const std::lock_guard lock(mu_);
    for (const Doing& one : doing_) {
      std::fprintf(stderr, "  %s: %s\n", one.who.c_str(), one.what.load());
    }
    std::fputs(complaints_.c_str(), stderr);
  }
  if (const Runtime* const runtime = runtime_.load()) {
    const Runtime::Stats stats = runtime->stats();
    std::fprintf(stderr,
                 "  %" PRIu64 " fibers alive of %" PRIu64 ", %" PRIu64 " stacks, %" PRIu64
                 " descriptors; %" PRIu64 " reports (%" PRIu64 " stale) of %" PRIu64
                 " waits, %" PRIu64 " wakes, %" PRIu64 " arms, %" PRIu64 " re-arms\n",
                 stats.fibers_alive, stats.fibers_spawned, stats.stacks_taken,
                 stats.poller.descriptors, stats.poller.events, stats.poller.stale_events,
                 stats.poller.waits, stats.poller.wakes, stats.poller.arms, stats.poller.rearms);
  }
  std::fputs(plan_.describe().c_str(), stderr);
  std::abort();
}

Stage::Stage(World& world, std::string who) : world_(world) {
  const std::lock_guard lock(world_.mu_);
  self_ = world_.doing_.emplace(world_.doing_.end());
  self_->who = std::move(who);
}

Stage::~Stage() {
  const std::lock_guard lock(world_.mu_);
  world_.doing_.erase(self_);
}

}  // namespace rearm::test::faults
