#include "explore/kernel.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "explore/machine.h"

namespace rearm::explore {

using detail::Ready;

Kernel kernel;

namespace {

constexpr std::array kDirections = {Direction::kRead, Direction::kWrite};

// One system call as a step, if a simulated thread makes it.
class Call {
 public:
  Call(const char* what, const void* object, const MoreTouches& more = {},
       bool (*enabled)(const Step&) = nullptr, std::int64_t argument = 0) {
    if (!in_thread) return;
    begin_step({.verb = Verb::kCall,
                .mode = Mode::kWrite,
                .object = object,
                .more = more,
                .enabled = enabled,
                .what = what,
                .argument = argument});
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (in_thread) end_step(Mode::kWrite, 0, 0);
  }
};

Ready both_of(Ready a, Ready b) {
  Ready result;
  for (const Direction direction : kDirections) {
    if (a.has(direction) && b.has(direction)) result |= Ready::of(direction);
  }
  if (!result.empty() && (a.has_hang_up() || b.has_hang_up())) {
    result |= Ready::hang_up().without(Ready::both());
  }
  return result;
}

const char* text_of(Ready ready) {
  if (ready.has(Direction::kRead)) return ready.has(Direction::kWrite) ? "rw" : "r";
  return ready.has(Direction::kWrite) ? "w" : "-";
}

}  // namespace

const char* name_of(Class kind) noexcept {
  switch (kind) {
    case Class::kEpoll: return "epoll";
    case Class::kKqueue: return "kqueue";
    case Class::kEventPort: return "event_port";
    case Class::kPoll: return "poll";
  }
  return "?";
}

// --- Peers and processes. ---

int Kernel::open() {
  const Call call("open", this, {{{&numbers_, Mode::kWrite}}});
  const auto number = std::ranges::find(numbers_, -1);
  const auto file = std::ranges::find_if(files_, [](const File& f) { return !f.exists; });
  if (number == numbers_.end() || file == files_.end()) violation("explorer", "too many files");
  *file = {.ready = {}, .exists = true};
  *number = static_cast<std::int8_t>(file - files_.begin());
  return kFirstNumber + static_cast<int>(number - numbers_.begin());
}

void Kernel::make_ready(int file, Ready ready) {
  MoreTouches touches{};
  std::size_t count = 0;
  for (const Direction direction : kDirections) {
    if (ready.has(direction)) {
      touches[count++] = {&levels_[static_cast<std::size_t>(direction)], Mode::kWrite};
    }
  }
  const Call call(ready == Ready::both()        ? "the peer makes it ready both ways"
                  : ready.has(Direction::kRead) ? "the peer makes it readable"
                                                : "the peer makes it writable",
                  this, touches);
  File& it = files_[static_cast<std::size_t>(file)];
  it.ready |= ready;
  for (std::size_t at = 0; at < kNumbers; ++at) {
    Watch& watch = watches_[at];
    if (numbers_[at] != file || !watch.is_there) continue;
    switch (kind_) {
      case Class::kEpoll:
        if (ready.has(Direction::kRead)) queue(watch, Ready::of(Direction::kRead));
        // Room is an edge only for somebody who has met the lack of it.
        if (ready.has(Direction::kWrite) && it.write_failed) {
          queue(watch, Ready::of(Direction::kWrite));
        }
        break;
      case Class::kKqueue: queue(watch, ready); break;
      case Class::kEventPort:
        if (!both_of(ready, watch.interest).empty()) {
          queue(watch, both_of(ready, watch.interest));
          watch.interest = Ready::none();
        }
        break;
      case Class::kPoll: break;  // It looks when it is asked.
    }
  }
  if (ready.has(Direction::kWrite)) it.write_failed = false;
}

void Kernel::make_all_ready() {
  for (const int file : numbers_) {
    if (file >= 0) make_ready(file, Ready::both());
  }
}

void Kernel::close(int number) {
  const std::size_t at = index(number);
  const Call call("close", this, {{{&numbers_, Mode::kWrite}}});
  if (numbers_[at] < 0) violation("G4", "number %d was closed twice", number);
  const Watch& watch = watches_[at];
  if (watch.is_there) {
    violation("G1", "number %d was closed while the kernel still watches it", number);
  }
  File& file = files_[static_cast<std::size_t>(numbers_[at])];
  ++file.times_closed;
  const LifeView life = look_at_life(watch.token);
  if (watch.token.generation != 0 && life.references != 0) {
    violation("G4", "number %d was closed under %d operations in flight", number, life.references);
  }
  numbers_[at] = -1;
}

long Kernel::transfer(int number, Direction direction) {
  const std::size_t at = index(number);
  const Call call(direction == Direction::kRead ? "read" : "write",
                  &levels_[static_cast<std::size_t>(direction)], {{{&numbers_, Mode::kRead}}});
  const int now = numbers_[at];
  if (now < 0) violation("G4", "a system call on number %d, which is closed", number);
  const int believed = believed_file[static_cast<std::size_t>(Machine::current())];
  if (believed >= 0 && now != believed) {
    violation("G4", "a system call on number %d meets a stranger's file", number);
  }
  File& it = files_[static_cast<std::size_t>(now)];
  if (!it.ready.has(direction)) {
    if (direction == Direction::kRead && it.ready.has_hang_up()) return 0;
    if (direction == Direction::kWrite) it.write_failed = true;
    name_step(direction == Direction::kRead ? "read: EAGAIN" : "write: EAGAIN");
    errno = EAGAIN;
    return -1;
  }
  it.ready = it.ready.without(Ready::of(direction));
  return 1;
}

bool Kernel::look(int number, Direction direction) {
  const std::size_t at = index(number);
  const Call call("poll", &levels_[static_cast<std::size_t>(direction)],
                  {{{&numbers_, Mode::kRead}}});
  const int now = numbers_[at];
  if (now < 0) violation("G4", "a look at number %d, which is closed", number);
  File& it = files_[static_cast<std::size_t>(now)];
  // tcp_poll() of Linux asks for an edge as a failed write does.
  if (direction == Direction::kWrite && !it.ready.has(direction)) it.write_failed = true;
  return is_ready(now, direction);
}

// --- The backend's side. ---

// Whoever looks at the state of files.
MoreTouches Kernel::looks(bool does) const {
  if (!does) return {};
  return {{{&levels_[0], Mode::kRead}, {&levels_[1], Mode::kRead}}};
}

Ready Kernel::state_at(std::size_t at) const {
  if (numbers_[at] < 0) return Ready::none();
  const Ready ready = files_[static_cast<std::size_t>(numbers_[at])].ready;
  return ready.has_hang_up() ? ready | Ready::of(Direction::kRead) : ready;
}

void Kernel::queue(Watch& watch, Ready ready) {
  if (watch.queued.empty()) watch.since = ++queue_clock_;
  watch.queued |= ready;
}

std::error_code Kernel::add(int number, Token token) {
  const std::size_t at = index(number);
  const Call call("add to the kernel", this, looks(is_edge()));
  if (numbers_[at] < 0) return Errc::kClosed;
  Watch& watch = watches_[at];
  if (watch.is_there) violation("G1", "number %d was added while it is watched", number);
  watch = {.is_there = true, .token = token, .interest = {}, .queued = {}};
  if (is_edge()) {
    watch.interest = Ready::both();
    if (!state_at(at).empty()) queue(watch, state_at(at));
  }
  return {};
}

std::error_code Kernel::arm(int number, Token token, Ready interest) {
  const std::size_t at = index(number);
  const Call call(interest == Ready::both()        ? "arm both"
                  : interest.has(Direction::kRead) ? "arm reading"
                                                   : "arm writing",
                  this, looks(kind_ == Class::kEventPort));
  Watch& watch = watches_[at];
  if (numbers_[at] < 0) violation("G1", "number %d was associated after it was closed", number);
  if (!watch.is_there) {
    violation("G1", "number %d was associated after it was removed: a stranger's number", number);
  }
  if (watch.token != token) {
    violation("G1", "number %d was associated for life %u, but is of life %u now", number,
              token.generation, watch.token.generation);
  }
  watch.interest = interest;
  watch.queued = Ready::none();  // A report that nobody has retrieved is replaced.
  if (kind_ == Class::kEventPort) {
    const Ready now = both_of(state_at(at), interest);
    if (!now.empty()) {
      queue(watch, now);
      watch.interest = Ready::none();
    }
  }
  return {};
}

void Kernel::remove(int number) {
  const std::size_t at = index(number);
  const Call call("remove from the kernel", this);
  Watch& watch = watches_[at];
  if (numbers_[at] < 0) violation("G1", "number %d was removed after it was closed", number);
  if (watch.is_there && look_at_life(watch.token).is_open) {
    violation("G1", "number %d was removed while its life %u is open", number,
              watch.token.generation);
  }
  watch.is_there = false;  // The token stays, to tell whose the number was.
  watch.interest = watch.queued = Ready::none();
}

// What a wait would say of this number now.
Ready Kernel::report_of(std::size_t at) const {
  const Watch& watch = watches_[at];
  if (!watch.is_there) return Ready::none();
  switch (kind_) {
    case Class::kEpoll: return watch.queued.empty() ? Ready::none() : state_at(at);
    case Class::kKqueue: return both_of(watch.queued, state_at(at));
    case Class::kEventPort: return watch.queued;
    case Class::kPoll: return both_of(watch.interest, state_at(at));
  }
  return Ready::none();
}

bool Kernel::has_report() const {
  for (std::size_t at = 0; at < kNumbers; ++at) {
    if (!report_of(at).empty()) return true;
  }
  return false;
}

bool Kernel::may_return(const Step& step) {
  const auto& self = *static_cast<const Kernel*>(step.object);
  return self.woken_ || virtual_now_ns >= step.argument || self.has_report();
}

detail::WaitResult Kernel::wait(std::span<detail::Event> events, Deadline deadline) {
  if (in_thread && locks_held() != 0)
    violation("G7", "a lock was held across a wait in the kernel");
  const bool is_never = deadline.is_standing() || deadline.is_never();
  const bool is_timed = !is_never && deadline.ns() > 0;
  // collect() is for one thread at a time, and so is what it fills with events.
  if (++waiting_ > 1) violation("G8", "two threads wait in the kernel at once");
  detail::WaitResult result;
  {
    MoreTouches touches = looks(kind_ != Class::kEventPort);
    if (is_timed) {
      *std::ranges::find(touches, Mode::kNone, &Touch::mode) = {&virtual_now_ns, Mode::kRead};
    }
    const Call call(is_never ? "wait in the kernel" : "look at the kernel", this, touches,
                    &may_return, is_never ? Deadline::never().ns() : deadline.ns());
    result.woken = std::exchange(woken_, false);
    std::array<std::size_t, kNumbers> order{0, 1, 2, 3};
    std::ranges::sort(order, {}, [&](std::size_t at) { return watches_[at].since; });
    for (const std::size_t at : order) {
      const Ready ready = report_of(at);
      Watch& watch = watches_[at];
      watch.queued = Ready::none();
      if (ready.empty()) continue;
      if (kind_ == Class::kKqueue) {
        for (const Direction direction : kDirections) {
          if (!ready.has(direction)) continue;
          // Like the backend: a filter's report for reading does not say what else there is.
          Ready said = Ready::of(direction);
          if (direction == Direction::kRead) said |= Ready::hang_up().without(Ready::both());
          events[result.count++] = {watch.token, said};
        }
      } else {
        events[result.count++] = {watch.token, ready};
      }
    }
  }
  std::uint32_t& reported = reported_[static_cast<std::size_t>(Machine::current())];
  reported = 0;
  for (std::size_t i = 0; i < result.count; ++i) {
    if (events[i].token.slot == 0) reported |= 1U << (events[i].token.generation % 32);
    Machine::note("... reported: life %u %s", events[i].token.generation, text_of(events[i].ready));
  }
  if (kind_ == Class::kPoll && result.count != 0) {
    const Call call("forget what was reported", this);
    for (std::size_t i = 0; i < result.count; ++i) {
      for (Watch& watch : watches_) {
        if (watch.is_there && watch.token == events[i].token) watch.interest = Ready::none();
      }
    }
  }
  --waiting_;
  return result;
}

void Kernel::wake() noexcept {
  const Call call("wake the kernel", this);
  woken_ = true;
}

// --- For reports. ---

std::string Kernel::watch_at(int number) const {
  const Watch& watch = watches_[index(number)];
  if (!is_open(number)) return "closed";
  std::string text =
      "file " + std::to_string(file_at(number)) + " ready " + text_of(state_at(index(number)));
  if (!watch.is_there) return text + ", not watched";
  text += std::string(", watched ") + text_of(watch.interest);
  if (!watch.queued.empty()) text += std::string(", queued ") + text_of(watch.queued);
  return text;
}

std::string Kernel::name_of_object(const void* object) const {
  return object == this ? "the kernel" : "a file";
}

}  // namespace rearm::explore
