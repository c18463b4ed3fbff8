"""Our example servers beside the servers that one knows: redis-server, nginx, haproxy.

Each work is one kind of request, and two servers that can do it. The tools that ask are the ones
that are usual for each: redis-benchmark, wrk, and our load generator for the proxies. A round
starts a fresh process of each server, one after the other, in an order that turns around, and
measures the CPU time of the server's process over the requests that the tool says it made.
"""

import contextlib
import csv
import dataclasses
import os
import pathlib
import re
import shutil
import socket
import tempfile
import time
from typing import Callable

from harness import children, measure
from harness.children import BenchError

CONNECTIONS = 64
VALUES = ("requests_per_s", "cpu_ns_per_request", "p50_us", "p99_us")


def _cpu_ns(pid):
    """The process' own clock: all its threads, user and system (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass(frozen=True)
class Work:
    """`rival` and `ours` start a server: a context that yields its children.Server. `drive` asks
    it, warms it up where that is short, and returns a sample (VALUES)."""

    name: str
    rival_name: str
    rival: Callable
    ours: Callable
    drive: Callable


class Tools:
    """Where the foreign programs are: installed, or unpacked by `scripts/setup servers`."""

    def __init__(self, root):
        unpacked = root / "build/tools/servers"
        self._path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin",
                                      str(unpacked / "usr/bin"), str(unpacked / "usr/sbin")])
        libraries = [str(path) for path in (unpacked / "usr/lib").glob("*-linux-gnu*")]
        if libraries:
            os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
                [*filter(None, [os.environ.get("LD_LIBRARY_PATH")]), *libraries])

    def find(self, name):
        path = shutil.which(name, path=self._path)
        if path is None:
            raise BenchError(f"{name} is missing: scripts/setup servers brings it")
        return path


class Servers:
    """The works, on one machine: `program` finds what we have built, `cpus` are (server, client).
    """

    def __init__(self, tools, program, cpus, directory, seconds):
        self._tools = tools
        self._program = program
        self._server_cpus, self._client_cpus = cpus
        self._directory = pathlib.Path(directory)
        self._seconds = seconds

    def works(self):
        resp = (self._redis, self._example("resp_server"))
        http = (self._nginx, self._example("http_server"))
        proxy = (self._haproxy, self._proxy)
        return [
            Work("GET of 64 B", "redis-server", *resp, self._redis_benchmark(1)),
            Work("GET of 64 B, pipeline of 16", "redis-server", *resp, self._redis_benchmark(16)),
            Work("HTTP/1.1 GET", "nginx", *http, self._wrk),
            Work("TCP proxy, 64 B", "haproxy", *proxy, self._load_generator(64)),
            Work("TCP proxy, 4 KiB", "haproxy", *proxy, self._load_generator(4096)),
        ]

    def measure(self, work, start):
        """One server, fresh; returns its sample."""
        with start() as server:
            return work.drive(server)

    # The servers.

    def _example(self, name):
        command = (self._program(f"examples/{name}"), "0")
        return lambda: children.server(command, self._server_cpus, graceful=True)

    @contextlib.contextmanager
    def _upstream(self):
        # Beside the client, so that the proxy has its processor for itself.
        command = (self._program("bench/raw_epoll_server"), "--open-files", 1024,
                   "--message-bytes", 4096)
        with children.server(command, self._client_cpus, graceful=True) as upstream:
            yield upstream.port

    @contextlib.contextmanager
    def _proxy(self):
        with self._upstream() as port:
            command = (self._program("examples/proxy"), "0", f"127.0.0.1:{port}", "--drain-s", 0)
            with children.server(command, self._server_cpus, graceful=True) as server:
                yield server

    def _redis(self):
        port = _free_port()
        command = (self._tools.find("redis-server"), "--port", port, "--bind", "127.0.0.1",
                   "--save", "", "--appendonly", "no", "--loglevel", "warning", "--dir",
                   self._directory)
        return children.silent_server(command, self._server_cpus, port)

    def _nginx(self):
        port = _free_port()
        temporary = "\n".join(
            f"  {name}_temp_path {self._directory}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        # One process, as ours is one; connections that stay open as ours do; no log of requests.
        config = self._write("nginx.conf", f"""daemon off;
master_process off;
worker_processes 1;
pid {self._directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  default_type text/plain;
{temporary}
  server {{
    listen 127.0.0.1:{port};
    location = / {{ return 200 "hello, world\\n"; }}
  }}
}}
""")
        command = (self._tools.find("nginx"), "-e", "stderr", "-c", config)
        return children.silent_server(command, self._server_cpus, port)

    @contextlib.contextmanager
    def _haproxy(self):
        with self._upstream() as upstream:
            port = _free_port()
            config = self._write("haproxy.cfg", f"""global
  nbthread 1
  maxconn 1024
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend clients
  bind 127.0.0.1:{port}
  default_backend upstream
backend upstream
  server upstream 127.0.0.1:{upstream}
""")
            command = (self._tools.find("haproxy"), "-db", "-f", config)
            with children.silent_server(command, self._server_cpus, port) as server:
                yield server

    def _write(self, name, text):
        path = self._directory / name
        path.write_text(text, encoding="utf-8")
        return path

    # The tools.

    def _redis_benchmark(self, pipeline):
        def once(server, test, requests):
            before = _cpu_ns(server.pid)
            out = children.run([self._tools.find("redis-benchmark"), "-p", server.port, "-c",
                                CONNECTIONS, "-d", 64, "-P", pipeline, "-n", requests, "-t", test,
                                "--csv"], self._client_cpus)
            cpu_ns = _cpu_ns(server.pid) - before
            row = next(csv.DictReader(out.splitlines()))
            return {"requests_per_s": float(row["rps"]), "cpu_ns_per_request": cpu_ns / requests,
                    "p50_us": float(row["p50_latency_ms"]) * 1e3,
                    "p99_us": float(row["p99_latency_ms"]) * 1e3}

        def drive(server):
            once(server, "set", 64 * pipeline)  # So that there is something to get.
            # It takes a number of requests, not a time.
            rate = once(server, "get", 4000 * pipeline)["requests_per_s"]
            return once(server, "get", max(4000 * pipeline, int(rate * self._seconds)))

        return drive

    def _wrk(self, server):
        before = _cpu_ns(server.pid)
        # It counts in whole seconds.
        out = children.run([self._tools.find("wrk"), "-t1", f"-c{CONNECTIONS}",
                            f"-d{max(1, round(self._seconds))}s", "--latency",
                            f"http://127.0.0.1:{server.port}/"], self._client_cpus)
        sample = parse_wrk(out)
        sample["cpu_ns_per_request"] = (_cpu_ns(server.pid) - before) / sample.pop("requests")
        return sample

    def _load_generator(self, message_bytes):
        return lambda server: children.run_json(
            [self._program("bench/load_generator"), "--port", server.port, "--server-pid",
             server.pid, "--connections", CONNECTIONS, "--message-bytes", message_bytes,
             "--warmup-s", 0.1, "--seconds", self._seconds, "--congestion", ""],
            self._client_cpus)


def parse_wrk(out):
    """What wrk says of its requests. An answer that is no 2xx, or an error, is no request."""
    if re.search(r"Socket errors|Non-2xx", out):
        raise BenchError(f"wrk: {out.strip()}")
    done = re.search(r"(\d+) requests in ([0-9.]+)(ms|s|m)", out)
    quantiles = {match[1]: float(match[2]) * {"us": 1, "ms": 1e3, "s": 1e6}[match[3]]
                 for match in re.finditer(r"^\s+(\d+)%\s+([0-9.]+)(us|ms|s)$", out, re.MULTILINE)}
    if not done or not {"50", "99"} <= set(quantiles):
        raise BenchError(f"wrk said what nobody understands: {out.strip()}")
    seconds = float(done[2]) * {"ms": 1e-3, "s": 1, "m": 60}[done[3]]
    return {"requests": int(done[1]), "requests_per_s": int(done[1]) / seconds,
            "p50_us": quantiles["50"], "p99_us": quantiles["99"]}


def compare(servers, rounds, say):
    """Runs every work `rounds` times, interleaved; returns {work: (theirs, ours)}, Samples each."""
    works = servers.works()
    results = {work: (measure.Samples(), measure.Samples()) for work in works}
    start = time.monotonic()
    for number in range(rounds):
        for work in works:
            pairs = list(zip((work.rival, work.ours), results[work]))
            for begin, samples in pairs if number % 2 == 0 else reversed(pairs):
                samples.add(servers.measure(work, begin), VALUES)
        say(f"  round {number + 1}/{rounds}  ({time.monotonic() - start:.0f} s)")
    return results


@contextlib.contextmanager
def prepared(root, program, cpus, seconds):
    with tempfile.TemporaryDirectory(prefix="rearm-servers-") as directory:
        yield Servers(Tools(root), program, cpus, directory, seconds)


HEAD = ["work, 64 connections", "server", "requests/s", "CPU ns/req.", "p50 µs", "p99 µs"]


def rows(results, number):
    """Two rows a work: the rival's values, and ours with the median of the paired ratios."""
    table = []
    for work, (theirs, ours) in results.items():
        for name, samples, base in ((work.rival_name, theirs, None), ("Rearm", ours, theirs)):
            row = [work.name, name]
            for value in VALUES:
                cell = number(samples.median(value))
                ratio = base and measure.ratio(samples, base, value, value != "requests_per_s")
                row.append(cell + (f" ×{ratio.median:.2f}" if ratio else ""))
            table.append(row)
    return table
