#!/usr/bin/env python3
"""Fails when an act costs more user instructions, or more locked ones, than is recorded.

usage: instructions_test.py SOURCE-DIRECTORY BUILD-DIRECTORY PROGRAM
"""

import pathlib
import sys

ROOT, BUILD, PROGRAM = (pathlib.Path(word) for word in sys.argv[1:])
sys.path.insert(0, str(ROOT / "bench"))

from harness import instructions, machine  # noqa: E402

SKIPPED = 77
# A busy machine stretches a run, and then the scheduler reads its clock more often.
TRIES = 3


def main():
    record = instructions.read_record()
    tools = instructions.tools(machine.describe(ROOT, BUILD)["compiler"])
    if tools != record["tools"]:
        print(f"skipped: the record is of {record['tools']}, and this is {tools}")
        return SKIPPED
    acts = tuple(instructions.ACTS)
    for _ in range(TRIES):
        results = instructions.run(PROGRAM, acts)
        for row in [instructions.HEAD, *instructions.rows(results, record)]:
            print("\t".join(row))
        grown = instructions.grown(results, record)
        if not grown:
            return 0
        acts = tuple(grown)
    for sentence in grown.values():
        print(sentence)
    print("If it is worth it: scripts/bench instructions --record, and say why in the commit.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
