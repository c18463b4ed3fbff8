#!/usr/bin/env python3
"""Looks whether what runs in a child can call anything outside of its file.

usage: child_calls_nothing.py NM OBJECT...

Of the objects of the room, plan_run.cc's holds all that a child runs before its exec. What it does
not refer to it cannot call: no malloc, no lock, no errno, no sanitizer.
"""

import re
import subprocess
import sys

# What a compiler puts in by itself, and what a sanitizer's constructor of the file calls at the
# program's start.
HARMLESS = re.compile(
    r"_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|mem(set|cpy)|__(asan|tsan)_(init|version_mismatch\w*|"
    r"(un)?register_\w+)|__(start|stop)_asan_globals|___asan_globals_registered|__gcov\w*|"
    r"__llvm_\w+")


def main():
    nm = sys.argv[1]
    objects = [name for name in sys.argv[2:] if "plan_run" in name]
    if len(objects) != 1:
        sys.exit(f"expected one object of plan_run.cc, not {objects}")
    listed = subprocess.run([nm, "--undefined-only", objects[0]], check=True, capture_output=True,
                            text=True).stdout
    names = [line.split()[-1] for line in listed.splitlines()]
    bad = sorted(name for name in names if not HARMLESS.fullmatch(name))
    for name in bad:
        print(f"a child could call {name}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
