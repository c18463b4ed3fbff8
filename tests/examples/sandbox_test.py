#!/usr/bin/env python3
"""Runs hostile programs in examples/sandbox. Usage: sandbox_test.py PROGRAM"""

import os
import subprocess
import sys
import time
import unittest

PROGRAM = None


def run(script):
    return subprocess.run([PROGRAM, "/bin/sh", "-c", script], capture_output=True, text=True,
                          timeout=60, check=False)


class Sandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tried = subprocess.run(["unshare", "-Urmpf", "true"], capture_output=True, check=False)
        if tried.returncode != 0:
            raise unittest.SkipTest("this system lets the tests make no user namespace")

    def tearDown(self):
        left = [name for name in os.listdir("/tmp") if name.startswith("rearm-sandbox-")]
        self.assertEqual(left, [])

    def test_it_runs_what_computes(self):
        done = run("echo $((6 * 7)); hostname 2>/dev/null; true")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.startswith("ok: exit code 0"), done.stdout)
        self.assertIn("\n42\n", done.stdout)

    def test_it_says_how_a_program_failed(self):
        self.assertIn("failed: exit code 7", run("exit 7").stdout)
        done = run("exec /no/such")
        self.assertEqual(done.returncode, 1)
        missing = subprocess.run([PROGRAM, "/no/such"], capture_output=True, text=True, timeout=60,
                                 check=False)
        self.assertEqual(missing.returncode, 2)
        self.assertIn("not started: exec /no/such: No such file", missing.stdout)

    def test_time_is_limited_whatever_ignores_signals(self):
        start = time.monotonic()
        done = run("trap '' TERM INT HUP; exec <&- >&- 2>&-; sleep 100 & sleep 100")
        self.assertEqual(done.stdout, "time limit\n")
        self.assertLess(time.monotonic() - start, 30)
        # The pid namespace takes the grandchildren with it.
        self.assertNotIn("sleep 100", subprocess.run(["ps", "-eo", "args"], capture_output=True,
                                                     text=True, check=True).stdout)

    def test_output_is_limited(self):
        self.assertEqual(run("cat /dev/zero || yes").stdout, "output limit\n")

    def test_memory_is_limited(self):
        done = run("exec python3 -c 'x = bytearray(1 << 30)'")
        self.assertTrue(done.stdout.startswith("failed: "), done.stdout)

    def test_nothing_outside_is_seen_or_changed(self):
        done = run("ls /; ls /proc | grep -c '^[0-9]'; touch /usr/x /x; cat /proc/net/dev | wc -l; "
                   "grep CapEff /proc/self/status; mount -t tmpfs x /tmp || echo no mount")
        self.assertIn("bin\nlib\n", done.stdout)
        self.assertNotIn("etc", done.stdout)
        self.assertIn("CapEff:\t0000000000000000", done.stdout)
        self.assertIn("no mount", done.stdout)
        self.assertFalse(os.path.exists("/usr/x"))


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
