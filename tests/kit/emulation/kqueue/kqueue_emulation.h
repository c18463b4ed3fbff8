// What the emulation of kqueue is told beside its system calls: which system it is, and what is to
// go wrong.
//
// A kqueue keeps the quirks and the faults of the moment when it was opened. At the start they come
// from the environment:
//
//   REARM_KQUEUE_SYSTEM   freebsd (the default), freebsd13, macos, netbsd, netbsd10, openbsd,
//                         openbsd73 or dragonfly: see System
//   REARM_KQUEUE_FAULTS   a number that is not 0: the mixture below, with that number as its seed;
//                         spurious:<number>: reports of reading that are not true, and nothing else
//
// The rules are cited where they are applied: filters.cc, knotes.cc and scan.cc.
#pragma once

#include <cerrno>
#include <cstdint>
#include <functional>

namespace rearm::test::kqueue_emulation {

enum class System : std::uint8_t {
  kFreebsd,     // 14 and 15.
  kFreebsd13,   // Read and run.
  kMacos,       // 15 (XNU 11417), read.
  kNetbsd,      // kern_event.c 1.140 and the sys_pipe.c of 2026 (1.182), read.
  kNetbsd10,    // The same with a sys_pipe.c up to 1.160.
  kNetbsd2023,  // The same with the sys_pipe.c of October 2023 (1.165): of no release, as it seems.
  kOpenbsd,     // 7.8 (kern_event.c 1.205), read; its pipes and FIFOs are those of 7.3.
  kOpenbsd73,   // Read.
  kDragonfly,   // kern_event.c read; its pipes are taken to be those of FreeBSD.
};

// How the systems differ.
struct Quirks {
  bool has_user = true;                    // EVFILT_USER exists.
  bool user_trigger_on_attach = false;     // NOTE_TRIGGER in the creating EV_ADD triggers.
  bool trigger_with_clear_cancels = true;  // EV_CLEAR in a trigger undoes it.
  bool enable_disable_is_invalid = false;  // EV_ENABLE | EV_DISABLE is EINVAL.
  bool enable_wins = false;                // … or enables; otherwise it disables.
  bool enable_replaces_udata = true;       // So does EV_ENABLE, without EV_ADD.
  bool keeps_udata = false;                // EV_KEEPUDATA exists.
  bool stops_without_room = true;          // A receipt without room for it ends the call,
  bool forgets_what_had_room = false;      // … which then says 0, though entries were written.
  bool oneshot_revalidates = false;        // EV_ONESHOT runs the filter again before it reports.
  bool returns_change_flags = false;       // Reports carry EV_ADD and EV_RECEIPT.
  bool pipe_write_end_is_oneshot = false;  // A pipe's writer is told of the end once, and dropped.
  bool pipe_end_is_read = false;           // Only EVFILT_READ tells of it: older macOS.
  bool pipe_wrong_end_is_silent = false;   // EVFILT_READ on a pipe's writing end reports nothing,
  int pipe_wrong_end_error = 0;            // … or is refused.
  bool fifo_is_one_way = false;            // A FIFO's end is silent on what it was not opened for,
  int fifo_wrong_end_error = 0;            // … or refuses the filter.
  bool fifo_has_no_end = false;            // Neither end of a FIFO is told that the other is gone.
  bool fifo_writer_is_deaf = false;        // EVFILT_WRITE says EV_EOF at once and nothing later.
  bool listen_is_seen_at_attach = false;   // A socket that listens later never reports.
  bool long_timeout_is_invalid = false;    // EINVAL for a wait of more than 2^31 seconds.
  bool bad_timeout_is_invalid = true;      // A tv_nsec out of range is EINVAL.
  bool closed_number_is_enoent = false;    // What EV_DELETE and EV_ENABLE say of it; else EBADF.
  bool close_wakes_sleepers = true;        // Those who sleep in a kqueue that is closed: EBADF.
  bool hides_while_scanned = false;        // That a level is queued again wakes nobody.
  std::int64_t tick_ns = 0;                // What a sleep is rounded up to.
  int broken_pipe_error = 0;               // What EVFILT_WRITE on a pipe without a reader says,
  int broken_fifo_error = 0;               // … and on a FIFO.
  int unpollable_error = ENODEV;           // What a device without a filter says.
};

[[nodiscard]] Quirks quirks_of(System system);
void set_quirks(const Quirks& quirks);

// Each happens once in that many occasions, by chance; 0 is never.
struct Faults {
  std::uint64_t seed = 1;
  // In the mixture: what a sound program does not notice, because kernels do it.
  unsigned eintr_one_in = 0;        // A wait that would sleep ends with EINTR, nothing lost.
  unsigned etimedout_one_in = 0;    // The same with ETIMEDOUT (golang/go#59679); macOS only.
  unsigned few_one_in = 0;          // Fewer reports than there are and than there is room for.
  unsigned shuffle_one_in = 0;      // The reports in another order.
  unsigned late_one_in = 0;         // A pause between taking the reports and returning them.
  unsigned write_storm_one_in = 0;  // A write filter is activated though nobody met EAGAIN.
  // Not in it: what the library's tests would rightly notice.
  unsigned spurious_read_one_in = 0;  // A report of reading that is not true.
  unsigned no_memory_one_in = 0;      // A registration fails with ENOMEM.
};

[[nodiscard]] Faults fault_mixture(System system, std::uint64_t seed);
[[nodiscard]] Faults fault_spurious(std::uint64_t seed);
void set_faults(const Faults& faults);

// Called while a level-triggered knote that was reported is away from the queue, with no lock held,
// on the thread that took the report; with this every system is so slow. What tells them apart is
// whether the knote's return wakes those who have looked meanwhile (hides_while_scanned). Set while
// no other thread runs.
std::function<void()>& on_requeue();

// Quirks and faults as the environment has them.
void reset();

// Of a new kqueue.
[[nodiscard]] Quirks current_quirks();
[[nodiscard]] Faults current_faults();

}  // namespace rearm::test::kqueue_emulation
