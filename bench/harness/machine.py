"""What a number depends on and so must stand beside it: machine, kernel, compiler, commit."""

import os
import platform
import resource
import subprocess

from harness.children import BenchError


def _cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith(("model name", "Model", "cpu model")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def _commit(root):
    def git(*arguments):
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _congestion_control():
    try:
        with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def _compiler(build):
    """The compiler and flags of the build, from its CMake cache."""
    cache = {}
    try:
        with open(build / "CMakeCache.txt", encoding="utf-8") as file:
            for line in file:
                if "=" in line and not line.startswith(("#", "//")):
                    key, value = line.rstrip("\n").split("=", 1)
                    cache[key.split(":")[0]] = value
    except OSError:
        return "unknown", "unknown"
    compiler = cache.get("CMAKE_CXX_COMPILER", "unknown")
    try:
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=10,
                              check=True).stdout
        compiler = said.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        pass
    kind = cache.get("CMAKE_BUILD_TYPE", "")
    flags = cache.get(f"CMAKE_CXX_FLAGS_{kind.upper()}", "")
    return compiler, f"{kind} ({flags})"


def describe(root, build):
    compiler, build_type = _compiler(build)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "machine": f"{_cpu_model()}, {os.cpu_count()} CPUs, {pages / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "compiler": compiler,
        "build": build_type,
        "commit": _commit(root),
        "default_congestion_control": _congestion_control(),
    }


def split_cpus(workers):
    """One set of CPUs for the server, as many as it has workers, and one for the client."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        return set(cpus), set(cpus)
    server = cpus[: max(1, min(workers, len(cpus) - 1))]
    return set(server), {cpus[-1]}


def raise_open_files(needed):
    """Children inherit the limit, also those that do not raise it themselves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= needed:
        return
    try:
        new_hard = hard if hard == unlimited or hard >= needed else needed
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, new_hard))
    except (OSError, ValueError) as error:
        raise BenchError(
            f"this needs {needed} open files and the hard limit is {hard}; "
            "raise it (ulimit -Hn) or run as root") from error
