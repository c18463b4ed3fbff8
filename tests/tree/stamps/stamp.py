#!/usr/bin/env python3
"""Runs a check that is a function of its inputs, unless it has passed with the same ones before.

usage: stamp.py --dir DIR --name NAME [--file PATH]... [--tool PROGRAM]... [--env NAME]... --
                COMMAND...

The stamp is the SHA-256 of everything that the result depends on: the command, the contents of the
files (of a directory, all below it), size and time of the programs, the values of the variables,
and the system's list of installed packages, which stands for its headers and libraries. If it is
that of the last run that passed, "unchanged since ..." is printed and the exit status is 0. A check
that fails or is skipped leaves no stamp.

REARM_STAMPS=ignore runs the command in any case. An input that does not exist is an error.
"""

import argparse
import datetime
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

# A package that is installed or upgraded makes every stamp void, rather than one too few.
PACKAGES = pathlib.Path("/var/lib/dpkg/status")


class Inputs:
    """A hash of named things: what is added twice, or in another order, is another hash."""

    def __init__(self):
        self.sum = hashlib.sha256()
        if PACKAGES.exists():
            self.add_file(PACKAGES)

    def add(self, kind, name, value):
        for part in (kind, name, value):
            data = part if isinstance(part, bytes) else str(part).encode()
            self.sum.update(len(data).to_bytes(8, "big") + data)

    def add_file(self, path):
        path = pathlib.Path(path)
        if path.is_dir():
            for below in sorted(path.rglob("*")):
                if below.is_file() and "__pycache__" not in below.parts:
                    self.add_file(below)
        else:
            self.add("file", path, path.read_bytes())

    def add_tool(self, program):
        found = shutil.which(program)
        if found is None:
            self.add("tool", program, "missing")
            return
        path = pathlib.Path(found).resolve()
        state = path.stat()
        self.add("tool", program, f"{path} {state.st_size} {state.st_mtime_ns}")

    def digest(self):
        return self.sum.hexdigest()


class Stamp:
    """What the last run that passed left behind."""

    def __init__(self, directory, name):
        self.path = pathlib.Path(directory) / name.replace("/", "_")

    def since(self, digest):
        """When and at which commit the check has passed with these inputs; None if it has not."""
        if os.environ.get("REARM_STAMPS") == "ignore" or not self.path.exists():
            return None
        stamped, _, since = self.path.read_text().strip().partition(" ")
        return since if stamped == digest else None

    def put(self, digest):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"{digest} {now_and_here()}\n")

    def remove(self):
        self.path.unlink(missing_ok=True)


def now_and_here():
    now = datetime.datetime.now().isoformat(" ", "minutes")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return f"{now}, commit {commit.stdout.strip()}" if commit.returncode == 0 else now


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--tool", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    inputs = Inputs()
    inputs.add("command", "", "\0".join(options.command))
    for path in options.file:
        try:
            inputs.add_file(path)
        except OSError as error:
            sys.exit(f"{options.name}: an input cannot be read: {error}")
    for program in options.tool:
        inputs.add_tool(program)
    for name in options.env:
        inputs.add("env", name, os.environ.get(name, ""))
    stamp, digest = Stamp(options.dir, options.name), inputs.digest()
    if since := stamp.since(digest):
        print(f"{options.name}: unchanged since {since}: passed")
        return 0
    stamp.remove()
    status = subprocess.run(options.command).returncode
    if status == 0:
        stamp.put(digest)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
