#!/usr/bin/env python3
"""The runner of cases, held against programs that misbehave.

They are scripts that speak as a program of GoogleTest does: a case is a name and what it does.
"""

import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

RUNNER = pathlib.Path(__file__).resolve().parent / "run_cases.py"

PROGRAM = """#!{python}
import os, signal, sys, time
CASES = {cases!r}
chosen = [a.split("=", 1)[1].split(":") for a in sys.argv if a.startswith("--gtest_filter=")]
names = [n for n in CASES if not chosen or n in chosen[0]]
if "--gtest_list_tests" in sys.argv:
    print("Running main() from somewhere.cc")
    for name in names:
        suite, case = name.split(".")
        print(suite + ".\\n  " + case + "  # GetParam() = 4-byte object <07-00 00-00>")
    sys.exit(0)
failed = False
for name in names:
    print("[ RUN      ] " + name, flush=True)
    print("output of " + name, flush=True)
    does = CASES[name]
    if does == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if does == "exit":
        os._exit(3)
    if does == "hang":
        time.sleep(60)
    if does == "crowded" and len(names) > 1 or does == "fail":
        failed = True
        print("[  FAILED  ] " + name + ", where GetParam() = 7 (3 ms)", flush=True)
        continue
    print("unfinished line[       OK ] " + name + " (0 ms)", flush=True)
if CASES.get("Last.Words") == "bad end" and "Last.Words" in names:
    print("something at exit")
    os._exit(66)
sys.exit(1 if failed else 0)
"""


class RunnerTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.tally = pathlib.Path(self.directory.name) / "tally"

    def tearDown(self):
        self.directory.cleanup()

    def run_cases(self, cases, *arguments, **environment):
        program = pathlib.Path(self.directory.name) / "program"
        program.write_text(PROGRAM.format(python=sys.executable, cases=cases))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("REARM_TEST_")}
        done = subprocess.run(
            [sys.executable, RUNNER, *arguments, program], capture_output=True, text=True,
            env={**clean, "REARM_TEST_TALLY": str(self.tally), **environment}, timeout=60)
        self.out = done.stdout + done.stderr
        return done.returncode, done.stdout.splitlines()[-1] if done.stdout else ""

    def test_cases_that_pass_are_counted_and_not_shown(self):
        self.assertEqual(self.run_cases({"A.One": "pass", "A.Two": "pass"}),
                         (0, "2 passed, 0 failed"))
        self.assertNotIn("output of", self.out)
        self.assertEqual(self.tally.read_text(), "program 2 0 0\n")

    def test_a_failed_case_is_named_and_shows_its_own_output_alone(self):
        self.assertEqual(self.run_cases({"A.One": "pass", "A.Two": "fail", "B/C.X/0": "pass"}),
                         (1, "2 passed, 1 failed"))
        self.assertIn("FAILED program.A.Two", self.out)
        self.assertIn("output of A.Two", self.out)
        self.assertNotIn("output of A.One", self.out)
        self.assertIn("A.Two: by itself it fails, too", self.out)

    def test_a_case_that_fails_in_company_says_so_and_counts_as_failed(self):
        self.assertEqual(self.run_cases({"A.One": "pass", "A.Two": "crowded"}),
                         (1, "1 passed, 1 failed"))
        self.assertIn("A.Two: by itself it passes", self.out)

    def test_cases_after_a_crash_run_all_the_same(self):
        cases = {"A.One": "pass", "A.Two": "crash", "A.Three": "exit", "A.Four": "pass"}
        self.assertEqual(self.run_cases(cases), (1, "2 passed, 2 failed"))
        self.assertIn("crashes: SIGSEGV", self.out)
        self.assertIn("ends the process, with status 3", self.out)
        self.assertEqual(self.tally.read_text(), "program 2 2 0\n")

    def test_a_case_that_hangs_is_ended_and_named(self):
        self.assertEqual(
            self.run_cases({"A.One": "pass", "A.Two": "hang", "A.Three": "pass"}, "--timeout=1"),
            (1, "2 passed, 1 failed"))
        self.assertIn("hangs: it has not ended after 1 s", self.out)

    def test_a_process_that_ends_badly_after_its_cases_has_failed(self):
        status, last = self.run_cases({"A.One": "pass", "Last.Words": "bad end"})
        self.assertEqual((status, last), (1, "2 passed, 1 failed"))
        self.assertIn("something at exit", self.out)

    def test_shards_divide_the_cases(self):
        cases = {f"A.Case{i}": "pass" for i in range(7)}
        lasts = [self.run_cases(cases, f"--shard={i}/3")[1] for i in (1, 2, 3)]
        self.assertEqual(lasts, ["3 passed, 0 failed", "2 passed, 0 failed", "2 passed, 0 failed"])

    def test_an_expression_chooses_by_the_full_name(self):
        cases = {"A.One": "fail", "B.Two": "pass"}
        self.assertEqual(self.run_cases(cases, REARM_TEST_CASES=r"^program\.B\.")[1],
                         "1 passed, 0 failed")
        self.assertEqual(self.run_cases(cases, REARM_TEST_CASES="Nothing"),
                         (0, "0 passed, 0 failed"))

    def test_a_disabled_case_is_skipped_by_name(self):
        self.assertEqual(self.run_cases({"A.DISABLED_One": "fail", "A.Two": "pass"}),
                         (0, "1 passed, 0 failed, 1 skipped"))
        self.assertIn("skipped program.A.DISABLED_One", self.out)

    def test_a_program_without_cases_is_an_error(self):
        self.assertNotEqual(self.run_cases({})[0], 0)
        self.assertIn("has no cases", self.out)


if __name__ == "__main__":
    unittest.main()
