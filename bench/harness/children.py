"""Child processes of a benchmark: pinned, bounded in time, and never left behind.

Each child is ended by its own pid. Should this process die without a chance to clean up, the
kernel ends them (PR_SET_PDEATHSIG).
"""

import atexit
import contextlib
import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import time

_START_TIMEOUT_S = 10
_STOP_TIMEOUT_S = 10
_PR_SET_PDEATHSIG = 1
_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)
# Others that want the CPU meanwhile are held back, where we may (root): their share of the time is
# not counted, but each change of hands costs caches and lengthens queues.
_NICENESS = -10

_libc = ctypes.CDLL(None, use_errno=True)
_alive = set()


class BenchError(Exception):
    """A measurement that could not be made; its text is shown to the user."""


def _prepare(cpus):
    """What a child does between fork and exec."""

    def run():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # Yama lets nobody but a parent trace, and who counts the calls of a server is its sibling.
        _libc.prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0)
        if cpus:
            os.sched_setaffinity(0, cpus)
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)

    return run


def _spawn(command, cpus, stdin=subprocess.DEVNULL):
    try:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_prepare(cpus),
        )
    except OSError as error:
        raise BenchError(f"cannot start {command[0]}: {error}") from error
    _alive.add(child)
    return child


def _name(child):
    return os.path.basename(str(child.args[0]))


def _plain(err):
    """What a child said on standard error, without the word that will be put before it again."""
    return err.decode(errors="replace").strip().removeprefix("error: ")


def _wait(child, after):
    """The status of a child that is about to end."""
    try:
        return child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BenchError(
            f"{_name(child)} did not end within {_STOP_TIMEOUT_S} s of {after}") from error


def _last_words(child):
    """What a child said that is about to end, or has ended; its status if it said nothing."""
    status = _wait(child, "the end of its output")
    return _plain(child.stderr.read()) or f"status {status}"


def _ended_early(child):
    return BenchError(f"{_name(child)} ended early: {_last_words(child)}")


def _end(child):
    if child.poll() is None:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    _alive.discard(child)


@atexit.register
def _end_all():
    for child in list(_alive):
        _end(child)


def run(command, cpus=None, timeout_s=60):
    """Runs to the end; returns standard output. A failure is a BenchError with what it said."""
    child = _spawn(command, cpus)
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{_name(child)} did not end within {timeout_s:.0f} s") from error
    finally:
        _end(child)
    if child.returncode != 0:
        said = _plain(err) or f"status {child.returncode}"
        raise BenchError(f"{_name(child)}: {said}")
    return out.decode()


def run_json(command, cpus=None, timeout_s=60):
    return json.loads(run(command, cpus, timeout_s))


class Server:
    """A running echo server: its pid, port and what it says of itself."""

    def __init__(self, child, port, words):
        self.pid = child.pid
        self.port = port
        self.backend = words.get("backend", "default")
        self._child = child

    def check_alive(self):
        if self._child.poll() is not None:
            raise _ended_early(self._child)


def _read_line(child, timeout_s):
    """The next line of its output, byte by byte: nothing after it is taken."""
    deadline = time.monotonic() + timeout_s
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise BenchError(f"{_name(child)} said nothing for {timeout_s:.0f} s")
        ready, _, _ = select.select([child.stdout], [], [], left)
        if not ready:
            continue
        byte = os.read(child.stdout.fileno(), 1)
        if not byte:
            raise _ended_early(child)
        line += byte
    return line.decode(errors="replace").strip()


class Turns:
    """A load generator that measures one slice whenever it is its turn."""

    def __init__(self, child, timeout_s):
        self._child = child
        self._timeout_s = timeout_s

    def take(self):
        try:
            os.write(self._child.stdin.fileno(), b"go\n")
        except BrokenPipeError as error:
            raise _ended_early(self._child) from error
        self._expect("done")

    def finish(self):
        self._child.stdin.close()
        sample = json.loads(_read_line(self._child, self._timeout_s))
        if _wait(self._child, "its last turn") != 0:
            raise BenchError(f"{_name(self._child)}: {_last_words(self._child)}")
        return sample

    def _expect(self, word):
        line = _read_line(self._child, self._timeout_s)
        if line != word:
            raise BenchError(f"the load generator said '{line}' instead of '{word}'")


@contextlib.contextmanager
def turns(command, cpus, timeout_s):
    """Starts a load generator with --turns and yields it when it is warm."""
    child = _spawn(command, cpus, stdin=subprocess.PIPE)
    try:
        running = Turns(child, timeout_s)
        running._expect("ready")
        yield running
    finally:
        _end(child)


@contextlib.contextmanager
def server(command, cpus, graceful):
    """Starts a server, yields it, and stops it by SIGTERM.

    A `graceful` server must end with status 0; another may die of the signal.
    """
    child = _spawn(command, cpus)
    try:
        line = _read_line(child, _START_TIMEOUT_S)
        match = re.search(r"listening (?:on )?\S*?:(\d+)(.*)", line)
        if not match:
            raise BenchError(f"{_name(child)} said '{line}' instead of where it listens")
        words = dict(word.split("=", 1) for word in match[2].split() if "=" in word)
        running = Server(child, int(match[1]), words)
        yield running
        running.check_alive()
        _terminate(child, graceful)
    finally:
        _end(child)


def _terminate(child, graceful):
    child.terminate()
    status = _wait(child, "SIGTERM")
    if status not in ((0,) if graceful else (0, -signal.SIGTERM)):
        raise BenchError(
            f"{_name(child)} ended with status {status} on SIGTERM: {_last_words(child)}")


@contextlib.contextmanager
def silent_server(command, cpus, port):
    """Like server(), for one that does not say where it listens: it was told."""
    child = _spawn(command, cpus)
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if child.poll() is not None:
                raise _ended_early(child)
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            if time.monotonic() > deadline:
                raise BenchError(f"{_name(child)} did not listen within {_START_TIMEOUT_S} s")
            time.sleep(0.01)
        running = Server(child, port, {})
        yield running
        running.check_alive()
        _terminate(child, graceful=False)
    finally:
        _end(child)
