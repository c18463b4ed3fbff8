#!/usr/bin/env python3
"""Plants each mutant in a copy of the tree, builds it, and runs the suites that should notice.

usage: scripts/mutants [--tenth] [--build DIR] [NAME...]

Prints who killed each mutant and after how many seconds of testing. Exit status 1 if one survived
that is not known to be equivalent, or if one does not apply any more.
"""

import argparse
import datetime
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from mutants import EQUIVALENT, MUTANTS  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
SUITE_TIMEOUT_S = 90
GTEST = ("--gtest_brief=1", "--gtest_fail_fast")
# A program of GoogleTest, or a program with its arguments.
EXPLORER = ("kit/explore/explore --group pairs", "kit/explore/explore --group words",
            "kit/explore/explore --group workers --bound 2")
POLLER_SUITES = ("base/base_test", "poller/poller_test", "poller/poll_backend_test",
                 "kit/emulation/emulation_test",
                 "kit/race/rearm_order_test", "kit/race/event_port_race_test",
                 "kit/race/wait_race_test",
                 "kit/race/close_race_test", "kit/race/report_race_test", "kit/race/wake_race_test",
                 "poller/conformance_test", "sched/sched_test", "net/net_test")
SCHED_SUITES = ("sched/sched_test", "sched/sched_stress_test", "net/net_stress_test",
                "net/net_test", "kit/faults/memory_test")
FAULTS = ("kit/faults/faults_test", "kit/faults/memory_test")
TESTING = ("testing/testing_test",)


def stages_for(path):
    """Groups of suites; the next one is built only for a mutant that survives."""
    stages = [] if path.startswith("src/poller/backend_") else [EXPLORER]
    if path.startswith(("src/testing/", "src/sched/control")):
        return [TESTING]
    if path.startswith("src/sched/"):
        return [*stages, SCHED_SUITES, TESTING]
    if path.startswith("src/net/"):
        return [FAULTS, ("net/net_test", "net/net_stress_test")]
    return [*stages, FAULTS, POLLER_SUITES[:-2], POLLER_SUITES[-2:]]


class Scratch:
    """A copy of the tree as it is now, and its build."""

    def __init__(self, directory):
        self.tree = directory / "tree"
        self.build = directory / "build"

    def prepare(self):
        listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT,
                                check=True, capture_output=True, text=True).stdout
        names = {name for name in listed.split("\0") if (ROOT / name).is_file()}
        for old in [path for path in self.tree.rglob("*") if path.is_file()]:
            if str(old.relative_to(self.tree)) not in names:
                old.unlink()
        for name in names:
            # Only what differs, and with the time of now: a mutant that an interrupted run left
            # behind has objects that are newer than the file in ROOT.
            source, copy = ROOT / name, self.tree / name
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(source.read_bytes())
                shutil.copymode(source, copy)
        subprocess.run(["cmake", "-S", self.tree, "-B", self.build, "-G", "Ninja",
                        "-DCMAKE_BUILD_TYPE=Debug", "-DREARM_BUILD_BENCH=OFF",
                        "-DREARM_BUILD_EXAMPLES=OFF", "-DREARM_TREE_CHECKS=OFF"],
                       check=True, stdout=subprocess.DEVNULL)
        if self.compile(EXPLORER) is not None:
            sys.exit("error: the tree does not build without a mutant")
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
            try:
                done = subprocess.run([program, *(arguments or GTEST)], capture_output=True,
                                      text=True, errors="replace", timeout=SUITE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                return f"{program.name}: hangs", time.monotonic() - start
            if done.returncode != 0:
                failed = re.search(r"^\[  FAILED  \] (\S+)", done.stdout, re.M)
                said = re.search(r"^(rearm|G\d|leak|deadlock|memory|queue|result|run|check): .*",
                                 done.stderr + done.stdout, re.M)
                what = failed or said
                name = what.group(1 if failed else 0).rstrip(",") if what else "crashes"
                return f"{program.name}: {name}", time.monotonic() - start
        return None, time.monotonic() - start


def plant(text, edits):
    """Returns the mutated text, or None if an edit does not apply exactly once."""
    for old, new in edits:
        if text.count(old) != 1:
            return None
        text = text.replace(old, new)
    return text


def judge(scratch, name, path, edits):
    """Returns (verdict, whether that is well, seconds)."""
    file = scratch.tree / path
    original = file.read_text()
    mutated = plant(original, edits)
    if mutated is None:
        return "does not apply any more", False, 0
    file.write_text(mutated)
    seconds = 0
    try:
        for suites in stages_for(path):
            if scratch.compile(suites) is not None:
                return "does not compile", False, 0
            failure, took = scratch.first_failure(suites)
            seconds += took
            if failure is not None:
                break
    finally:
        file.write_text(original)
    if failure is not None:
        return f"killed by {failure}", name not in EQUIVALENT, seconds
    if name in EQUIVALENT:
        return "equivalent: " + EQUIVALENT[name], True, seconds
    return "SURVIVED", False, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--tenth", action="store_true", help="a tenth of them, by the day")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/mutants",
                        help="scratch directory (build/mutants)")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant[0] in options.names]
    unknown = set(options.names) - {mutant[0] for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    if options.tenth:
        day = datetime.date.today().toordinal()
        chosen = [mutant for i, mutant in enumerate(chosen) if i % 10 == day % 10]

    scratch = Scratch(options.build)
    print("building the explorer without a mutant", flush=True)
    scratch.prepare()
    bad, times = 0, []
    for name, path, what, edits in chosen:
        verdict, well, seconds = judge(scratch, name, path, edits)
        bad += not well
        if verdict.startswith("killed"):
            times.append(seconds)
        print(f"{'ok ' if well else 'BAD'} {name:38} {seconds:6.1f} s  {verdict}\n"
              f"      {path}: {what}", flush=True)
    if times:
        print(f"median time to kill: {statistics.median(times):.1f} s")
    print(f"{len(chosen) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
