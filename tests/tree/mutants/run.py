#!/usr/bin/env python3
"""Plants each mutant in a copy of the tree, builds it, and runs the suites that should notice.

usage: scripts/mutants [--share N] [--list] [--table] [--build DIR] [NAME...]

Prints which case killed each mutant and after how many seconds of testing. Exit status 1 if one
survived that is not known to be equivalent, or if one does not apply any more.

How it is cheap. The copy has the development build's preset and layout, so that the compiler cache
has every object but those that the mutant changes. killers.py remembers what killed a mutant last:
that is built and run first, and only if it does not notice, everything else, the explorer first. A
mutant that was killed by the same sources has a stamp, and is not planted again.

What is run. `default`: the suites that `scripts/test` runs; and if they notice nothing, `all`: the
suites that `scripts/test --all` adds. A mutant that only the latter kill is named in the summary.
"""

import argparse
import datetime
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "stamps"))
from killers import KILLERS  # noqa: E402
from mutants import EQUIVALENT, MUTANTS  # noqa: E402
from stamp import Inputs, Stamp  # noqa: E402

ROOT = HERE.parents[2]
SUITE_TIMEOUT_S = 120
GTEST = ("--gtest_brief=1", "--gtest_fail_fast")
# A program of GoogleTest, or a program with its arguments.
EXPLORER = ("kit/explore/explore --group pairs", "kit/explore/explore --group words",
            "kit/explore/explore --group workers --bound 2")
POLLER_SUITES = ("poller/poller_test", "base/base_test", "poller/poll_backend_test",
                 "kit/emulation/emulation_test", "kit/race/event_port_race_test",
                 "poller/conformance_test")
SCHED_SUITES = ("sched/sched_test", "net/lateness_test", "sched/sched_stress_test")
SYNC_SUITES = ("sync/sync_test",)
NET_SUITES = ("net/lateness_test", "net/net_test", "net/net_stress_test")
# Of net, what the explorer compiles.
NET_EXPLORED = tuple(f"src/net/{name}.cc" for name in ("fd", "look", "stream", "turn"))
FAULTS = ("kit/faults/faults_test", "kit/faults/memory_test")
TESTING = ("testing/testing_test",)
OS_SUITES = ("os/os_test",)
# What only `scripts/test --all` runs in an uninstrumented build.
RACES = tuple(f"kit/race/{name}_race_test" for name in ("wait", "close", "report", "wake"))


def stages_for(path):
    """Groups of suites; the next one is built only for a mutant that survives."""
    if path.startswith(("src/testing/", "src/sched/control")):
        return [TESTING]
    if path.startswith("src/os/"):
        return [OS_SUITES]
    if path.startswith("src/net/"):
        return [*([EXPLORER] if path in NET_EXPLORED else []), FAULTS, NET_SUITES]
    if path.startswith("src/sync/"):
        return [EXPLORER, SYNC_SUITES]
    if path.startswith("src/sched/") or path == "src/base/run_state.h":
        return [EXPLORER, SCHED_SUITES, TESTING,
                (*SYNC_SUITES, *NET_SUITES, "kit/faults/memory_test")]
    explored = [] if path.startswith("src/poller/backend_") else [EXPLORER]
    return [*explored, POLLER_SUITES, FAULTS, (*SCHED_SUITES, *SYNC_SUITES, *NET_SUITES)]


class Scratch:
    """A copy of the tree as it is now, and its build."""

    def __init__(self, directory):
        self.tree = directory / "tree"
        self.build = self.tree / "build/dev"

    def prepare(self):
        listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT,
                                check=True, capture_output=True, text=True).stdout
        names = {name for name in listed.split("\0") if (ROOT / name).is_file()}
        for old in [path for path in self.tree.rglob("*") if path.is_file()]:
            name = str(old.relative_to(self.tree))
            if name not in names and not name.startswith("build/"):
                old.unlink()
        for name in names:
            # Only what differs, and with the time of now: a mutant that an interrupted run left
            # behind has objects that are newer than the file in ROOT.
            source, copy = ROOT / name, self.tree / name
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(source.read_bytes())
                shutil.copymode(source, copy)
        subprocess.run(["cmake", "--preset", "dev"], cwd=self.tree, check=True,
                       stdout=subprocess.DEVNULL)
        if (said := self.compile(EXPLORER)) is not None:
            sys.exit(f"error: the tree does not build without a mutant:\n{said}")
        if (failure := self.first_failure(EXPLORER)[0]) is not None:
            sys.exit(f"error: without a mutant, {failure}")

    def compile(self, suites):
        """Returns None, or the end of what the compiler said."""
        targets = sorted({suite.split()[0].split("/")[-1] for suite in suites})
        done = subprocess.run(["cmake", "--build", self.build, "--target", *targets],
                              capture_output=True, text=True)
        return None if done.returncode == 0 else done.stdout[-2000:]

    def first_failure(self, suites):
        """Returns (what failed or None, seconds of testing)."""
        start = time.monotonic()
        for suite in suites:
            name, *arguments = suite.split()
            program = self.build / "tests" / name
            done = run_with_limit([program, *(arguments or GTEST)])
            if done is None:
                return f"{program.name}: hangs", time.monotonic() - start
            if done.returncode != 0:
                return f"{program.name}: {what_failed(done)}", time.monotonic() - start
        return None, time.monotonic() - start


def run_with_limit(command):
    """Returns what became of it, or None if it had to be ended, with all that it had started.

    A death test of a mutant that spins has a child that holds the pipes, and would be waited for.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=SUITE_TIMEOUT_S)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def what_failed(done):
    """The case, or the scenario and what was said of it."""
    failed = re.search(r"^\[  FAILED  \] (\S+)", done.stdout, re.M)
    said = re.search(r"^(rearm|G\d|leak|deadlock|memory|queue|result|run|check|timers): .*",
                     done.stderr + done.stdout, re.M)
    scenario = re.search(r"^replay: explore --scenario (\S+)(?: --backend (\S+))?", done.stdout,
                         re.M)
    if failed:
        return failed[1].rstrip(",")
    if scenario:
        return f"{scenario[1]} {scenario[2] or ''}".strip() + (f": {said[0]}" if said else "")
    return said[0] if said else "crashes"


def suite_of(killer):
    """What to build and to run to see only that: `program: case`, or `explore: scenario ...`."""
    program, _, what = killer.partition(": ")
    every = [suite for stages in (EXPLORER, POLLER_SUITES, SCHED_SUITES, SYNC_SUITES, NET_SUITES,
                                  FAULTS, TESTING, OS_SUITES, RACES) for suite in stages]
    found = [suite for suite in every if suite.split()[0].endswith("/" + program)]
    if not found:
        return None
    if program == "explore":
        scenario, _, backend = what.split(":")[0].partition(" ")
        bound = " --bound 2" if scenario.startswith("workers/") else ""
        return (f"{found[0].split()[0]} --scenario {scenario}{bound}"
                + (f" --backend {backend}" if backend else ""))
    if re.fullmatch(r"[\w/]+\.[\w/]+", what):
        return f"{found[0]} --gtest_brief=1 --gtest_filter={what}"
    return found[0]


def plant(text, edits):
    """Returns the mutated text, or None if an edit does not apply exactly once."""
    for old, new in edits:
        if text.count(old) != 1:
            return None
        text = text.replace(old, new)
    return text


class Verdict:
    def __init__(self, text, is_well, seconds=0.0, killer=None, extent=None):
        self.text, self.is_well, self.seconds = text, is_well, seconds
        self.killer, self.extent = killer, extent


def judge(scratch, name, path, edits):
    file = scratch.tree / path
    original = file.read_text()
    mutated = plant(original, edits)
    if mutated is None:
        return Verdict("does not apply any more", False)
    stages = [(suites, "default") for suites in stages_for(path)]
    if not path.startswith(("src/net/", "src/testing/")):
        stages.append((RACES, "all"))
    if known := suite_of(KILLERS.get(name, ("", ""))[0]):
        stages.insert(0, ((known,), KILLERS[name][1]))
    file.write_text(mutated)
    seconds, failure = 0.0, None
    try:
        for suites, extent in stages:
            if scratch.compile(suites) is not None:
                return Verdict("does not compile", False)
            failure, took = scratch.first_failure(suites)
            seconds += took
            if failure is not None:
                break
    finally:
        file.write_text(original)
    if failure is not None:
        return Verdict(f"killed by {failure}", name not in EQUIVALENT, seconds, failure, extent)
    if name in EQUIVALENT:
        return Verdict("equivalent: " + EQUIVALENT[name], True, seconds)
    return Verdict("SURVIVED", False, seconds)


def print_table():
    """What docs/proof.md shows: see there."""
    print("| mutant | killed by | in | seconds |\n|---|---|---|---|")
    for name, *_ in MUTANTS:
        if name in KILLERS:
            killer, extent, seconds = KILLERS[name]
            command = "`scripts/test`" if extent == "default" else "`scripts/test --all`"
            killer = killer.replace("|", "\\|")
            print(f"| `{name}` | {killer} | {command} | {seconds:.1f} |")
        elif name in EQUIVALENT:
            print(f"| `{name}` | equivalent: {EQUIVALENT[name]} | | |")


def write_killers(found):
    """Keeps those that were not planted, or did not survive the removal of their name."""
    names = {name for name, *_ in MUTANTS}
    killers = {name: value for name, value in {**KILLERS, **found}.items() if name in names}
    lines = "".join(f"    {name!r}: (\n        {killers[name][0]!r},\n"
                    f"        {killers[name][1]!r}, {killers[name][2]!r}),\n"
                    for name in sorted(killers))
    (HERE / "killers.py").write_text(
        '"""What killed each mutant last: (program: case, the command that runs it, seconds).\n\n'
        'Written by `scripts/mutants --remember`; docs/proof.md has the same as a table.\n"""\n\n'
        f"KILLERS = {{\n{lines}}}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--share", type=int, metavar="N", help="every N-th of them, by the day")
    parser.add_argument("--list", action="store_true", help="print the names and do nothing")
    parser.add_argument("--table", action="store_true", help="print the table of docs/proof.md")
    parser.add_argument("--remember", action="store_true",
                        help="write into killers.py what killed each of them")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/mutants",
                        help="scratch directory (build/mutants)")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant[0] in options.names]
    unknown = set(options.names) - {mutant[0] for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    if options.share is not None:
        if options.share < 1:
            parser.error("--share: N is 1 or more")
        day = datetime.date.today().toordinal() % options.share
        chosen = [mutant for i, mutant in enumerate(chosen) if i % options.share == day]
    if options.list:
        print("\n".join(name for name, *_ in chosen))
        return 0
    if options.table:
        print_table()
        return 0

    sources = Inputs()
    for path in ("src", "include", "tests/base", "tests/poller", "tests/sched", "tests/sync",
                 "tests/net", "tests/os", "tests/testing", "tests/kit", "cmake",
                 "CMakePresets.json"):
        sources.add_file(ROOT / path)
    scratch, is_prepared = Scratch(options.build), False
    bad, times, late, found = 0, [], [], {}
    for name, path, what, edits in chosen:
        inputs = Inputs()
        inputs.add("sources", "", sources.digest())
        inputs.add("mutant", name, repr((path, edits)))
        stamp = Stamp(options.build / "stamps", name)
        if since := stamp.since(inputs.digest()):
            print(f"ok  {name:38} unchanged since {since}", flush=True)
            continue
        if not is_prepared:
            print("building the explorer without a mutant", flush=True)
            scratch.prepare()
            is_prepared = True
        verdict = judge(scratch, name, path, edits)
        bad += not verdict.is_well
        if verdict.is_well:
            stamp.put(inputs.digest())
        if verdict.killer:
            times.append(verdict.seconds)
            found[name] = (verdict.killer, verdict.extent, round(verdict.seconds, 1))
            late += [name] * (verdict.extent == "all")
            if options.remember:
                write_killers(found)
        print(f"{'ok ' if verdict.is_well else 'BAD'} {name:38} {verdict.seconds:6.1f} s  "
              f"{verdict.text}\n      {path}: {what}", flush=True)
    if times:
        print(f"median time to kill: {statistics.median(times):.1f} s")
    if late:
        print(f"killed by scripts/test --all alone: {', '.join(late)}")
    print(f"{len(chosen) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
