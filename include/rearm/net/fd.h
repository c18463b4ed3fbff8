// Fd: any pollable descriptor, with waits that look blocking and never block a thread.
//
// What can be done with a descriptor depends on its kind, and each kind has a class that has those
// calls and no others:
//
//   Fd                      waiting, deadlines, closing: what all of them have
//     Stream                reads and writes of bytes: pipes, terminals, eventfds (stream.h)
//       StreamSocket        addresses, options, shutdown (socket.h)
//         TcpStream, UnixStream
//     Datagram              messages with an address: UdpSocket, UnixDatagram (datagram.h)
//     UnixSeqpacket         messages on a connection (unix.h)
//     Listener              connections to be accepted (socket.h)
//       TcpListener, UnixListener, UnixSeqpacketListener
//
// What every operation of these has in common
//   - It tries the system call first and parks only if that says EAGAIN. On a fiber it parks the
//     fiber; on a plain thread it blocks the thread (the runtime must be running; when its run()
//     has returned, a call that would wait returns Errc::kCancelled).
//   - It has a deadline (deadline.h), and ends with Errc::kTimedOut once that has passed, also if
//     it would not have to wait. What takes several system calls (read_exact, write_all) looks
//     between them. With Deadline::immediate() it takes what is there now; if there is nothing,
//     Errc::kTimedOut.
//   - One read and one write of a stream may be in progress at once, from different fibers. A
//     second one in the same direction returns Errc::kBusy at once. Accepts and messages stand in
//     line.
//   - close(), from any fiber or thread, ends it with Errc::kClosed; the number is closed after the
//     last operation has left, exactly once.
//   - Runtime::request_stop() ends it, if it would wait, with Errc::kCancelled.
//   - On a fiber of another runtime than the descriptor's it returns Errc::kWrongRuntime.
//   - Errors of the system call come back as they are (std::system_category); EINTR never does, and
//     no write ever raises SIGPIPE: it returns EPIPE.
//   - A buffer without room to read into is Errc::kInvalidArgument: 0 bytes would mean the end. To
//     write nothing is no error.
//   - It throws nothing and allocates nothing. What opens or adopts a descriptor may need memory,
//     and returns ENOMEM (std::errc::not_enough_memory) where there is none.
// Below, "Errors" lists what a call has besides these. What opens a descriptor (adopt, bind,
// connect, pair, create) takes the Runtime& that the descriptor is to belong to; without one, it
// belongs to the calling fiber's runtime. With a Runtime& it may be called on a plain thread,
// before run(), too; without one it stops the process there, with a sentence. What accept() returns
// belongs to the listener's runtime.
//
// Thread safety: everything but moving and destroying may be called at any time from anywhere.
#pragma once

#include <cstdint>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"

namespace rearm {

class Runtime;

namespace detail {
class Descriptor;
class FdAccess;
}  // namespace detail

// A resource: movable, one owner; destroying it closes it. A default-constructed or moved-from one
// is closed.
class Fd {
 public:
  Fd() noexcept = default;
  Fd(Fd&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, nullptr)),
        generation_(other.generation_),
        traits_(other.traits_) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      (void)close();
      descriptor_ = std::exchange(other.descriptor_, nullptr);
      generation_ = other.generation_;
      traits_ = other.traits_;
    }
    return *this;
  }
  ~Fd() { (void)close(); }

  // Takes ownership of a descriptor that was opened elsewhere, for the calling fiber's runtime or
  // the given one, and makes it non-blocking and close-on-exec. Non-blocking is of the open file
  // description: processes that share it (the shell, of a terminal; the parent, of an inherited
  // pipe) have it non-blocking, too, until release(Flags::kRestore). On error the descriptor stays
  // the caller's, as it was. To read and write it, Stream::adopt().
  // Errors: kNotPollable (regular files, directories), kClosed (not open), kInvalidArgument
  // (negative), EEXIST (a runtime or poller of this process has it already), ENOMEM; the kernel's,
  // such as ENOSPC. REQUIRES: without `runtime`, called on a fiber.
  [[nodiscard]] static Result<Fd> adopt(int fd) noexcept;
  [[nodiscard]] static Result<Fd> adopt(int fd, Runtime& runtime) noexcept;

  [[nodiscard]] bool is_open() const noexcept;

  // Returns when a read (an accept), or a write, would not block: at once if it would not block
  // now, or else parks until then. What is there stays there, and a second call returns at once as
  // well: poll(2)'s POLLIN and POLLOUT, on every backend. An end and an error count, because they
  // do not block either. For system calls that this class does not have, and for libraries that do
  // their own (c-ares, curl, libpq): give them a number of their own (dup) or lend them
  // native_handle().
  [[nodiscard]] Result<void> wait_readable(Deadline deadline = {}) noexcept;
  [[nodiscard]] Result<void> wait_writable(Deadline deadline = {}) noexcept;

  // Sets the deadline of operations that are given none, in one direction or both, at any time: an
  // operation that is waiting takes the new one at once. Deadline::never() removes it. Never parks.
  Result<void> set_deadline(Deadline deadline) noexcept;
  Result<void> set_read_deadline(Deadline deadline) noexcept;
  Result<void> set_write_deadline(Deadline deadline) noexcept;

  // Ends every operation in progress with kClosed. Never parks, unless closing the number blocks
  // (SO_LINGER). Errors: kClosed (it already was; nothing happens).
  Result<void> close() noexcept;

  // Gives the number back, open, to the caller: non-blocking and close-on-exec, or without those of
  // the two that adopt() has set. Errors: kClosed; kBusy (an operation is in progress).
  enum class Flags { kKeep, kRestore };
  [[nodiscard]] Result<int> release(Flags flags = Flags::kKeep) noexcept;

  // The descriptor's number, or -1 if closed or if the calling fiber is of another runtime. For
  // what this class does not have: options, other system calls. Do not close the number, and do not
  // use it while another fiber or thread may close this. A TCP stream whose number has been asked
  // for makes one system call more for each read: the program may do with the socket what Rearm
  // cannot know of (TLS in the kernel, SO_RCVLOWAT).
  [[nodiscard]] int native_handle() const noexcept;

 private:
  friend class detail::FdAccess;

  detail::Descriptor* descriptor_ = nullptr;
  std::uint32_t generation_ = 0;
  // What is known of the kind of descriptor; see FdAccess.
  std::uint8_t traits_ = 0;
};

}  // namespace rearm
