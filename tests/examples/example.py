"""Starts an example and its clients, real ones and plain sockets, and leaves nothing behind.

A test program is `<test>.py BINARY`: its classes derive from ExampleTest, and it ends with main().
Every wait has an end, and the children die with their parent.
"""

import ctypes
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

# Generous, because sanitizer builds on a busy machine are slow; ctest has the last word.
PATIENCE_S = 30

binary = ""

# Which backends a program brings its own kernel for, in its own memory.
EMULATED = ("kqueue", "event_port")

libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def tool(name):
    """The path of a client that is not ours. Its absence is a failure, not a reason to skip."""
    path = shutil.which(name)
    if path is None:
        raise AssertionError(f"{name} is missing: scripts/setup installs it")
    return path


def eventually(condition, what):
    """Waits until `condition()` is true."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in {PATIENCE_S} s: {what}")
        time.sleep(0.01)


class Process:
    """A child that is ended by its own pid. What it says on standard error is kept."""

    def __init__(self, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preload=None):
        self.errors = tempfile.TemporaryFile()
        environment = dict(os.environ, LD_PRELOAD=preload) if preload else None
        self.child = subprocess.Popen(
            [str(word) for word in command], stdin=stdin, stdout=stdout, stderr=self.errors,
            env=environment, preexec_fn=die_with_parent)

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        for stream in (self.child.stdin, self.child.stdout, self.errors):
            if stream is not None:
                stream.close()

    def said(self):
        """Everything on standard error so far."""
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait(self):
        """The exit status; a child that takes too long is a failure."""
        try:
            return self.child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.child.args} did not end; it said: {self.said()}") from None

    def first_line(self):
        """The first line of standard output."""
        ready, _, _ = select.select([self.child.stdout], [], [], PATIENCE_S)
        line = self.child.stdout.readline().decode() if ready else ""
        if not line:
            raise AssertionError(f"{self.child.args} said nothing but: {self.said()}")
        return line


class Server(Process):
    """An example that listens: knows its port, and whether it still has what it opened."""

    def __init__(self, *arguments, program=None, preload=None):
        super().__init__(program or binary, *arguments, preload=preload)
        self.ends_otherwise = False  # Than with exit status 0, which a test has looked at.
        try:
            line = self.first_line()
            match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
            if match is None:
                raise AssertionError(f"the first line is {line!r}")
            self.port = int(match.group(1))
            self.open_at_start = self.open_fds()
        except BaseException:
            self.stop()
            raise

    def stops(self, number, status=0):
        """Asks it to end by a signal, and sees that it does, with that exit status."""
        self.child.send_signal(number)
        ended = self.wait()
        self.ends_otherwise = status != 0
        if ended != status:
            raise AssertionError(f"it ended with {ended}, not {status}; it said: {self.said()}")

    def listens(self):
        """Whether a newcomer is still taken."""
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S).close()
                return True
            except ConnectionRefusedError:
                return False
            except ConnectionResetError:
                continue  # The listener was closed in the middle of the handshake: ask again.

    def address_bytes(self):
        """The size of its address space."""
        with open(f"/proc/{self.child.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()

    def is_sanitized(self):
        """A sanitizer's shadow takes terabytes of the address space."""
        return self.address_bytes() > 1 << 40

    def resident_bytes(self):
        with open(f"/proc/{self.child.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class ExampleTest(unittest.TestCase):
    """Tear-down proves that the server is alive and well, and that it has closed every number."""

    def setUp(self):
        self.servers = []

    def start(self, *arguments, program=None, preload=None):
        server = Server(*arguments, program=program, preload=preload)
        self.servers.append(server)
        self.addCleanup(self.check_and_stop, server)
        return server

    def helper(self, *command, **streams):
        process = Process(*command, **streams)
        self.addCleanup(process.stop)
        return process

    def check_and_stop(self, server):
        try:
            if server.child.poll() is None:
                eventually(lambda: server.open_fds() == server.open_at_start,
                           "the server closes what its clients have left")
            elif not server.ends_otherwise:
                self.assertEqual(server.child.returncode, 0, server.said())
            self.assertNotIn("Sanitizer", server.said())
        finally:
            server.stop()

    def connect(self, server):
        connection = server.connect()
        self.addCleanup(connection.close)
        return connection

    def check_stops(self, talk, *arguments, program=None, status=0):
        """A server in use ends by SIGTERM, and an idle one by SIGINT. `talk` uses a connection."""
        for number, clients in ((signal.SIGTERM, 3), (signal.SIGINT, 0)):
            with self.subTest(number.name):
                server = self.start(*arguments, program=program)
                connections = [self.connect(server) for _ in range(clients)]
                for connection in connections:
                    talk(connection)
                server.stops(number, -number if status is None else status)
                for connection in connections:
                    self.assert_over(connection)

    def assert_over(self, connection):
        """The other side has closed: the end of the stream, or a reset."""
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass

    def skip_where_memory_is_shared(self):
        if os.environ.get("REARM_BACKEND") in EMULATED:
            self.skipTest("the emulated kernel needs the memory that is taken away here")
        if self.start(0).is_sanitized():
            self.skipTest("a sanitizer needs the memory that is taken away here")

    def check_survives_without_stacks(self, use):
        """With no address space for stacks, connections are closed and the server goes on; with
        space again it serves. `use` is what a client does, and fails with an OSError or returns
        False if it was not served."""
        self.skip_where_memory_is_shared()
        server = self.start(0)
        clients = [self.connect(server)]
        use(clients[0])  # Its threads have started.
        # Room for what is small, and not for a stack.
        limit = server.address_bytes() + 192 * 1024
        resource.prlimit(server.child.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

        def exhausted():
            """Opens one more connection; whether the server has closed it unserved."""
            client = self.connect(server)
            clients.append(client)
            client.settimeout(PATIENCE_S)
            return not served(client)

        def served(client):
            try:
                return use(client) is not False
            except OSError:
                return False

        eventually(exhausted, "stacks are used up")
        self.assertIsNone(server.child.poll(), server.said())
        resource.prlimit(server.child.pid, resource.RLIMIT_AS,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertTrue(served(self.connect(server)))
        for client in clients:
            client.close()

    def run_client(self, *command, send=b""):
        """Runs a client to its end and returns what it printed."""
        done = subprocess.run([str(word) for word in command], input=send, capture_output=True,
                              timeout=PATIENCE_S, check=False, preexec_fn=die_with_parent)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stderr.decode(errors='replace')}")
        return done.stdout


def random_numbers(seed):
    """The same on every run."""
    return random.Random(seed)


def read_to_end(connection):
    """Everything until the other side ends its stream."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def read_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise AssertionError(f"the stream ended after {len(data)} of {size} bytes")
        data += part
    return bytes(data)


def reset(connection):
    """Closes so that the other side sees a reset, not an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def main():
    global binary
    binary = sys.argv.pop(1)
    unittest.main(verbosity=2)
