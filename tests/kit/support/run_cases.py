#!/usr/bin/env python3
"""Runs the cases of a GoogleTest program in one process, and names each that fails.

usage: run_cases.py [--name NAME] [--shard I/N] [--filter FILTER] [--timeout SECONDS] PROGRAM

One process, because to start one for each case costs more than most cases do. What isolation is
good for is kept for the moment when it is needed: a case that crashes or hangs is named, the cases
after it run in a new process, and a case that failed is run once more by itself, which says whether
it was its own fault. (It counts as failed in any case.)

Prints what the failed cases wrote, and nothing of the others; the last line is
`N passed, N failed`, counted in cases. The exit status is 1 if a case failed.

REARM_TEST_CASES, a regular expression, leaves only the cases whose name (program.Suite.Case)
matches. REARM_TEST_TALLY names a file to which a line is added: name, passed, failed, skipped.
"""

import argparse
import os
import pathlib
import re
import selectors
import signal
import subprocess
import sys
import time

BEGIN = re.compile(r"\[ RUN      \] (\S+)")
END = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?),?(?: where .*)? \(\d+ ms\)")
MOST_LINES = 200  # Of one case's output.
MOST_ALONE = 5  # Cases that are run once more by themselves.


def cases_of(program, gtest_filter):
    """The names that the program lists, in its order."""
    command = [program, "--gtest_list_tests"]
    if gtest_filter:
        command.append(f"--gtest_filter={gtest_filter}")
    listed = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)
    if listed.returncode != 0:
        sys.exit(f"{program}: cannot list its tests: status {listed.returncode}\n"
                 f"{listed.stdout}{listed.stderr}")
    names, suite = [], None
    for line in listed.stdout.splitlines():
        text = line.split("  #")[0].rstrip()
        if re.fullmatch(r"[\w/]+\.", text):
            suite = text
        elif suite and re.fullmatch(r"  [\w/]+", text):
            names.append(suite + text.strip())
    return names


class Run:
    """One process that goes through cases, and what came of them."""

    def __init__(self, program, cases, timeout):
        self.passed, self.failed, self.skipped = [], {}, []  # failed: name to output
        self.open_case, self.output, self.rest = None, [], []
        self.timeout = timeout
        process = subprocess.Popen(
            [program, "--gtest_color=no", "--gtest_filter=" + ":".join(cases)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True)
        self.has_hung = not self.follow(process)
        status = process.wait()
        if self.open_case is not None:
            if self.has_hung:
                end = f"hangs: it has not ended after {timeout:g} s"
            elif status < 0:
                end = f"crashes: {signal.Signals(-status).name}"
            else:
                end = f"ends the process, with status {status}"
            self.failed[self.open_case] = [*self.output, end]
        self.ended_badly = status != 0 and not self.failed
        self.status = status

    def follow(self, process):
        """Reads until the process ends. False: a case took too long, and the process was ended."""
        last_event = time.monotonic()
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                left = last_event + self.timeout - time.monotonic()
                if left <= 0:
                    self.line(pending)
                    end(process)
                    return False
                if not selector.select(left):
                    continue
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if self.line(line):
                        last_event = time.monotonic()
        self.line(pending)
        return True

    def line(self, raw):
        """Returns whether a case began or ended with the line."""
        text = raw.decode(errors="backslashreplace")
        if begin := BEGIN.search(text):
            self.open_case, self.output, self.rest = begin[1], [], []
            return True
        # A case's own output may stand before it in the line.
        finish = END.search(text)
        if finish and finish[2] == self.open_case:
            self.output.append(text)
            if finish[1] == "OK":
                self.passed.append(self.open_case)
            elif finish[1] == "SKIPPED":
                self.skipped.append(self.open_case)
            else:
                self.failed[self.open_case] = self.output
            self.open_case, self.output = None, []
            return True
        (self.output if self.open_case else self.rest).append(text)
        return False


def end(process):
    """Aborts the process and what it has started; a core file may say where it was."""
    for number in (signal.SIGABRT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5)
        except (ProcessLookupError, PermissionError):
            return
        except subprocess.TimeoutExpired:
            continue


def show(name, lines):
    print(f"---- {name}")
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"[... {len(lines) - MOST_LINES} lines ...]", *lines[-half:]]
    print("\n".join(lines), flush=True)


def run_all(program, cases, timeout):
    """Returns (passed, failed, skipped), lists of names, and shows what failed."""
    passed, failed, skipped = [], [], []
    left = cases
    while left:
        run = Run(program, left, timeout)
        passed += run.passed
        skipped += run.skipped
        failed += run.failed
        for name, lines in run.failed.items():
            show(name, lines)
        if run.ended_badly:
            show(f"{program.name}, after its cases", [*run.rest, f"status {run.status}"])
            failed.append(f"({program.name} itself)")
        seen = {*run.passed, *run.failed, *run.skipped}
        if not seen:
            if not run.ended_badly:
                show(f"{program.name} ran none of its cases", run.rest)
                failed.append(f"({program.name} itself)")
            break
        left = [name for name in left if name not in seen]
    return passed, failed, skipped


def run_alone(program, failed, timeout):
    """Says of each whether it also fails by itself."""
    for name in failed[:MOST_ALONE]:
        if name.startswith("("):
            continue
        again = Run(program, [name], timeout)
        does = "fails, too" if again.failed or again.ended_badly else "passes"
        print(f"{name}: by itself it {does}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--name", help="in the output; the program's by default")
    parser.add_argument("--shard", default="1/1", help="I/N: each N-th case, from the I-th on")
    parser.add_argument("--filter", default="", help="GoogleTest's")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for one case")
    options = parser.parse_args()
    name = options.name or options.program.name
    index, count = map(int, options.shard.split("/"))
    try:
        listed = cases_of(options.program, options.filter)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"{options.program}: {error}")
    if not listed:
        sys.exit(f"{options.program}: it has no cases")
    cases = listed[index - 1::count]
    if pattern := os.environ.get("REARM_TEST_CASES"):
        cases = [case for case in cases if re.search(pattern, f"{name}.{case}")]
    disabled = [case for case in cases if re.search(r"(^|[./])DISABLED_", case)]

    passed, failed, skipped = run_all(
        options.program, [case for case in cases if case not in disabled], options.timeout)
    skipped += disabled
    run_alone(options.program, failed, options.timeout)
    for case in failed:
        print(f"FAILED {name}.{case}")
    for case in skipped:
        print(f"skipped {name}.{case}")
    if tally := os.environ.get("REARM_TEST_TALLY"):
        with open(tally, "a") as file:
            file.write(f"{name} {len(passed)} {len(failed)} {len(skipped)}\n")
    print(f"{len(passed)} passed, {len(failed)} failed"
          + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
