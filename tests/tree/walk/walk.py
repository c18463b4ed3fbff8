#!/usr/bin/env python3
"""Walks every line of the README in bare roots of Debian, as somebody new would.

usage: tests/tree/walk/walk.py [--suite NAME]... [--roots DIRECTORY] [--tests none|quick|all]

For each suite (bookworm and trixie, unless some are named) debootstrap makes a root with nothing
but the essential packages. The section "Try it" is walked in one copy of it and "Use it" in
another, so that neither lives on what the other has installed. The lines come from README.md
itself: a line that this program does not know is a failure, and so is one that it knows and does
not find.

Needs root, debootstrap, and the network for packages: from the mirror that this machine's apt uses,
or $REARM_WALK_MIRROR. Roots stay in --roots (build/walk); a base that is there is used again.
"""

import argparse
import contextlib
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
SUITES = ("bookworm", "trixie")
# A line that builds everything on a busy machine takes long; none takes for ever.
PATIENCE_S = 3600
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME": "/tmp", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


class Failure(Exception):
    """A line that did not do what the README says."""


def blocks(section):
    """The fenced blocks of a section of README.md, in their order: (language, text)."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = readme.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def shell_lines(text):
    """Without the comments at their ends."""
    return [re.sub(r"\s+#.*", "", line) for line in text.splitlines() if line.strip()]


def program_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return next(text for text in re.findall(r"^```cpp\n(.*?)^```", readme,
                                            flags=re.DOTALL | re.MULTILINE) if "int main" in text)


def mirror():
    """Where this machine's apt has its packages from."""
    if named := os.environ.get("REARM_WALK_MIRROR"):
        return named
    for file in [*pathlib.Path("/etc/apt/sources.list.d").glob("*"),
                 pathlib.Path("/etc/apt/sources.list")]:
        if not file.is_file():
            continue
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            match = re.match(r"(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)(\S+/debian/?)(?:\s|$)", line)
            if match:
                return match[1]
    raise SystemExit("no mirror of Debian in /etc/apt: name one in REARM_WALK_MIRROR")


class Chroot:
    """A root directory, and commands in it. Each has processes and mounts of its own, which end
    with it."""

    def __init__(self, path):
        self.path = path

    def _command(self, line, directory):
        inside = " ".join(shlex.quote(f"{name}={value}") for name, value in ENVIRONMENT.items())
        root = shlex.quote(str(self.path))
        script = (f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && "
                  f"exec chroot {root} env -i {inside} "
                  f"bash -c {shlex.quote(f'cd {directory} && {line}')}")
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                "sh", "-c", script]

    def run(self, line, directory="/rearm", timeout_s=PATIENCE_S):
        """Runs a line to its end and returns what it printed. Raises Failure."""
        try:
            done = subprocess.run(self._command(line, directory), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"not done within {timeout_s} s") from None
        said = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise Failure(f"exit status {done.returncode}\n{said[-3000:]}")
        return said

    @contextlib.contextmanager
    def server(self, line, directory="/rearm"):
        """Starts a server and yields its port, once it says where it listens."""
        child = subprocess.Popen(self._command(line, directory), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            ready, _, _ = select.select([child.stdout], [], [], 30)
            said = child.stdout.readline().decode(errors="replace") if ready else ""
            match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", said)
            if not match:
                raise Failure(f"it said {said!r} instead of where it listens")
            yield int(match[1])
        finally:
            child.send_signal(signal.SIGKILL)  # Its children end with it.
            child.wait()
            child.stdout.close()

    def write(self, path, text):
        file = self.path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def check_echo(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"hello")
        if client.recv(16) != b"hello":
            raise Failure("what came back is not what was sent")


class Walk:
    """One suite. Keeps the outcome of every line, and goes on after a failure."""

    def __init__(self, suite, options):
        self.suite = suite
        self.options = options
        self.outcomes = []
        self._roots = pathlib.Path(options.roots).resolve()

    def step(self, line, act):
        start = time.monotonic()
        try:
            act()
            outcome = "pass"
        except Failure as failure:
            outcome = "FAIL"
            print(f"---- {self.suite}: {line}\n{failure}\n----", flush=True)
        seconds = time.monotonic() - start
        self.outcomes.append((line, outcome, seconds))
        print(f"{self.suite}  {outcome}  {seconds:6.0f} s  {line}", flush=True)

    def skip(self, line, why):
        self.outcomes.append((line, "skip", 0))
        print(f"{self.suite}  skip             {line}  ({why})", flush=True)

    def base(self):
        path = self._roots / f"{self.suite}-base"
        if not (path / "etc/debian_version").exists():
            shutil.rmtree(path, ignore_errors=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["debootstrap", "--variant=minbase", self.suite, path, mirror()],
                           check=True, stdout=subprocess.DEVNULL)
        return path

    def fresh(self, name):
        """A copy of the base with the tree in /rearm, without what has been built."""
        path = self._roots / f"{self.suite}-{name}"
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", self.base(), path], check=True)
        shutil.copy("/etc/resolv.conf", path / "etc/resolv.conf")
        files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
                                "--exclude-standard"], check=True, capture_output=True).stdout
        (path / "rearm").mkdir()
        subprocess.run(["tar", "-C", ROOT, "--null", "-T", "-", "--ignore-failed-read", "-cf",
                        path / "rearm.tar"], input=files, check=True)
        subprocess.run(["tar", "-C", path / "rearm", "-xf", path / "rearm.tar"], check=True)
        (path / "rearm.tar").unlink()
        return Chroot(path)

    def try_it(self):
        root = self.fresh("try")
        with contextlib.ExitStack() as servers:
            acts = {
                "scripts/demo": lambda: self._demo(root),
                "scripts/test": None,
                "cmake --preset release && cmake --build --preset release": None,
                "build/release/examples/echo_server 7777":
                    lambda: servers.enter_context(
                        root.server("build/release/examples/echo_server 7777")),
                "nc 127.0.0.1 7777": lambda: self._netcat(root),
            }
            lines = [line for language, text in blocks("Try it") if language == "sh"
                     for line in shell_lines(text)]
            self._check_known(lines, acts)
            for line in lines:
                if line == "scripts/test":
                    self._tests(root, line)
                else:
                    self.step(line, acts.get(line) or (lambda line=line: root.run(line)))

    def _check_known(self, lines, known):
        for line in sorted(set(lines) ^ set(known)):
            def complain(where="the README" if line in known else "walk.py"):
                raise Failure(f"{where} does not have this line")
            self.step(line, complain)

    @staticmethod
    def _demo(root):
        said = root.run("scripts/demo")
        if not re.search(r"^plot: .*demo\.svg$", said, flags=re.MULTILINE) or "p99.9" not in said:
            raise Failure(f"no table or no plot:\n{said[-3000:]}")

    def _tests(self, root, line):
        if self.options.tests == "none":
            self.skip(line, "--tests none")
            return
        more = " --quick" if self.options.tests == "quick" else ""

        def act():
            last = root.run(line + more).strip().splitlines()[-1]
            if not re.fullmatch(r"\d+ passed, 0 failed(, \d+ skipped)?", last):
                raise Failure(last)

        self.step(line + more, act)

    @staticmethod
    def _netcat(root):
        said = root.run("printf 'hello\\n' | timeout 10 nc -N 127.0.0.1 7777")
        if said != "hello\n":
            raise Failure(f"it said {said!r}")

    def use_it(self):
        root = self.fresh("use")
        found = blocks("Use it")
        lines = [line for language, text in found if language == "sh"
                 for line in shell_lines(text)]
        install = next((line for line in lines if line.startswith("apt-get install ")), None)
        build = ("cmake --preset release && cmake --build --preset release && "
                 "cmake --install build/release")
        compile_by_hand = "g++ -std=c++23 server.cc $(pkg-config --cflags --libs rearm) -o server"
        self._check_known(lines, [install, build, compile_by_hand])
        self.step(install, lambda: root.run(
            "apt-get -qq update && " + install.replace("install", "-qq -y install", 1)))
        root.write("/srv/server/server.cc", program_of_the_readme())
        self.step(build, lambda: root.run(build))
        for language, text in found:
            if language == "cmake":
                self._cmake(root, text)
        self.step(compile_by_hand, lambda: self._by_hand(root, compile_by_hand))

    def _cmake(self, root, text):
        """A project with these lines and the README's program, built as CMake does by itself."""
        name = re.match(r"\w+", text)[0]
        directory = f"/srv/{name}"
        if name == "include":  # FetchContent
            commit = root.run("git -c init.defaultBranch=main init -q && git add -A && "
                              "git -c user.name=a -c user.email=a@b commit -qm a && "
                              "git rev-parse HEAD").strip().splitlines()[-1]
            text = text.replace("<this repository>", "/rearm").replace("<commit hash>", commit)
        if "target_link_libraries" not in text:
            text += "target_link_libraries(server PRIVATE rearm::rearm)\n"
        root.write(f"{directory}/server.cc", program_of_the_readme())
        root.write(f"{directory}/CMakeLists.txt",
                   "cmake_minimum_required(VERSION 3.25)\nproject(server LANGUAGES CXX)\n"
                   "add_executable(server server.cc)\n" + text)

        def act():
            if name == "add_subdirectory":
                third_party = f"{directory}/third_party"
                root.run(f"mkdir -p {third_party} && cp -r /rearm {third_party}")
            root.run("cmake -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build", directory)
            with root.server("build/server 0", directory) as port:
                check_echo(port)

        self.step(text.splitlines()[-1] if name == "include" else text.splitlines()[0], act)

    @staticmethod
    def _by_hand(root, line):
        root.run(line, "/srv/server")
        with root.server("./server 0", "/srv/server") as port:
            check_echo(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", action="append", choices=SUITES)
    parser.add_argument("--roots", default=ROOT / "build/walk")
    parser.add_argument("--tests", default="quick", choices=("none", "quick", "all"),
                        help="how much of scripts/test")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap", path="/usr/sbin:/sbin:/usr/bin"):
        print("skipped: this needs root and debootstrap")
        return 77
    failed = 0
    walks = [Walk(suite, options) for suite in options.suite or SUITES]
    for walk in walks:
        walk.try_it()
        walk.use_it()
        failed += sum(outcome == "FAIL" for _, outcome, _ in walk.outcomes)
    print()
    for walk in walks:
        for line, outcome, seconds in walk.outcomes:
            print(f"{walk.suite:9} {outcome}  {seconds:5.0f} s  {line}")
    passed = sum(outcome == "pass" for walk in walks for _, outcome, _ in walk.outcomes)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
