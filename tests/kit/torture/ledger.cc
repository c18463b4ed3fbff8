#include "torture/ledger.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace rearm::torture {

const char* name_of(Op op) {
  switch (op) {
    case Op::kConnect: return "connect";
    case Op::kAccept: return "accept";
    case Op::kRead: return "read";
    case Op::kWrite: return "write";
    case Op::kShutdown: return "shutdown";
    case Op::kClose: return "close";
    case Op::kReset: return "reset";
    case Op::kSetDeadline: return "set deadline";
    case Op::kRelease: return "release";
    case Op::kAdopt: return "adopt";
    case Op::kIntrude: return "intrude";
    case Op::kPipeRead: return "pipe read";
    case Op::kPipeWrite: return "pipe write";
    case Op::kSend: return "send datagram";
    case Op::kReceive: return "receive datagram";
    case Op::kSleep: return "sleep";
    case Op::kSpawn: return "spawn";
    case Op::kJoin: return "join";
    case Op::kLoad: return "compute and yield";
    case Op::kOutsideConnect: return "outside: connect";
    case Op::kOutsideRead: return "outside: read";
    case Op::kOutsideWrite: return "outside: write";
    case Op::kOutsideEnd: return "outside: end";
    case Op::kNumber: return "outside: number in use";
    case Op::kDuel: return "duel";
    case Op::kHold: return "thread held";
    case Op::kCount: break;
  }
  return "?";
}

Ledger::Ledger(std::string repeat, std::chrono::nanoseconds patience,
               std::function<std::string(std::uint32_t)> describe)
    : repeat_(std::move(repeat)), patience_(patience), describe_(std::move(describe)) {
  watchdog_ = std::thread([this] { watch(); });
}

Ledger::~Ledger() {
  {
    const std::lock_guard lock(mu_);
    over_ = true;
  }
  end_.notify_all();
  watchdog_.join();
}

void Ledger::count_error(Op op, std::error_code error) {
  const std::lock_guard lock(mu_);
  ++errors_[{op, error.message()}];
}

void Ledger::fail(const char* format, ...) {
  {
    const std::lock_guard lock(mu_);
    if (failed_) {
      // The first to fail has the word, and ends the process.
      for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
    }
    failed_ = true;
  }
  std::fflush(stdout);
  std::fputs("\ntorture: ", stderr);
  std::va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n  after %" PRIu64 " operations; repeat: %s\n", operations(),
               repeat_.c_str());
  if (more_) std::fprintf(stderr, "  %s\n", more_().c_str());
  std::fflush(stderr);
  std::_Exit(1);
}

void Ledger::on_failure(std::function<std::string()> more) {
  const std::lock_guard lock(mu_);
  more_ = std::move(more);
}

std::uint64_t Ledger::operations() const {
  std::uint64_t sum = 0;
  for (const auto& n : counts_) sum += n.load(std::memory_order_relaxed);
  return sum;
}

void Ledger::print() const {
  const std::lock_guard lock(mu_);
  std::printf("\n%-24s %14s   endings other than success\n", "operation", "done");
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const Op op = static_cast<Op>(i);
    std::printf("%-24s %14" PRIu64 "  ", name_of(op), counts_[i].load());
    for (const auto& [key, n] : errors_) {
      if (key.first == op) std::printf(" %s: %" PRIu64 ";", key.second.c_str(), n);
    }
    std::printf("\n");
  }
  std::printf("%-24s %14" PRIu64 "   %.1f MB compared\n", "all", operations(),
              static_cast<double>(bytes()) / 1e6);
}

Ledger::Slot& Ledger::take_slot(const char* role) {
  const std::lock_guard lock(mu_);
  if (free_.empty()) free_.push_back(&slots_.emplace_back());
  Slot& slot = *free_.back();
  free_.pop_back();
  slot.role.store(role, std::memory_order_relaxed);
  return slot;
}

void Ledger::give_slot(Slot& slot) {
  slot.since_ns.store(0, std::memory_order_release);
  const std::lock_guard lock(mu_);
  free_.push_back(&slot);
}

void Ledger::watch() {
  std::unique_lock lock(mu_);
  while (!end_.wait_for(lock, std::chrono::milliseconds(250), [this] { return over_; })) {
    const std::string hanging = waiting(patience_.count());
    if (hanging.empty()) continue;
    const std::string others = waiting(patience_.count() / 4);
    lock.unlock();
    fail("no answer for %.1f s:%s\n  and whoever waits for a quarter of that:%s",
         static_cast<double>(patience_.count()) / 1e9, hanging.c_str(), others.c_str());
  }
}

// REQUIRES: mu_ is held.
std::string Ledger::waiting(std::int64_t longer_than_ns) {
  constexpr int kMost = 12;
  std::string text;
  int found = 0;
  const std::int64_t now = now_ns();
  for (Slot& slot : slots_) {
    const std::int64_t since = slot.since_ns.load(std::memory_order_acquire);
    if (since == 0) continue;
    // Whoever is joined is watched, too, and may do a hundred operations before it ends.
    const bool joins = slot.op.load(std::memory_order_relaxed) == Op::kJoin;
    if (now - since < (joins ? 3 : 1) * longer_than_ns || ++found > kMost) continue;
    text += "\n    " + std::string(slot.role.load(std::memory_order_relaxed)) + ", in '" +
            name_of(slot.op.load(std::memory_order_relaxed)) + "' for " +
            std::to_string((now - since) / 1'000'000) + " ms";
    const std::uint32_t id = slot.id.load(std::memory_order_relaxed);
    if (id != 0) text += ", of " + describe_(id);
  }
  if (found > kMost) text += "\n    and " + std::to_string(found - kMost) + " more";
  return text;
}

}  // namespace rearm::torture
