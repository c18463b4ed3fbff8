#!/usr/bin/env python3
"""Runs clang-tidy over what users compile from this tree: the library and the examples.

usage: clang_tidy.py ROOT BUILD [--all]

A room is one unit, as the development build compiles it, because most of a check's time goes into
the headers of the standard library. --all: each file by itself, and benchmarks and tests, too,
which takes twenty times as long. Each unit has a stamp of its own (see tests/tree/stamps/stamp.py):
all that the compiler has read for it, the compile command and the checks.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "stamps"))
from stamp import Inputs, Stamp  # noqa: E402

TIDY = "clang-tidy-19"
OURS = ("src", "examples")
ALL = (*OURS, "bench", "tests")


def compile_commands(root, build, directories):
    """Of each file the first command: that of the library, not of a copy that the tests compile."""
    first = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        home = root
        if path.is_relative_to(build):
            # Of what CMake writes, the units of rooms, in the room's place in the build.
            if path.parent.name != "Unity":
                continue
            home = build
        if path.is_relative_to(home) and path.relative_to(home).parts[0] in directories:
            first.setdefault(entry["file"], entry)
    return list(first.values())


def dependencies(build):
    """Output to the files that were read for it, as ninja has noted them."""
    listed = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True)
    read, output = {}, None
    for line in listed.stdout.splitlines():
        if match := re.match(r"(\S+): #deps \d+, .* \((VALID|STALE)\)", line):
            output = match[1]
            read[output] = []
        elif line.startswith("    ") and output is not None:
            read[output].append(build / line.strip())
    return read


class Checker:
    def __init__(self, root, build):
        self.root, self.build = root, build
        self.contents = {}
        self.read = dependencies(build)
        self.every_source = sorted([*root.glob("include/**/*.h"), *root.glob("src/**/*.h"),
                                    *root.glob("src/**/*.cc"), *root.glob("examples/*.h")])

    def digest(self, entry):
        inputs = Inputs()
        inputs.add("command", "", entry["command"])
        inputs.add_tool(TIDY)
        output = re.search(r" -o (\S+)", entry["command"])
        # Not compiled yet: whatever it may read.
        read = self.read.get(output[1] if output else None) or self.every_source
        # A header that is gone since the compilation is in nobody's way.
        for path in [self.root / ".clang-tidy", pathlib.Path(entry["file"]), *read]:
            if path not in self.contents:
                self.contents[path] = path.read_bytes() if path.is_file() else b""
            inputs.add("file", path, self.contents[path])
        return inputs.digest()

    def check(self, entry):
        """Returns (file, what clang-tidy said or None, whether it is unchanged)."""
        name = os.path.relpath(entry["file"], self.root)
        stamp = Stamp(self.build / "stamps", "tidy." + name)
        digest = self.digest(entry)
        if stamp.since(digest):
            return name, None, True
        stamp.remove()
        # The compile commands are GCC's: Clang does not know all of its warnings, and need not.
        done = subprocess.run(
            [TIDY, "-quiet", "-p", self.build / "tidy", "-extra-arg=-Wno-unknown-warning-option",
             "-extra-arg=-Wno-ignored-gch", "-checks=-bugprone-suspicious-include", entry["file"]],
            capture_output=True, text=True)
        if done.returncode != 0:
            return name, done.stdout + done.stderr, False
        stamp.put(digest)
        return name, None, False


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ["--all"]):
        sys.exit(__doc__)
    root, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    directories = OURS
    if sys.argv[3:] == ["--all"]:
        directories = ALL
        # The development build's own commands for tests are those of files put together.
        build = root / "build/tidy"
        subprocess.run(["cmake", "--preset", "dev", "-B", build, "-DREARM_UNITY=OFF",
                        "-DREARM_TEST_UNITY=OFF", "-DREARM_TEST_PRECOMPILE=OFF",
                        "-DREARM_BUILD_BENCH=ON"],
                       cwd=root, check=True, stdout=subprocess.DEVNULL)
    entries = compile_commands(root, build, directories)
    if not entries:
        sys.exit(f"{build} compiles none of the files")
    (build / "tidy").mkdir(exist_ok=True)
    (build / "tidy/compile_commands.json").write_text(json.dumps(entries))
    checker = Checker(root, build)
    bad = unchanged = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, said, is_unchanged in pool.map(checker.check, entries):
            unchanged += is_unchanged
            if said is not None:
                bad += 1
                print(f"---- {name}\n{said}", flush=True)
    print(f"{len(entries) - bad} units pass, {unchanged} of them unchanged since they last did; "
          f"{bad} do not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
