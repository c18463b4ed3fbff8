// Port: one emulated event port, its associations, its queue and those who wait for it.
//
// How it works. Each rule below names where it comes from: (A) port_associate(3C), (G)
// port_get(3C), (S) port_send(3C), (L) port_alert(3C), (K) the illumos sources uts/common/fs/
// portfs/port.c, port_fd.c and uts/common/os/port_subr.c, syscall/poll.c.
//
// The state machine of illumos is kept literally: an association is `valid` until it fires, is in
// the queue at most once, and stays known when it has been retrieved. What illumos learns from
// pollwakeup() comes out of an inner epoll set here, one-shot for each association. There is no
// thread of the emulation's own: whoever sleeps in port_getn() sleeps in that set (the pump), and
// turns what it says into queued events; further waiters sleep on an eventfd each, because a sleep
// must end with EINTR, which a condition variable hides. A call that looks at the queue without
// sleeping pumps first.
//
// The port's own number is an outer epoll set, which is readable when the inner one has something
// to pump, or when an eventfd says that the queue is not empty. (K) port_send_event leaves out
// pollwakeup() for a descriptor, because it comes from there as a rule; but port_associate_fd calls
// it, too, for what is ready when it is associated, and wakes nobody who sleeps in poll(2) on the
// port's number. So what an associate queues is not shown until something else is: that is more
// than illumos hides, where one who calls poll(2) afterwards sees it.
//
// Where it differs. Masks and moments of POLLHUP and POLLERR are those of Linux. Deadlines are
// instants on the steady clock. A file that becomes ready and is drained before anybody pumps has
// not fired; spurious_pollin makes up for it. An empty mask is injected alone (fired_mask_zero): in
// illumos it comes of an associate between two steps of a retrieval, which are one step here; and
// so may the old cookie with the new mask, and then the new report as well. What does not fit into
// the list of a retrieval goes behind what has come meanwhile (port_getn, list_move_tail), which
// here is nothing. An
// event wakes the head alone, as in illumos, or with the switch wakes_all everybody; between those,
// nothing is known of Solaris.
//
// An associate comes before the close of its number, which then takes the association along, or
// after it, and is refused (K: closeandsetf waits for those who have looked the number up).
//
// Who may call. Any thread. A resource, shared by its number and by the calls in progress.
#pragma once

#include <port.h>
#include <signal.h>
#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace rearm::test::event_port {

// An event in the queue or on its way there. The links are the queue's.
struct Kevent {
  Kevent* next = nullptr;
  Kevent* previous = nullptr;
  bool queued = false;  // PORT_KEV_DONEQ
  int fired = 0;
  void* user = nullptr;
  struct Association* association = nullptr;  // nullptr: sent by a program.
};

struct Association : Kevent {
  int fd = -1;
  int wanted = 0;
  bool valid = false;     // PORT_KEV_VALID: the next change fires.
  bool in_epoll = false;  // The inner set has the number, armed or not.
  std::uint32_t arm = 0;  // Which arm of the inner set is in force, and its reports carry; or 0.
};

// First in, first out, with removal from the middle.
class Queue {
 public:
  void push(Kevent& event);
  void remove(Kevent& event);
  [[nodiscard]] Kevent* front() const { return first_; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  Kevent* first_ = nullptr;
  Kevent* last_ = nullptr;
  std::size_t size_ = 0;
};

// A port_get() or port_getn() as its caller sees it.
struct Request {
  port_event_t* list = nullptr;
  unsigned max = 0;
  unsigned minimum = 0;
  const timespec* timeout = nullptr;
  bool is_single = false;  // port_get(): takes nothing along when its time is over.
};

struct Answer {
  int error = 0;
  unsigned count = 0;
};

class Port {
 public:
  // nullptr with errno set if the system refuses. `number` is the port's own.
  [[nodiscard]] static std::shared_ptr<Port> create();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port();

  [[nodiscard]] int number() const { return outer_; }

  // These return 0 or the errno. `is_new` tells whether the number is one more than before.
  [[nodiscard]] int associate(int fd, int wanted, void* user, bool& is_new);
  [[nodiscard]] int dissociate(int fd, bool& was_known);
  [[nodiscard]] int send(int events, void* user);
  [[nodiscard]] int alert(int flags, int events, void* user);
  [[nodiscard]] Answer get(const Request& request);

  // The number is about to be closed.
  void forget(int fd);
  // The port's own number is about to be closed.
  void shut();
  [[nodiscard]] bool knows(int fd);
  [[nodiscard]] std::vector<int> known();

 private:
  struct Alert {
    int events = 0;
    void* user = nullptr;
  };
  struct Waiter {
    unsigned minimum = 0;
    bool signalled = false;
    std::optional<Alert> alert;
    int wake_fd = -1;                // While it sleeps and does not pump.
    const sigset_t* mask = nullptr;  // Of its sleeps.
  };
  using Lock = std::unique_lock<std::mutex>;

  static constexpr std::size_t kPumped = 256;
  static constexpr std::size_t kSentAhead = 64;

  Port() = default;

  bool open();
  [[nodiscard]] int arm_inner(Association& association);
  void disarm_inner(Association& association);
  void drop(Association& association);
  void fire(Association& association, int mask);
  void push(Kevent& event);
  void lay_aside_events();
  void pump_now();
  void absorb(std::span<const epoll_event> reports);
  void show();

  [[nodiscard]] Answer sleep_and_collect(Lock& lock, const Request& request,
                                         std::optional<std::int64_t> until_ns);
  [[nodiscard]] int sleep(Lock& lock, Waiter& self, std::optional<std::int64_t> until_ns);
  [[nodiscard]] int pump(Lock& lock, Waiter& self, std::optional<std::int64_t> until_ns);
  [[nodiscard]] unsigned collect(const Request& request);
  void enqueue(Waiter& waiter);
  void dequeue(Waiter& waiter);
  void wake(Waiter& waiter);
  void signal_head();

  std::mutex mu_;
  int outer_ = -1;
  int inner_ = -1;
  int kick_ = -1;   // In the inner set: ends the pump's sleep.
  int shown_ = -1;  // In the outer set: readable while the queue is not empty.
  bool is_shown_ = false;
  bool is_loud_ = false;  // What made the queue readable has woken those who poll the number.
  bool is_closed_ = false;
  bool has_associated_ = false;  // Ever.
  bool was_invalid_ = false;     // The last call that wanted to sleep was refused.
  unsigned max_events_ = 0;
  unsigned used_events_ = 0;  // Associations, and events that were sent.
  std::uint32_t last_arm_ = 0;
  std::unordered_map<int, std::unique_ptr<Association>> associations_;
  Queue queue_;
  std::optional<Alert> alert_;
  std::vector<Waiter*> waiters_;  // The head is the only one that an event wakes.
  Waiter* pump_ = nullptr;
  // port_send(3C) is async-signal-safe, so the first ones come from memory laid aside.
  std::vector<Kevent*> free_sent_;
  std::vector<std::unique_ptr<Kevent[]>> sent_memory_;
};

// Marks a call in progress on this thread. A port_send() from a signal handler that finds it would
// wait for a lock of its own thread; it is put off until the call lets go of its locks.
class InProgress {
 public:
  InProgress();
  ~InProgress();
  InProgress(const InProgress&) = delete;
  InProgress& operator=(const InProgress&) = delete;
};

// The end of one mark and the beginning of the next: around a sleep, without locks.
void leave_progress();
void enter_progress();

}  // namespace rearm::test::event_port
