#!/usr/bin/env python3
"""Checks that every system call of the library can be made to fail.

Usage: complete.py CALLS NM FILE...

CALLS is calls.h, whose list it reads; each FILE is an archive or object of the library. Whatever
they refer to outside of themselves must be on that list or on one of those below, so that a new
call is somebody's decision: a fault that is injected, or a reason why not.
"""

import re
import subprocess
import sys
from pathlib import Path

# Calls that reach the system and are not injected, each with the reason.
EXCUSED = {
    "getpid": "cannot fail",
    "sched_yield": "cannot fail on Linux",
    "sysconf": "of the page size: answered by the C library",
    "pthread_setname_np": "a name for debuggers; nothing depends on it",
    "sched_setaffinity": "asked for by options alone, and its error is thrown; worker_thread_test",
    "pthread_sigmask": "fails only for a wrong argument",
    "sigaction": "fails only for a wrong argument",
    "signal": "restores SIG_DFL in the handler of a process that dies",
    "sigaltstack": "fails only for a wrong argument or on the stack itself",
    "sigpending": "fails only for a wrong argument",
    "sigwait": "of a signal that is pending; retries EINTR itself (glibc)",
    "syscall": "futex, by the C++ library's atomic waits, which look at the value again",
    "pthread_cond_clockwait": "spurious returns are part of it; no other failure",
    "pthread_mutex_lock": "fails only for a wrong mutex",
    "pthread_mutex_unlock": "fails only for a wrong mutex",
    "pthread_once": "cannot fail",
    "pthread_atfork": "once in a process, in the first poller's making; fails for memory alone",
    "if_indextoname": "of a scope in an address's text; the number is written where it fails",
    "if_nametoindex": "of a scope in an address's text; the text is refused where it fails",
    "atexit": "once a runtime, in its making; glibc keeps 32 places, and what fails is not heard",
    "fprintf": "the sentence before an end; nobody is left to be told",
}

# No system calls.
PLAIN = re.compile(
    r"_GLOBAL_OFFSET_TABLE_|_Unwind_\w+|__cxa_\w+|__dso_handle|__errno_location|"
    r"__gxx_personality_v0|__once_proxy|__popcountdi2|__sched_cpucount|"
    r"__cmsg_nxthdr|__tls_get_addr|__stack_chk_fail|abort|"
    r"getenv|stderr|__libc_single_threaded|pthread_self|"
    r"hton[ls]|ntoh[ls]|inet_(ntop|pton)|in6addr_(any|loopback)|mem\w+|str\w+|"
    r"sig(add|empty)set|sigismember|(jump|make|ontop)_fcontext|rearm_jump"
)

# Of the C++ library: what makes a thread is on the list (pthread_create); the rest of these waits,
# in futexes, or asks the clock, which is memory.
THREAD_START = "_ZNSt6thread15_M_start_thread"
CXX_CALLS = re.compile(r"_Z(?!NK?5rearm)\w*(filesystem|basic_[io]?f?stream|basic_filebuf|"
                       r"random_device|this_thread|jthread)")
# Of those, what writes into a stream that the program has opened; and the files of /proc and of the
# cgroup that a runtime without a number of workers reads: what cannot be read sets no limit
# (sched/usable_processors.h).
CXX_TEXT = re.compile(r"_ZStls\w*basic_ostream\w*|_ZNSt14basic_ifstreamI\w*(C1|D1)E\w*|"
                      r"_ZSt(7getline|rs)I\w*basic_istream\w*")


def listed(text):
    return set(re.findall(r"^  X\((\w+)\)", text, re.MULTILINE))


def undefined(nm, files):
    names = set()
    for file in files:
        output = subprocess.run([nm, "-u", file], check=True, capture_output=True, text=True).stdout
        names |= set(re.findall(r"^\s+[Uw] (\w+)", output, re.MULTILINE))
    return names


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    calls = listed(Path(sys.argv[1]).read_text(encoding="utf-8"))
    names = undefined(sys.argv[2], sys.argv[3:])
    bad = sorted(
        name for name in names
        if name not in calls and name not in EXCUSED and not PLAIN.fullmatch(name)
        and (not name.startswith("_Z") or (CXX_CALLS.match(name) and not CXX_TEXT.match(name)))
    )
    for name in bad:
        print(f"{name}: neither injected (calls.h) nor excused (complete.py)")
    made = {"pthread_create"} if any(n.startswith(THREAD_START) for n in names) else set()
    idle = sorted(calls - names - made)
    for name in idle:
        print(f"{name}: on the list of calls.h, but the library does not make it")
    unused = sorted(set(EXCUSED) - names)
    for name in unused:
        print(f"{name}: excused, but the library does not make it")
    if bad or idle or unused:
        sys.exit(1)
    print(f"{len(calls)} calls are injected, {len(EXCUSED)} excused, of {len(names)} names")


if __name__ == "__main__":
    main()
