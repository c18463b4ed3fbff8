#!/usr/bin/env python3
"""A stamp is void as soon as anything that the check depends on is another."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

STAMP = pathlib.Path(__file__).resolve().parent / "stamp.py"
CHECK = """import pathlib, sys
runs = pathlib.Path(sys.argv[1])
runs.write_text(runs.read_text() + "x")
sys.exit(int(pathlib.Path(sys.argv[2]).read_text()))
"""


class StampTest(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.at = pathlib.Path(self.scratch.name)
        for name, text in {"runs": "", "status": "0", "check.py": CHECK, "input": "1"}.items():
            (self.at / name).write_text(text)
        (self.at / "folder/below").mkdir(parents=True)
        (self.at / "folder/below/file").write_text("1")
        self.make_tool("1")

    def tearDown(self):
        self.scratch.cleanup()

    def make_tool(self, text):
        (self.at / "tool").write_text(text)
        (self.at / "tool").chmod(0o755)

    def check(self, *extra, **environment):
        """Returns (exit status, whether the command ran)."""
        before = len((self.at / "runs").read_text())
        done = subprocess.run(
            [sys.executable, STAMP, "--dir", self.at / "stamps", "--name", "a check",
             "--file", self.at / "input", "--file", self.at / "folder",
             "--tool", self.at / "tool", "--env", "STAMP_TEST", "--", sys.executable,
             self.at / "check.py", self.at / "runs", self.at / "status", *extra],
            capture_output=True, text=True, cwd=self.at,
            env={**{k: v for k, v in os.environ.items() if k != "REARM_STAMPS"}, **environment})
        self.out = done.stdout + done.stderr
        return done.returncode, len((self.at / "runs").read_text()) > before

    def assert_void_after(self, change):
        self.assertEqual(self.check(), (0, True))
        self.assertEqual(self.check(), (0, False))
        change()
        self.assertEqual(self.check(), (0, True))

    def test_what_has_passed_is_not_repeated_and_says_so(self):
        self.assertEqual(self.check(), (0, True))
        self.assertEqual(self.check(), (0, False))
        self.assertRegex(self.out, "a check: unchanged since 20.*: passed")

    def test_a_changed_file(self):
        self.assert_void_after(lambda: (self.at / "input").write_text("2"))

    def test_a_changed_file_below_a_directory(self):
        self.assert_void_after(lambda: (self.at / "folder/below/file").write_text("2"))

    def test_a_file_that_comes(self):
        self.assert_void_after(lambda: (self.at / "folder/new").write_text(""))

    def test_a_file_that_goes(self):
        self.assert_void_after(lambda: (self.at / "folder/below/file").unlink())

    def test_a_file_that_is_renamed(self):
        self.assert_void_after(
            lambda: (self.at / "folder/below/file").rename(self.at / "folder/below/other"))

    def test_a_tool_of_another_size(self):
        self.assert_void_after(lambda: self.make_tool("22"))

    def test_a_tool_of_another_time(self):
        self.assert_void_after(lambda: os.utime(self.at / "tool", (1, 1)))

    def test_another_argument(self):
        self.check()
        self.assertEqual(self.check("more"), (0, True))

    def test_another_value_of_a_variable(self):
        self.check()
        self.assertEqual(self.check(STAMP_TEST="2"), (0, True))

    def test_ignored_stamps(self):
        self.check()
        self.assertEqual(self.check(REARM_STAMPS="ignore"), (0, True))

    def test_what_fails_or_is_skipped_leaves_no_stamp(self):
        for status in ("1", "77"):
            self.check()
            (self.at / "status").write_text(status)
            self.assertEqual(self.check(REARM_STAMPS="ignore"), (int(status), True))
            (self.at / "status").write_text("0")
            self.assertEqual(self.check(), (0, True))

    def test_an_input_that_does_not_exist_is_an_error(self):
        (self.at / "input").unlink()
        self.assertEqual(self.check(), (1, False))
        self.assertIn("cannot be read", self.out)


if __name__ == "__main__":
    unittest.main()
