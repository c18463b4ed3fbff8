#!/usr/bin/env python3
"""What came of one ctest run: counts, in cases, and what the failed tests wrote.

usage: report.py JUNIT TALLY

Prints what each failed test wrote and, as the last line, `passed failed skipped`. A program of
GoogleTest is one ctest test of many cases: those that it counted itself stand in TALLY (see
tests/kit/support/run_cases.py); every other test counts as one.
"""

import pathlib
import sys
import xml.etree.ElementTree

MOST_LINES = 150  # Of one test's output.


def read_tally(path):
    """Name to [passed, failed, skipped]; the latest line counts."""
    counts = {}
    if path.exists():
        for line in path.read_text().splitlines():
            name, *numbers = line.split()
            counts[name] = list(map(int, numbers))
    return counts


def main():
    junit, tally = map(pathlib.Path, sys.argv[1:])
    counted = read_tally(tally)
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(junit).getroot().iter("testcase"):
        name, status = case.get("name"), case.get("status")
        if status == "fail":
            lines = (case.findtext("system-out") or "").strip().splitlines()
            print(f"==== {name}: failed")
            if len(lines) > MOST_LINES:
                print(f"[... {len(lines) - MOST_LINES} lines ...]")
            print("\n".join(lines[-MOST_LINES:]))
        numbers = counted.get(name)
        if numbers is not None and (status == "fail") == (numbers[1] > 0):
            passed, failed, skipped = (a + b for a, b in zip((passed, failed, skipped), numbers))
        elif status == "fail":  # It ended before it had counted, or after.
            failed += 1
        elif status == "run":
            passed += 1
        else:
            skipped += 1
    print(passed, failed, skipped)


if __name__ == "__main__":
    main()
