"""Measuring servers side by side.

A case is one subject under one load. The cases of a comparison run round by round. A round starts
a fresh process of each, and they take turns: a slice of a tenth of a second or so, then the next
one's, the order turned around each time, until each has had its seconds; the others sleep
meanwhile. Whatever the machine does in that time, it does to all of them, and ratios are taken
within a round.
"""

import contextlib
import dataclasses
import statistics
import time

from harness import children

CONGESTION = "reno"
COUNT_ROUNDS = 3
# Read by name from the load generator and written by the same name into the records.
REPEATED = ("requests_per_s", "cpu_ns_per_request", "p50_us", "p99_us", "p999_us")

# The same, of the runs that count and do not time.
COUNTED = ("syscalls_per_request", "user_instructions_per_request")


@dataclasses.dataclass(frozen=True)
class Load:
    connections: int
    message_bytes: int
    active: int = 0  # 0: all

    @property
    def active_count(self):
        return self.active or self.connections

    def label(self):
        size = f"{self.message_bytes} B" if self.message_bytes < 1024 else (
            f"{self.message_bytes // 1024} KiB")
        if self.active_count == self.connections:
            return f"{size}, {self.connections} conn"
        return f"{size}, {self.active} + {self.connections - self.active} idle"


@dataclasses.dataclass(frozen=True)
class Subject:
    name: str
    command: tuple  # how to start it; {message_bytes} and {open_files} are filled in
    workers: int
    graceful: bool = True  # ends with status 0 on SIGTERM


@dataclasses.dataclass(frozen=True)
class Case:
    subject: Subject
    load: Load


class Samples:
    """What the rounds of one case gave, in their order."""

    def __init__(self):
        self.values = {}
        self.backend = "default"
        self.syscalls_method = "none"

    def add(self, sample, names):
        for name in names:
            if name in sample:
                self.values.setdefault(name, []).append(sample[name])

    def median(self, name):
        return statistics.median(self.values[name]) if self.values.get(name) else None

    def spread(self, name):
        values = self.values.get(name)
        if not values:
            return None
        return {"min": min(values), "median": statistics.median(values), "max": max(values)}


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Of one value between two cases: the median of the rounds' own ratios, their spread, and the
    best round of one by the best of the other."""

    median: float
    min: float
    max: float
    best: float


def ratio(samples, base, name, lower_is_better=True):
    pairs = [a / b for a, b in zip(samples.values.get(name, []), base.values.get(name, [])) if b]
    if not pairs:
        return None
    best = min if lower_is_better else max
    return Ratio(statistics.median(pairs), min(pairs), max(pairs),
                 best(samples.values[name]) / best(base.values[name]))


def _slice_s(load):
    """Long enough that each connection does several requests in a slice."""
    return 0.1 + load.active_count / 20000


def _timeout_s(load):
    """No single step of a client takes so long, not even on a busy machine."""
    return 60 + load.connections / 200


class Bench:
    """Where the programs are, how they are pinned, and how long they run."""

    def __init__(self, load_generator, server_cpus, client_cpus, warmup_s, seconds, congestion,
                 say):
        self._load_generator = load_generator
        self._server_cpus = server_cpus
        self._client_cpus = client_cpus
        self._warmup_s = warmup_s
        self._seconds = seconds
        self._congestion = congestion
        self._say = say

    def compare(self, cases, rounds, counts=True, label=""):
        """Runs all cases `rounds` times, interleaved; returns {case: Samples}."""
        results = {case: Samples() for case in cases}
        start = time.monotonic()
        for number in range(rounds):
            for case, sample in self._round(cases, results, number).items():
                results[case].add(sample, REPEATED)
            self._say_round(label, number + 1, rounds, cases, results, time.monotonic() - start)
        for _ in range(COUNT_ROUNDS if counts else 0):
            for case in cases:
                self._count(case, results[case])
        return results

    def resident_memory(self, cases, rounds):
        """Opens the connections of each case and lets them park; returns {case: Samples}."""
        results = {case: Samples() for case in cases}
        for number in range(rounds):
            for case in cases:
                sample = self._run(case, results[case], ["--idle-only"])
                results[case].add(sample,
                                  ("rss_bytes_per_connection", "anonymous_bytes_per_connection"))
                self._say(f"  round {number + 1}/{rounds}  {case.subject.name}: "
                          f"{sample['rss_bytes_per_connection']:.0f} B a connection")
        return results

    def _round(self, cases, results, number):
        """One round: every case in turns; returns {case: sample}."""
        slice_s = max(_slice_s(case.load) for case in cases)
        slices = max(1, round(self._seconds / slice_s))
        with contextlib.ExitStack() as stack:
            clients = {}
            for case in cases:
                server = stack.enter_context(self._server(case, results[case]))
                command = self._client(case, server, ["--turns", "--warmup-s", self._warmup_s,
                                                      "--seconds", self._seconds / slices])
                clients[case] = stack.enter_context(
                    children.turns(command, self._client_cpus, _timeout_s(case.load)))
            for turn in range(number, number + slices):
                for case in cases if turn % 2 == 0 else reversed(cases):
                    clients[case].take()
            return {case: client.finish() for case, client in clients.items()}

    def _count(self, case, samples):
        # A run of its own: counting may slow the server down. Enough requests that the calls at
        # both ends do not show, few enough to be short.
        active = case.load.active_count
        requests = 4000 if active == 1 else max(20000, 4 * active)
        sample = self._run(case, samples,
                           ["--requests", requests, "--count-syscalls", "auto"])
        samples.syscalls_method = sample["syscalls_method"]
        samples.add(sample, COUNTED)

    def _run(self, case, samples, mode):
        with self._server(case, samples) as server:
            return children.run_json(self._client(case, server, mode), self._client_cpus,
                                     _timeout_s(case.load))

    @contextlib.contextmanager
    def _server(self, case, samples):
        words = {"message_bytes": case.load.message_bytes,
                 "open_files": case.load.connections + 128, "congestion": self._congestion}
        command = [str(part).format(**words) for part in case.subject.command]
        with children.server(command, self._server_cpus, case.subject.graceful) as server:
            samples.backend = server.backend
            yield server

    def _client(self, case, server, mode):
        load = case.load
        return [self._load_generator, "--port", server.port, "--server-pid", server.pid,
                "--connections", load.connections, "--active", load.active_count,
                "--message-bytes", load.message_bytes, "--congestion", self._congestion, *mode]

    def _say_round(self, label, number, rounds, cases, results, elapsed_s):
        parts = []
        for case in cases:
            cpu = results[case].values["cpu_ns_per_request"][-1]
            name = case.subject.name
            if len({other.load for other in cases}) > 1:
                name += f" [{case.load.label()}]"
            parts.append(f"{name} {cpu / 1000:.2f} µs")
        self._say(f"  {label}  round {number}/{rounds}  CPU a request: {', '.join(parts)}"
                  f"  ({elapsed_s:.0f} s)")
