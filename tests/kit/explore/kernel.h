// Kernel: descriptor numbers, readiness, and four ways to report it, in memory.
//
// What this is. The kernel under the explorer: every system call that the library makes on a model
// number is a step. Numbers are given out lowest first, so that a number which was closed is at
// once somebody else's. It knows what the library promised, and says so when it is broken: an
// association of a number that is closed or of another life (G1), a close of a number that is not
// open, is watched or is in use (G1, G4), a system call that meets a stranger's file (G4).
//
// The four classes, with the facts that matter and where they are from:
//
//   epoll       one registration for (number, file), edge-triggered, both directions. Adding looks
//               at the state. A report is an item in a queue; retrieval looks at the state again
//               and drops what is not true any more. Room to write is an edge only after a write
//               that said EAGAIN. (epoll(7); fs/eventpoll.c)
//   kqueue      two filters for a number, EV_CLEAR, each with a report of its own. Scanning looks
//               at the state again. close() drops both. (FreeBSD kevent(2); kern_event.c)
//   event_port  an association with a mask; looks at the state when it is made, then waits for one
//               change, and is gone. The mask of the report is that of the change: it is not looked
//               at again. Associating anew and dissociating take a queued report along.
//               (port_associate(3C); illumos portfs)
//   poll        a number is asked about until it is reported. The look and the forgetting are two
//               steps, as in the backend over poll(2): what is armed in between is forgotten, too,
//               if it is of the same life. (poll(2); src/poller/backend_poll.cc)
//
// A peer may close its end of the question at any time: hence a report may be false when it is
// read, and true readiness may be taken by somebody else.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "explore/step.h"
#include "poller/backend.h"
#include "rearm/deadline.h"

namespace rearm::explore {

enum class Class : std::uint8_t { kEpoll, kKqueue, kEventPort, kPoll };

inline constexpr std::array kClasses = {Class::kEpoll, Class::kKqueue, Class::kEventPort,
                                        Class::kPoll};

[[nodiscard]] const char* name_of(Class kind) noexcept;

inline constexpr int kFirstNumber = 1'000;  // More than the process itself opens.
inline constexpr int kNumbers = 4;
inline constexpr int kFiles = 6;

// Trivially copyable: a fresh world is a copy.
class Kernel {
 public:
  void begin(Class kind) {
    *this = Kernel();
    kind_ = kind;
  }

  [[nodiscard]] static bool is_model(int number) noexcept {
    return number >= kFirstNumber && number < kFirstNumber + kNumbers;
  }

  // --- What the peers do. ---

  [[nodiscard]] int open();  // A new file; returns its number.
  void make_ready(int file, detail::Ready ready);
  void make_all_ready();  // Every file that is open, both ways.

  // --- What processes call. ---

  void close(int number);
  [[nodiscard]] long transfer(int number, Direction direction);  // -1: EAGAIN; 0: the end.
  [[nodiscard]] bool look(int number, Direction direction);      // poll(2).

  // --- What the backend calls. ---

  [[nodiscard]] std::error_code add(int number, Token token);
  [[nodiscard]] std::error_code arm(int number, Token token, detail::Ready interest);
  void remove(int number);
  [[nodiscard]] detail::WaitResult wait(std::span<detail::Event> events, Deadline deadline);
  void wake() noexcept;

  // --- For programs and reports. ---

  [[nodiscard]] Class kind() const noexcept { return kind_; }
  [[nodiscard]] bool is_open(int number) const { return numbers_[index(number)] >= 0; }
  [[nodiscard]] int file_at(int number) const { return numbers_[index(number)]; }
  [[nodiscard]] bool is_ready(int file, Direction direction) const {
    const detail::Ready ready = files_[static_cast<std::size_t>(file)].ready;
    return ready.has(direction) || (direction == Direction::kRead && ready.has_hang_up());
  }
  [[nodiscard]] int times_closed(int file) const {
    return files_[static_cast<std::size_t>(file)].times_closed;
  }
  [[nodiscard]] bool is_watching(int number) const { return watches_[index(number)].is_there; }
  // Whether the last wait of this thread reported this life of slot 0.
  [[nodiscard]] bool was_reported(int thread, std::uint32_t life) const {
    return life < 32 && (reported_[static_cast<std::size_t>(thread)] >> life & 1U) != 0;
  }
  [[nodiscard]] bool has_report() const;
  [[nodiscard]] std::string watch_at(int number) const;
  [[nodiscard]] std::string name_of_object(const void* object) const;

  // Which file each thread believes to be at the number it uses; -1: it does not care.
  std::array<std::int8_t, 8> believed_file{-1, -1, -1, -1, -1, -1, -1, -1};

 private:
  struct File {
    detail::Ready ready;
    bool write_failed = false;
    std::int8_t times_closed = 0;
    bool exists = false;
  };
  struct Watch {
    bool is_there = false;
    Token token;
    detail::Ready interest;  // What the kernel will report; both, always, on epoll and kqueue.
    detail::Ready queued;    // What it is about to report.
    std::uint16_t since = 0;
  };

  [[nodiscard]] static std::size_t index(int number) {
    return static_cast<std::size_t>(number - kFirstNumber);
  }
  [[nodiscard]] bool is_edge() const { return kind_ == Class::kEpoll || kind_ == Class::kKqueue; }
  [[nodiscard]] MoreTouches looks(bool does) const;
  [[nodiscard]] detail::Ready state_at(std::size_t at) const;
  [[nodiscard]] detail::Ready report_of(std::size_t at) const;
  void queue(Watch& watch, detail::Ready ready);
  static bool may_return(const Step& step);

  Class kind_ = Class::kEpoll;
  bool woken_ = false;
  std::int8_t waiting_ = 0;  // Threads inside wait().
  std::uint16_t queue_clock_ = 0;
  std::array<std::int8_t, kNumbers> numbers_{-1, -1, -1, -1};
  std::array<File, kFiles> files_{};
  std::array<std::uint32_t, 8> reported_{};  // By thread: a bit for each life of slot 0.
  std::array<char, 2> levels_{};  // The objects that stand for the files' states, by direction.
  std::array<Watch, kNumbers> watches_{};
};

extern Kernel kernel;

// What the program knows of lives: whether one is open, and how many are inside.
struct LifeView {
  bool is_open = false;
  int references = 0;
};
[[nodiscard]] LifeView look_at_life(Token token);

}  // namespace rearm::explore
