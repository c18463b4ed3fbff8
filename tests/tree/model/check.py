#!/usr/bin/env python3
"""Checks docs/model/descriptor.pml with Spin.

usage: check.py list
       check.py MODEL WORK (safety | liveness) (edge | forgetting)
       check.py MODEL WORK without GUARD

`list` prints the guards, separated by semicolons. `without` passes only if Spin finds that the
promise breaks which the guard is there to keep. Everything is written below WORK. Exits with 77
where there is no Spin or no C compiler. docs/model/README.md explains the tables below.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

SKIPPED = 77
KERNELS = {"edge": [], "forgetting": ["FORGETTING"]}

# Each run is exhaustive. One of them has both a second closer and a second life.
SAFETY = [["CLOCK"], ["SETTER"], ["SECOND_CLOSER", "REUSE"], ["TROUBLE"]]
# Guards that others make unnecessary: the search without them passes as well.
IMPLIED = {
    "edge": [],
    "forgetting": [["REUSE", "NO_ARM_GENERATION"], ["REUSE", "NO_CLOSED_FOR_GOOD"]],
}

LIVENESS = [
    ("g2_g5_reader", ["REUSE"]),
    ("g2_g5_reader", ["CLOCK", "KEEP_OPEN"]),
    ("g2_g5_reader", ["SETTER", "KEEP_OPEN"]),
    ("g5_g6_writer", ["REUSE"]),
    ("g4_number", ["REUSE"]),
]
# Claims that could not fail would prove nothing: (claim, a guard without which it must fail).
AWAKE = {
    "edge": [
        ("g2_g5_reader", "NO_COMMIT_RECHECK"),
        ("g5_g6_writer", "NO_COMMIT_RECHECK"),
        ("g4_number", "NO_CLOSED_FOR_GOOD"),
    ],
    "forgetting": [
        ("g2_g5_reader", "NO_REARM"),
        ("g5_g6_writer", "NO_REARM"),
        ("g4_number", "NO_COMMIT_RECHECK"),
    ],
}

BOTH = ["edge", "forgetting"]
ARMED_LATE = "G1: a descriptor was associated after its close"
# guard: (kernels that need it, what else is defined, the promise that breaks first)
GUARDS = {
    "NO_CLOSING_CHECK": (["forgetting"], [], ARMED_LATE),
    "NO_REARM_LOCK": (["forgetting"], [], ARMED_LATE),
    "NO_ARM_CLOSING_CHECK": (["forgetting"], [], ARMED_LATE),
    "NO_ARM_LOCK": (["forgetting"], [], ARMED_LATE),
    "NO_DISCONNECT_LOCK": (["forgetting"], [], ARMED_LATE),
    "CLOSE_BEFORE_REMOVE": (BOTH, [], "G1: a number was removed after it was closed"),
    "NO_ONE_CLOSE_WINS": (
        BOTH, ["SECOND_CLOSER"], "G1: a number was removed after it was closed"),
    "COMMIT_BEFORE_SWITCH": (
        BOTH, [], "G2: a fiber was woken that was still on its stack"),
    "NO_PUBLISH_RECHECK": (BOTH, ["CLOCK"], "G2: a waiter was woken twice"),
    "NO_TIMER_LOCK": (
        BOTH, ["CLOCK", "KEEP_OPEN"], "G2: a wait without a deadline timed out"),
    "WITHDRAW_BEFORE_STORE": (
        BOTH, ["SETTER"], "G2: a waiter sleeps though its deadline was changed"),
    "NO_CLOSED_FOR_GOOD": (
        ["edge"], [], "G2: a waiter sleeps though its descriptor is closed"),
    "NO_REPORT_GENERATION": (
        BOTH, ["REUSE"], "G3: a report of an earlier life acted on a later one"),
    "NO_REARM_GENERATION": (
        ["forgetting"], ["REUSE"], "G3: a report of an earlier life armed a later one"),
    "NO_ENTER_GENERATION": (
        BOTH, ["REUSE"], "G4: a system call met another file under its number"),
    "NO_OPERATION_REF": (BOTH, [], "G4: a number was closed under an operation"),
    "NO_COMMIT_RECHECK": (
        BOTH, ["KEEP_OPEN"], "G5: the (reader missed its data|writer missed its room)"),
    "PUBLISH_BEFORE_REARM": (
        ["forgetting"], ["KEEP_OPEN"], "G5: the (reader missed its data|writer missed its room)"),
    "NO_REARM": (
        ["forgetting"], ["KEEP_OPEN"], "G6: a report for (reading|writing) cost the .* wake-up"),
    "NO_WAKE_ON_REFUSAL": (
        ["forgetting"], ["KEEP_OPEN", "TROUBLE"],
        "G6: a report for (reading|writing) cost the .* wake-up"),
    "WAKE_UNDER_LOCK": (BOTH, [], "G7: a waiter was woken under the lock"),
}
SETTINGS = {"FORGETTING", "FOREVER", "REUSE", "CLOCK", "SETTER", "SECOND_CLOSER", "TROUBLE",
            "KEEP_OPEN", "NO_ARM_GENERATION"}

MEMORY_MB = 3000
DEPTH = 1000000
TRAIL_LINES = 100

SAFETY_FLAGS = ["-O2", "-DSAFETY", "-DCOLLAPSE"]
# Breadth first: the shortest way to the error. It is near, so the compiler's time counts.
SHORTEST_FLAGS = ["-O0", "-DSAFETY", "-DBFS"]
LIVENESS_FLAGS = ["-O2", "-DNFAIR=3", "-DCOLLAPSE"]


class Failed(Exception):
    pass


class Search:
    """One verifier, generated with some defines and run once; `output` is what it said."""

    def __init__(self, model, work, defines, flags, claim=None):
        self.defines = [f"-D{define}" for define in defines]
        self.name = " ".join(filter(None, [claim, *defines])) or "(plain)"
        self.work = work / re.sub(r"\W+", "-", self.name)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        shutil.copy(model, self.work / "descriptor.pml")
        started = time.monotonic()
        self.call("spin", "-a", *self.defines, "descriptor.pml")
        self.call(compiler(), "-w", f"-DMEMLIM={MEMORY_MB}", *flags, "-o", "pan", "pan.c")
        arguments = ["-a", "-f", "-N", claim] if claim else []
        self.output = self.call("./pan", f"-m{DEPTH}", "-w22", *arguments)
        self.seconds = time.monotonic() - started
        found = re.search(r"errors: (\d+)\n\s*(\S+) states, stored", self.output)
        if not found:
            raise Failed(f"{self.name}: the verifier did not end its search:\n{self.output}")
        self.errors, self.states = int(found[1]), int(float(found[2]))
        memory = re.search(r"([\d.]+)\s+total actual memory", self.output)
        print(f"{self.name}: {self.errors} errors, {self.states} states, {self.seconds:.1f} s, "
              f"{float(memory[1]) if memory else 0:.0f} MB", flush=True)

    def call(self, *command):
        result = subprocess.run(command, cwd=self.work, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        # Spin says what is wrong with a model and exits with 0 all the same.
        if result.returncode != 0 or re.search(r"spin: .*Error", result.stdout):
            raise Failed(f"{self.name}: {' '.join(command)} failed:\n{result.stdout}")
        return result.stdout

    def require_complete(self):
        for sign in ("max search depth too small", "Search not completed", "MEMLIM"):
            if sign in self.output:
                raise Failed(f"{self.name}: not exhaustive: {sign}\n{self.output}")

    def trail(self):
        """The steps to the error and the state there, in readable form."""
        result = subprocess.run(["spin", "-t", "-p", *self.defines, "descriptor.pml"],
                                cwd=self.work, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        return result.stdout

    def tail(self):
        steps = [line for line in self.trail().splitlines()
                 if not re.search(r"\[(IF|\.\(goto\)|goto .*|else|\(1\)|D_STEP\d*)\]$", line)]
        return "\n".join(steps[-TRAIL_LINES:])

    def require_healthy(self):
        if self.errors != 0:
            raise Failed(f"{self.name}: a promise is broken. The last steps:\n{self.tail()}")
        self.require_complete()

    def broken_promise(self):
        said = re.findall(r"^\s*broken: (.*)$", self.trail(), flags=re.MULTILINE)
        return said[-1] if said else None

    def unreached(self):
        """The statements that no run came to, but those that complain, as (process, line, text)."""
        process, found = None, set()
        for line in self.output.splitlines():
            if line.startswith("unreached in"):
                process = line.split()[-1]
            elif match := re.match(r'\s+.*descriptor\.pml:(\d+), state \d+, "(.*)"', line):
                if "broken:" not in match[2] and match[2] != "-end-":
                    found.add((process, int(match[1]), match[2]))
        return found


def compiler():
    return os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)


def safety(model, work, kernel):
    unreached = []
    for defines in SAFETY:
        search = Search(model, work, KERNELS[kernel] + defines, SAFETY_FLAGS)
        search.require_healthy()
        unreached.append(search.unreached())
    for defines in IMPLIED[kernel]:
        Search(model, work, KERNELS[kernel] + defines, SAFETY_FLAGS).require_healthy()
    if never := set.intersection(*unreached):
        lines = "\n".join(f"  {process}, line {line}: {text}" for process, line, text in never)
        raise Failed(f"no run comes to these steps, so they prove nothing:\n{lines}")


def liveness(model, work, kernel):
    for claim, defines in LIVENESS:
        defines = ["FOREVER", *KERNELS[kernel], *defines]
        Search(model, work, defines, LIVENESS_FLAGS, claim).require_healthy()
    for claim, guard in AWAKE[kernel]:
        defines = ["FOREVER", *KERNELS[kernel], guard]
        search = Search(model, work, defines, LIVENESS_FLAGS, claim)
        if search.errors == 0 or "acceptance cycle" not in search.output:
            raise Failed(f"{search.name}: the claim holds without the guard:\n{search.output}")


def without(model, work, guard):
    kernels, defines, promise = GUARDS[guard]
    for kernel in kernels:
        search = Search(model, work, [*KERNELS[kernel], *defines, guard], SHORTEST_FLAGS)
        if search.errors == 0:
            raise Failed(f"{search.name}: no promise broke:\n{search.output}")
        broken = search.broken_promise()
        if broken is None or not re.fullmatch(promise, broken):
            raise Failed(f"{search.name}: expected '{promise}', but Spin says '{broken}'.\n"
                         f"{search.tail()}")
        steps = re.search(r"assertion violated.*at depth (\d+)", search.output)
        print(f"  after {steps[1] if steps else '?'} steps: {broken}")


def require_known_defines(model):
    """A guard that the model spells differently would be taken out of nothing."""
    text = model.read_text(encoding="utf-8")
    asked = set(re.findall(r"^#ifn?def (\w+)", text, flags=re.MULTILINE))
    asked |= set(re.findall(r"defined\((\w+)\)", text))
    if asked != SETTINGS | GUARDS.keys():
        raise Failed(f"model and tables differ: {sorted(asked ^ (SETTINGS | GUARDS.keys()))}")


def main(arguments):
    if arguments == ["list"]:
        print(";".join(sorted(GUARDS)), end="")
        return 0
    if len(arguments) != 4 or arguments[2] not in ("safety", "liveness", "without"):
        sys.exit(__doc__)
    for tool, what in ((shutil.which("spin"), "Spin (the package spin)"),
                       (compiler(), "C compiler")):
        if tool is None:
            print(f"skipped: there is no {what}")
            return SKIPPED
    model, work = Path(arguments[0]).resolve(), Path(arguments[1]).resolve()
    try:
        require_known_defines(model)
        check = {"safety": safety, "liveness": liveness, "without": without}[arguments[2]]
        check(model, work, arguments[3])
    except Failed as failure:
        print(failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
