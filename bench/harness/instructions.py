"""The bench `instructions`: user instructions an act, counted by Valgrind, not timed.

A run of N acts is taken from a run of 2 N: what is left is the acts. The counts are the same on
every machine that has the same compiler and C library, so they stand in a file of the tree, and a
test holds every change against it.
"""

import collections
import json
import pathlib
import re
import subprocess
import tempfile

from . import children

# act: (how often, requests each time, what is counted)
ACTS = {
    "echo_1": (400, 1, "a request, 1 connection"),
    "echo_64": (20, 64, "a request, 64 connections"),
    "echo_1000": (4, 1000, "a request, 1,000 connections"),
    "echo_64_deadline": (20, 64, "a request, 64 connections, a deadline on each read"),
    "yield": (4000, 1, "a yield"),
    "park_unpark": (4000, 1, "a park and an unpark"),
    "spawn_join": (2000, 1, "a spawn and a join"),
    "timer_set_cancel": (4000, 1, "a timer set and cancelled"),
}
MUSTS = {"echo_1": 750, "echo_64": 520, "echo_1000": 540}
HEAD = ["act", "instructions", "recorded", "locked", "recorded", "of it outside"]
GROWTH_MAX = 1.02
RECORD = pathlib.Path(__file__).resolve().parent.parent / "instructions.json"


class Counts:
    """What one run executed: {(object file, address): times}."""

    def __init__(self, lines):
        self.times = collections.Counter()
        self.functions = {}  # The function at each place.
        place, function, is_call = "", "", False
        for line in lines:
            key, _, value = line.partition("=")
            if key == "ob":
                place = value.strip()
            elif key == "fn":
                function = value.strip()
            elif key == "calls":
                is_call = True  # The next line is what the callee took, which is counted there.
            elif line.startswith("0x"):
                address, _, times = line.split()
                if not is_call:
                    at = (place, int(address, 16))
                    self.times[at] += int(times)
                    self.functions[at] = function
                is_call = False

    def minus(self, other):
        self.times.subtract(other.times)
        return self


def _locked_addresses(program):
    """Where a program has instructions that lock: also by an exchange with memory."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program],
                          capture_output=True, text=True, timeout=120, check=True).stdout
    locked = re.compile(r"^\s*([0-9a-f]+):\s+(?:lock\b|xchg\s+.*\()", re.MULTILINE)
    return {int(address, 16) for address in locked.findall(text)}


def _count(program, act, times):
    with tempfile.TemporaryDirectory() as directory:
        children.run(
            ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-pos=no",
             "--compress-strings=no", f"--callgrind-out-file={directory}/counts",
             program, act, times],
            timeout_s=300)
        # One file: what the program starts is not counted.
        (path,) = pathlib.Path(directory).iterdir()
        with open(path, encoding="utf-8", errors="replace") as file:
            return Counts(file)


def run(program, acts=tuple(ACTS)):
    """{act: {"instructions", "locked", "outside", "functions"}}, each for one act."""
    locked_addresses = {str(program): _locked_addresses(program)}
    results = {}
    for act in acts:
        times, requests, _ = ACTS[act]
        counts = _count(program, act, 2 * times).minus(_count(program, act, times))
        made = times * requests
        locked, outside = 0, 0
        functions = collections.Counter()
        for (place, address), executed in counts.times.items():
            if executed == 0:
                continue
            if place.startswith("/") and place not in locked_addresses:
                locked_addresses[place] = _locked_addresses(place)
            if address in locked_addresses.get(place, ()):
                locked += executed
            if place != str(program):
                outside += executed
            functions[counts.functions.get((place, address), "?")] += executed
        results[act] = {
            "instructions": round(sum(counts.times.values()) / made, 1),
            "locked": round(locked / made, 2),
            "outside": round(outside / made, 1),
            "functions": {name: round(executed / made, 1)
                          for name, executed in functions.most_common(25) if executed > made},
        }
    return results


def short(function):
    """A name without its template arguments and parameters."""
    name = re.sub(r"\'\d+$", "", function)
    while (shorter := re.sub(r"<[^<>]*>|\([^()]*\)|\{[^{}]*\}", "", name)) != name:
        name = shorter
    return name.split(" ")[-1] or function


def tools(compiler):
    """What the counts depend on."""
    libc = subprocess.run(["ldd", "--version"], capture_output=True, text=True, timeout=10,
                          check=True).stdout.splitlines()[0]
    return {"compiler": compiler, "libc": libc}


def read_record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


def write_record(results, of_tools):
    acts = {act: {"instructions": each["instructions"], "locked": each["locked"]}
            for act, each in results.items()}
    RECORD.write_text(json.dumps({"tools": of_tools, "acts": acts}, indent=1) + "\n",
                      encoding="utf-8")


def rows(results, record):
    table = []
    for act, result in results.items():
        before = record["acts"].get(act, {})
        table.append([ACTS[act][2], f"{result['instructions']:,.1f}",
                      f"{before.get('instructions', 0):,.1f}", f"{result['locked']:,.2f}",
                      f"{before.get('locked', 0):,.2f}", f"{result['outside']:,.1f}"])
    return table


def check(report, results):
    for act, most in MUSTS.items():
        value = results[act]["instructions"]
        report.check(f"user instructions {ACTS[act][2]}", f"≤ {most}", value, value <= most)


def grown(results, record):
    """{act: a sentence} of those that cost more than is recorded, or less: an old record."""
    sentences = {}
    for act, result in results.items():
        before = record["acts"][act]
        for what in ("instructions", "locked"):
            is_less = result[what] * GROWTH_MAX < before[what]
            if result[what] > before[what] * GROWTH_MAX or is_less:
                sentences[act] = (
                    f"{ACTS[act][2]}: {result[what]:,} {what}, {before[what]:,} recorded" +
                    (": lower the record, so that it guards what was won" if is_less else ""))
    return sentences
