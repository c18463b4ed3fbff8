"""The parts of bench/run.py, with children that fail in every way a load generator can."""

import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(sys.argv.pop(1))
sys.path.insert(0, str(ROOT / "bench"))

from harness import children, measure, plot, report, servers  # noqa: E402

READY = "import sys; print('ready', flush=True)\n"
ONE_TURN = READY + "input(); print('done', flush=True); sys.stdin.read()\n"

SERVERS = (measure.Subject("raw epoll", (), 1), measure.Subject("rearm", (), 1))


class TurnsTest(unittest.TestCase):
    def turns(self, program):
        return children.turns([sys.executable, "-c", program], None, 10)

    def failure_of(self, program):
        """What is said of a load generator that is given a turn and asked how it went."""
        with self.assertRaises(children.BenchError) as raised, self.turns(program) as turns:
            turns.take()
            turns.finish()
        return str(raised.exception)

    def test_a_turn_and_its_sample(self):
        with self.turns(ONE_TURN + "print('{\"requests\": 1}')") as turns:
            turns.take()
            self.assertEqual(turns.finish(), {"requests": 1})

    def test_failed_connections_are_told(self):
        said = self.failure_of(ONE_TURN + "print('{}'); sys.exit('error: 3 connections failed')")
        self.assertRegex(said, "^python.*: 3 connections failed$")

    def test_an_end_between_the_turns_is_told(self):
        program = READY + "sys.stdin.close(); sys.exit('error: the server stalled')"
        with self.assertRaises(children.BenchError) as raised, self.turns(program) as turns:
            turns._child.wait()
            turns.take()
        self.assertRegex(str(raised.exception), "ended early: the server stalled$")

    def test_an_end_without_a_word_tells_the_status(self):
        self.assertRegex(self.failure_of(READY + "input(); sys.exit(7)"), "ended early: status 7$")

    def test_one_that_does_not_end_is_told(self):
        program = ONE_TURN + "print('{}', flush=True)\nimport time; time.sleep(60)"
        with mock.patch.object(children, "_STOP_TIMEOUT_S", 0.1):
            self.assertRegex(self.failure_of(program), "did not end within 0.1 s of its last turn$")


class ServerTest(unittest.TestCase):
    def test_one_that_ended_is_told_with_its_words(self):
        program = "import sys; print('listening 127.0.0.1:9'); sys.exit('error: accept: no')"
        with self.assertRaises(children.BenchError) as raised:
            with children.server([sys.executable, "-c", program], None, True) as server:
                server._child.wait()
        self.assertRegex(str(raised.exception), "ended early: accept: no$")


LISTENS_AND_SAYS_NOTHING = """
import signal, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)
"""


class SilentServerTest(unittest.TestCase):
    def server(self, program, port):
        return children.silent_server([sys.executable, "-c", program, port], None, port)

    def test_it_is_there_when_its_port_is(self):
        port = servers._free_port()
        with self.server(LISTENS_AND_SAYS_NOTHING, port) as server:
            self.assertEqual(server.port, port)
            self.assertGreater(servers._cpu_ns(server.pid), 0)

    def test_one_that_ends_instead_is_told_with_its_words(self):
        with self.assertRaises(children.BenchError) as raised:
            with self.server("import sys; sys.exit('error: no such user')", 1):
                pass
        self.assertRegex(str(raised.exception), "ended early: no such user$")

    def test_one_that_never_listens_is_told(self):
        with mock.patch.object(children, "_START_TIMEOUT_S", 0.1):
            with self.assertRaises(children.BenchError) as raised:
                with self.server("import time; time.sleep(60)", servers._free_port()):
                    pass
        self.assertRegex(str(raised.exception), "did not listen within 0.1 s$")


WRK = """Running 1s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Latency Distribution
     50%    1.50ms
     75%    2.00ms
     90%    3.00ms
     99%  500.00us
  96000 requests in 1.50s, 8.79MB read
"""


class KnownServersTest(unittest.TestCase):
    def test_wrk_is_understood(self):
        self.assertEqual(servers.parse_wrk(WRK), {
            "requests": 96000, "requests_per_s": 64000, "p50_us": 1500, "p99_us": 500})

    def test_requests_that_failed_are_none(self):
        for words in ("  Socket errors: connect 0, read 5", "  Non-2xx or 3xx responses: 9",):
            with self.assertRaises(children.BenchError):
                servers.parse_wrk(WRK + words)
        with self.assertRaises(children.BenchError):
            servers.parse_wrk("nothing")

    def test_rounds_take_turns_and_become_rows_records_and_bars(self):
        order = []

        class Known:
            def works(self):
                def driven(name, cost):
                    return lambda: order.append(name) or cost
                return [servers.Work("GET", "nginx", driven("nginx", 100), driven("ours", 50),
                                     None)]

            def measure(self, work, start):
                return dict.fromkeys(servers.VALUES, start())

        results = servers.compare(Known(), 2, lambda text: None)
        self.assertEqual(order, ["nginx", "ours", "ours", "nginx"])
        rows = servers.rows(results, report.number)
        self.assertEqual([row[:4] for row in rows],
                         [["GET", "nginx", "100", "100"], ["GET", "Rearm", "50 ×0.50", "50 ×0.50"]])
        told = report.Report({})
        told.add_known_servers(results)
        self.assertEqual([record["cpu_ns_per_request"]["median"] for record in told.records],
                         [100, 50])
        panels = plot.of_known_servers(results)
        self.assertEqual(panels[0].rows[0][0], "GET\\nnginx")

    def test_a_program_that_is_missing_is_named_with_what_brings_it(self):
        with self.assertRaises(children.BenchError) as raised:
            servers.Tools(Path("/nowhere")).find("no-such-server")
        self.assertIn("scripts/setup servers", str(raised.exception))


class ReportTest(unittest.TestCase):
    def test_system_calls_that_were_not_counted_are_a_miss(self):
        results = {measure.Case(each, measure.Load(1, 64)): measure.Samples() for each in SERVERS}
        told = report.Report({})
        report.check_echo(told, results, *SERVERS, 9)
        rows = report.check_rows(told.checks)
        self.assertEqual([row[1:] for row in rows], [["≤ 3.05", "–", "MISS", report.NOT_COUNTED]])


class PlotTest(unittest.TestCase):
    def test_every_bench_has_its_bars(self):
        spread = {"min": 1, "median": 2, "max": 3}
        results = {measure.Case(each, measure.Load(1, 64)): measure.Samples() for each in SERVERS}
        for samples in results.values():
            samples.add(dict.fromkeys(measure.REPEATED, 1), measure.REPEATED)
        panels = [
            *plot.of_acts({"BM_wake": {"ns": spread, "floor": "BM_floor_wake"},
                           "BM_floor_wake": {"ns": spread, "floor": ""}}),
            *plot.of_servers("echo", results, *SERVERS),
            *plot.of_memory({"raw epoll": spread, "rearm": spread}, spread),
        ]
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "plot.svg"
            plot.write(path, "a machine", panels)
            drawn = path.read_text(encoding="utf-8")
        for word in ("wake", "its floor", "64 B", "p99.9", "a parked fiber"):
            self.assertIn(word, drawn)


if __name__ == "__main__":
    unittest.main(verbosity=2)
