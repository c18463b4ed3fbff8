#!/usr/bin/env python3
"""Holds what the documents say against the tree, as far as a machine can.

usage: check.py ROOT

  - A file or folder that a document or a comment names exists, and so does what a link leads to.
  - A test that a document names is in the sources; a preset is in CMakePresets.json, and a label of
    ctest in a CMakeLists.txt.
  - A part between `<!-- begin: COMMAND -->` and `<!-- end -->` is what the command prints.

Pages of docs/decisions and CHANGELOG.md speak of the tree of their day: of these, only links count.
"""

import json
import pathlib
import re
import subprocess
import sys

FOLDERS = "bench|cmake|docs|examples|include|scripts|src|tests"
PATH = re.compile(rf"(?<![\w/.$}}-])((?:{FOLDERS})/[\w./-]*\w/?)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CASE = re.compile(r"`([A-Z]\w+)\.([A-Z]\w+)`")
DEFINED = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", re.M)
PRESET = re.compile(r"--preset[ =](\w[\w-]*)")
LABEL = re.compile(r"ctest[^`\n]* -L (\w+)")
GENERATED = re.compile(r"<!-- begin: (.+?) -->\n(.*?)<!-- end -->", re.S)
SOURCES = (".cc", ".h", ".py", ".sh", ".cmake", ".txt", ".pml", ".md", "")


class Tree:
    def __init__(self, root):
        self.root = root
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root,
                                check=True, capture_output=True, text=True).stdout
        self.files = [name for name in listed.splitlines() if (root / name).is_file()]
        self.names = set(self.files)
        for name in self.files:
            self.names.update(str(parent) for parent in pathlib.PurePath(name).parents)
        self.cases, self.labels = set(), set()
        for name in self.files:
            if name.startswith("tests/") and name.endswith((".cc", ".h")):
                self.cases.update(DEFINED.findall(self.text(name)))
            if name.endswith(("CMakeLists.txt", ".cmake")):
                self.labels.update(re.findall(r"\w+", self.text(name)))
        presets = json.loads(self.text("CMakePresets.json"))
        self.presets = {preset["name"] for kind in presets if kind.endswith("Presets")
                        for preset in presets[kind]}

    def text(self, name):
        return (self.root / name).read_text(errors="replace")

    def has(self, path):
        """Is there such a file or folder, or a file of that name with an ending?"""
        path = path.rstrip("/.")
        return path in self.names or any(path + ending in self.names for ending in SOURCES)


def complaints_of_paths(tree, name, text):
    for path in PATH.findall(text):
        if not tree.has(path):
            yield f"there is no {path}"


def complaints_of_document(tree, name, text):
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        if not (tree.root / name).parent.joinpath(target).exists():
            yield f"the link to {target} leads nowhere"
    if name.startswith("docs/decisions/") or name == "CHANGELOG.md":
        return
    yield from complaints_of_paths(tree, name, text)
    for case in CASE.findall(text):
        if case not in tree.cases:
            yield f"there is no test {'.'.join(case)}"
    for preset in PRESET.findall(text):
        if preset not in tree.presets:
            yield f"there is no preset {preset}"
    for label in LABEL.findall(text):
        if label not in tree.labels:
            yield f"there is no label {label}"
    for command, shown in GENERATED.findall(text):
        done = subprocess.run(command.split(), cwd=tree.root, capture_output=True, text=True)
        if done.returncode != 0:
            yield f"'{command}' fails: {done.stderr.strip()}"
        elif done.stdout.strip() != shown.strip():
            yield f"what follows 'begin: {command}' is not what the command prints"


def complaints(tree):
    for name in tree.files:
        if name.endswith(".md"):
            for complaint in complaints_of_document(tree, name, tree.text(name)):
                yield f"{name}: {complaint}"
        elif name.startswith(("src/", "include/", "cmake/", "bench/", "examples/", "scripts/",
                              "tests/")) and not name.startswith("tests/tree/"):
            # A path in an #include is relative to a directory of its own.
            text = re.sub(r"^\s*#\s*include.*$", "", tree.text(name), flags=re.M)
            comments = "\n".join(re.findall(r"(?://|#) .*$", text, re.M))
            for complaint in complaints_of_paths(tree, name, comments):
                yield f"{name}: {complaint}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    bad = sorted(set(complaints(Tree(pathlib.Path(sys.argv[1]).resolve()))))
    print("\n".join(bad) if bad else "the documents agree with the tree")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
