// <sys/event.h> as FreeBSD 12 and later have it, for the emulation of kqueue on Linux.
//
// The numbers and types are those of FreeBSD (sys/sys/event.h). Only what the emulation knows is
// here: the filters READ, WRITE and USER. Which system's behaviour lies behind it is chosen in
// kqueue_emulation.h; the numbers stay the same.
#pragma once
#pragma GCC system_header  // As in life: its names shadow each other.

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

// NOLINTBEGIN(modernize-*, cppcoreguidelines-macro-usage): the names and kinds are the system's.
#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER (-11)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_DISPATCH 0x0080
#define EV_KEEPUDATA 0x0200
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

#define NOTE_FFNOP 0x00000000U
#define NOTE_FFAND 0x40000000U
#define NOTE_FFOR 0x80000000U
#define NOTE_FFCOPY 0xc0000000U
#define NOTE_FFCTRLMASK 0xc0000000U
#define NOTE_FFLAGSMASK 0x00ffffffU
#define NOTE_TRIGGER 0x01000000U

struct kevent {
  uintptr_t ident;
  short filter;
  unsigned short flags;
  unsigned int fflags;
  int64_t data;
  void* udata;
  uint64_t ext[4];
};

extern "C" {
int kqueue();
int kevent(int kq, const struct kevent* changelist, int nchanges, struct kevent* eventlist,
           int nevents, const struct timespec* timeout);
}
// NOLINTEND(modernize-*, cppcoreguidelines-macro-usage)
