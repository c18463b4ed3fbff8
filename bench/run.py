#!/usr/bin/env python3
"""Runs the benchmarks, prints tables, and says which numbers to reach are reached.

usage: bench/run.py NAME... [options], NAME one of micro, echo, memory, idle, fairness,
instructions, servers, demo, all.
See bench/README.md for what each measures and how to read it.
"""

import argparse
import os
import pathlib
import signal
import sys
import time

sys.dont_write_bytecode = True

from harness import (  # noqa: E402
    children, fairness, instructions, machine, measure, micro, plot, report, servers)
from harness.children import BenchError  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ("micro", "echo", "memory", "idle", "fairness", "instructions", "servers", "demo")
ECHO_CONNECTIONS = (1, 64, 1000, 8000)
ECHO_MESSAGE_BYTES = (64, 4096)
DEMO_CONNECTIONS = (1, 64, 1000)
IDLE_CONNECTIONS = 8000
IDLE_ACTIVE = 64
MEMORY_CONNECTIONS = 18000
MEMORY_FIBERS = 100000
MEMORY_BYTES_MAX = 6 * 1024


def open_files(options):
    """What the largest of the chosen benches keeps open at once in one process."""
    connections = {
        "micro": [0],
        "echo": options.connections or ECHO_CONNECTIONS,
        "idle": [IDLE_ACTIVE + IDLE_CONNECTIONS],
        "fairness": [64],
        "instructions": [1000],
        "memory": (options.connections or [MEMORY_CONNECTIONS])[-1:],
        "servers": [2 * servers.CONNECTIONS],
        "demo": options.connections or DEMO_CONNECTIONS,
    }
    return max(max(connections[name]) for name in options.names) + 128


def say(text=""):
    print(text, flush=True)


def say_table(title, head, rows):
    say()
    say(title)
    for line in report.table(head, rows):
        say("  " + line)


class Runner:
    """One invocation: its options, where the programs are, and the report that grows."""

    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build).resolve()
        self.report = report.Report(machine.describe(ROOT, self.build))
        self.panels = []  # of the plot
        self.missing = ""  # what the demo promises and could not measure
        # Each kernel's interface has its own floor.
        rival = "poll" if options.backend == "poll" else "epoll"
        self.base = measure.Subject(
            f"raw {rival}",
            (self.program(f"bench/raw_{rival}_server"), "--message-bytes", "{message_bytes}",
             "--open-files", "{open_files}", "--congestion", "{congestion}"), 1)

    def program(self, name):
        path = self.build / name
        if not path.exists():
            raise BenchError(f"{path} is not built: cmake --preset bench && "
                             "cmake --build --preset bench")
        return path

    def rearm(self):
        return measure.Subject(
            "rearm",
            (self.program("bench/bench_echo_server"), "--message-bytes", "{message_bytes}",
             "--open-files", "{open_files}", "--congestion", "{congestion}",
             "--workers", self.options.workers), self.options.workers)

    def subjects(self):
        """The rival and ours; with --against-itself the rival twice, which shows the noise."""
        if self.options.against_itself:
            twin = measure.Subject(f"{self.base.name} again", self.base.command, 1)
            return [self.base, twin]
        return [self.base, self.rearm()]

    def bench(self, seconds, warmup_s, congestion=measure.CONGESTION):
        server_cpus, client_cpus = machine.split_cpus(self.options.workers)
        say(f"  server on CPU {sorted(server_cpus)}, client on CPU {sorted(client_cpus)}, "
            f"congestion control {congestion or 'the default'}")
        if server_cpus & client_cpus:
            say("  warning: one CPU for both; the numbers say little")
        return measure.Bench(self.program("bench/load_generator"), server_cpus, client_cpus,
                             warmup_s, seconds, congestion, say)

    def say_header(self):
        for name, value in self.report.machine.items():
            say(f"{name}: {value}")
        say(f"workers: {self.options.workers}")

    def add_results(self, name, results, base):
        for case, samples in results.items():
            self.report.add_case(name, case, samples)
            theirs = results.get(measure.Case(base, case.load))
            if case.subject == base or not theirs:
                continue
            for value in measure.REPEATED:
                ratio = measure.ratio(samples, theirs, value, value != "requests_per_s")
                self.report.add_ratio(name, case, value, ratio)

    def echo(self):
        options = self.options
        subjects = self.subjects()
        bench = self.bench(options.seconds, 0.3)
        results = {}
        for size in options.message_bytes or ECHO_MESSAGE_BYTES:
            for connections in options.connections or ECHO_CONNECTIONS:
                load = measure.Load(connections, size)
                cases = [measure.Case(subject, load) for subject in subjects]
                results.update(bench.compare(cases, options.rounds, label=load.label()))
        self.add_results("echo", results, self.base)
        self.say_echo("echo: medians, × median of paired ratios to " + self.base.name, results)
        self.say_backends(results)
        report.check_echo(self.report, results, self.base, subjects[1], options.rounds)
        self.panels += plot.of_servers("echo", results, self.base, subjects[1])

    def say_echo(self, title, results):
        say_table(title, ["server", *report.ECHO_HEAD[2:]],
                  [[f"{row[0]}: {row[1]}", *row[2:]]
                   for row in report.echo_rows(results, self.base)])

    @staticmethod
    def say_backends(results):
        backends = {f"{case.subject.name}: {samples.backend}" for case, samples in results.items()}
        methods = {samples.syscalls_method for samples in results.values()}
        say(f"  backends: {', '.join(sorted(backends))}; system calls counted by "
            f"{', '.join(sorted(methods))}")

    def idle(self):
        """The same active connections with and without a crowd of idle ones."""
        alone = measure.Load(IDLE_ACTIVE, 64)
        crowd = measure.Load(IDLE_ACTIVE + IDLE_CONNECTIONS, 64, IDLE_ACTIVE)
        subjects = self.subjects()
        bench = self.bench(self.options.seconds, 0.3)
        cases = [measure.Case(subject, load) for subject in subjects for load in (alone, crowd)]
        results = bench.compare(cases, self.options.rounds, counts=False, label="idle")
        self.add_results("idle", results, self.base)
        self.say_echo("idle: medians, × median of paired ratios to " + self.base.name, results)
        for subject in subjects:
            ratio = measure.ratio(results[measure.Case(subject, crowd)],
                                  results[measure.Case(subject, alone)], "cpu_ns_per_request")
            spread = f"rounds {ratio.min:.3f} … {ratio.max:.3f}"
            if subject == self.base:
                say(f"  {subject.name}: CPU with idle ÷ without: {ratio.median:.3f} ({spread})")
            else:
                self.report.check("8000 idle + 64 active: CPU ÷ without idle", "≤ 1.05",
                                  ratio.median, ratio.median <= 1.05, spread)
        self.panels += plot.of_servers("idle", results, self.base, subjects[1])

    def memory(self):
        connections = (self.options.connections or [MEMORY_CONNECTIONS])[-1]
        rounds = min(self.options.rounds, 3)
        subjects = self.subjects()
        load = measure.Load(connections, 64)
        bench = self.bench(self.options.seconds, 0.3)
        results = bench.resident_memory([measure.Case(each, load) for each in subjects], rounds)
        self.add_memory("memory", results)
        ours = results[measure.Case(subjects[1], load)].median("rss_bytes_per_connection")
        self.report.check(f"resident bytes a parked connection, {connections:,} at once", "≤ 6144",
                          ours, ours <= MEMORY_BYTES_MAX)
        fiber = None if self.options.against_itself else self.fibers(rounds)
        self.panels += plot.of_memory(
            {case.subject.name: samples.spread("rss_bytes_per_connection")
             for case, samples in results.items()}, fiber)

    def add_memory(self, name, results):
        rows = []
        for case, samples in results.items():
            self.report.add_case(name, case, samples)
            spread = samples.spread("rss_bytes_per_connection")
            anonymous = samples.median("anonymous_bytes_per_connection")
            rows.append([case.subject.name, f"{case.load.connections:,}",
                         f"{spread['median']:,.0f}", f"{spread['min']:,.0f}",
                         f"{spread['max']:,.0f}", f"{anonymous:,.0f}"])
        say_table("memory: resident bytes of the server process a parked connection",
                  ["server", "connections", "bytes", "min", "max", "anonymous"], rows)

    def fibers(self, rounds):
        """Measures a parked fiber; returns the spread of its bytes."""
        samples = measure.Samples()
        for _ in range(rounds):
            sample = children.run_json([self.program("bench/bench_memory"), "--fibers",
                                        MEMORY_FIBERS], timeout_s=120)
            samples.add(sample, ("rss_bytes_per_fiber",))
        spread = samples.spread("rss_bytes_per_fiber")
        self.report.records.append({
            "bench": "memory", "subject": "rearm", "fibers": MEMORY_FIBERS, "workers": 1,
            "rounds": rounds, "rss_bytes_per_fiber": spread})
        say(f"  resident bytes a parked fiber, {MEMORY_FIBERS:,} at once: "
            f"{spread['median']:,.0f} ({spread['min']:,.0f} … {spread['max']:,.0f})")
        return spread

    def micro(self):
        say("  running Google Benchmark; it speaks when it is done")
        spreads, context = micro.run(self.program("bench/micro"), max(self.options.rounds, 3),
                                     0.05)
        for name, spread in spreads.items():
            self.report.records.append({
                "bench": "micro", "name": name, "ns": spread["ns"],
                "backend": context.get("backend", "default"), "floor": spread["floor"]})
        say_table("micro: ns an act, medians of repetitions", micro.HEAD, micro.rows(spreads))
        micro.check(self.report, spreads)
        self.panels += plot.of_acts(spreads)

    def fairness(self):
        say(f"  {len(fairness.CASES)} cases of {fairness.SECONDS} s")
        results = fairness.run(self.program("bench/bench_fairness"), fairness.SECONDS)
        for case, result in results.items():
            self.report.records.append({"bench": "fairness", "case": case, **result})
        say_table("fairness: how long the quiet wait beside the busy", fairness.HEAD,
                  fairness.rows(results))
        fairness.check(self.report, results)

    def instructions(self):
        say(f"  {len(instructions.ACTS)} acts under Valgrind")
        results = instructions.run(self.program("bench/bench_instructions"))
        record = instructions.read_record()
        for act, result in results.items():
            self.report.records.append({"bench": "instructions", "act": act, **result})
        say_table("instructions: executed by the server an act, not by the kernel",
                  instructions.HEAD, instructions.rows(results, record))
        for function, count in results["echo_64"]["functions"].items():
            say(f"  {count:7.1f}  {instructions.short(function)}")
        tools = instructions.tools(self.report.machine["compiler"])
        if self.options.record:
            instructions.write_record(results, tools)
            say(f"  recorded: {instructions.RECORD}")
        elif tools != record["tools"]:
            say(f"  the record is of {record['tools']}, which is another count")
        instructions.check(self.report, results)

    def servers(self):
        """The example servers beside redis-server, nginx and haproxy."""
        cpus = machine.split_cpus(1)
        say(f"  servers on CPU {sorted(cpus[0])}, clients and the proxies' upstream on CPU "
            f"{sorted(cpus[1])}")
        with servers.prepared(ROOT, self.program, cpus, self.options.seconds) as known:
            results = servers.compare(known, self.options.rounds, say)
        self.report.add_known_servers(results)
        say_table("servers: medians, × median of paired ratios to the known server",
                  servers.HEAD, servers.rows(results, report.number))
        self.panels += plot.of_known_servers(results)

    def demo(self):
        """The echo server example, as a stranger builds it, beside raw epoll; short."""
        rounds = min(self.options.rounds, 5)
        example = measure.Subject("rearm", (self.program("examples/echo_server"), "0"),
                                  self.options.workers, graceful=False)
        # The example does not choose its congestion control, so neither does its rival.
        bench = self.bench(min(self.options.seconds, 0.8), 0.2, congestion="")
        results = {}
        for connections in self.options.connections or DEMO_CONNECTIONS:
            load = measure.Load(connections, 64)
            cases = [measure.Case(subject, load) for subject in (self.base, example)]
            results.update(bench.compare(cases, rounds, label=load.label()))
        self.add_results("demo", results, self.base)
        self.say_echo("demo: medians, × median of paired ratios to " + self.base.name, results)
        self.say_backends(results)
        self.panels += plot.of_servers("demo", results, self.base, example)
        if any(each.median("syscalls_per_request") is None for each in results.values()):
            self.missing = (f"system calls {report.NOT_COUNTED}; run as root, or allow ptrace "
                            "(in a container: --cap-add SYS_PTRACE)")

    def write_files(self):
        path = self.options.plot
        if path is None and "demo" in self.options.names:
            path = self.build / "demo.svg"
        if path is not None:
            title = f"{self.report.machine['machine']}, {self.report.machine['kernel']}"
            plot.write(path, title, self.panels)
            say(f"\nplot: {path}")
        if self.options.json:
            self.report.write_json(self.options.json)
            say(f"\nrecords: {self.options.json}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", choices=(*NAMES, "all"),
                        help="micro, echo, memory, idle, fairness, instructions, servers, demo, "
                             "or all (without the last three)")
    parser.add_argument("--json", metavar="FILE", help="write the records")
    parser.add_argument("--plot", metavar="FILE",
                        help="write a plot of every bench that ran, .svg or .png")
    parser.add_argument("--rounds", type=int, default=9, help="of each comparison (9)")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured a round (1)")
    parser.add_argument("--connections", type=int, nargs="+", help="instead of the usual ones")
    parser.add_argument("--message-bytes", type=int, nargs="+", help="instead of 64 and 4096")
    parser.add_argument("--workers", type=int, default=1, help="threads of our server (1)")
    parser.add_argument("--backend", default="",
                        help="of our server and of micro (the default of this system); "
                             "with poll the rival is raw poll")
    parser.add_argument("--build", default=ROOT / "build/bench", help="directory (build/bench)")
    parser.add_argument("--record", action="store_true",
                        help="instructions: what is counted becomes what changes are held against")
    parser.add_argument("--against-itself", action="store_true",
                        help="the rival against itself: the noise of this machine")
    options = parser.parse_args()
    numbers = [options.rounds, options.workers, *(options.connections or [1]),
               *(options.message_bytes or [1])]
    if min(numbers) < 1 or options.seconds <= 0:
        parser.error("rounds, seconds, connections, message bytes and workers are positive")
    if "all" in options.names:
        options.names = ["micro", "echo", "idle", "memory", "fairness"]
    options.names = list(dict.fromkeys(options.names))
    return options


def main():
    # An orderly way out, through every `finally`, also when somebody ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_arguments()
    start = time.monotonic()
    if options.backend:
        os.environ["REARM_BACKEND"] = options.backend  # Whatever is started learns it.
    try:
        if options.plot or "demo" in options.names:
            plot.check_possible(options.plot or "demo.svg")
        runner = Runner(options)
        machine.raise_open_files(open_files(options))
        runner.say_header()
        for name in options.names:
            say(f"\n== {name}")
            getattr(runner, name)()
        if runner.report.checks:
            say_table("numbers to reach", report.CHECK_HEAD,
                      report.check_rows(runner.report.checks))
        runner.write_files()
        if runner.missing:
            raise BenchError(runner.missing)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"done in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
