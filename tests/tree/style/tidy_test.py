#!/usr/bin/env python3
"""Plants a violation of each rule of tidy.py, and clean code beside it: a check that cannot fail
proves nothing."""

import unittest

import tidy
from tidy import File

LONG_BODY = "  step();\n" * 80
CMAKE = File("src/poller/CMakeLists.txt", "rearm_room(poller\n  SOURCES\n    a.cc\n)\n")

# rule -> files of which the rule must report at least one.
VIOLATIONS = {
    "line_lengths": [File("src/base/a.cc", "// " + "x" * 98 + "\n")],
    "white_space": [File("src/base/a.cc", "int a; \n")],
    "file_length": [File("src/base/a.cc", "\n" * 501)],
    "function_length": [File("src/base/a.cc", "void f(int a) {\n" + LONG_BODY + "}\n")],
    "include_direction": [File("src/poller/a.cc", '#include "sched/worker.h"\n')],
    "internal_namespace": [File("src/base/a.h", "namespace rearm {\nclass A;\n}\n")],
    "own_header_first": [File("src/base/a.cc", '#include <mutex>\n#include "base/a.h"\n')],
    "the_wall": [File("include/rearm/a.h", "#include <sys/types.h>\n")],
    "owned_words": [File("src/sched/a.cc", "std::mutex mu;\n")],
    "unfinished": [File("docs/a.md", "TO" + "DO: later\n")],
    "commented_out_code": [File("src/base/a.cc", "// run(1, 2);\n")],
    "header_guard": [File("src/base/a.h", "int a;\n")],
    "file_name": [File("src/base/MyFile.cc", "\n")],
    "markdown_title": [File("docs/a.md", "# One\n\n# Two\n")],
    "foreign_words": [File("docs/a.md", "see /hom" + "e/me/notes\n")],
    "listed_in_cmake": [CMAKE, File("src/poller/b.cc", "\n")],
    "headers_are_included": [File("src/base/a.h", "#pragma once\n")],
}

CLEAN = [
    CMAKE,
    File("src/CMakeLists.txt", "rearm_room(base HEADERS rearm/a.h)\n"),
    File("include/rearm/a.h", "#pragma once\n#include <mutex>\n"),
    File("src/poller/a.h", '#pragma once\n\n#include "base/mutex.h"\n'),
    File("src/poller/a.cc",
         '#include "poller/a.h"\n\n#include "poller/b.h"\n\n'
         '// Wakes a fiber; see epoll_wait(2).\n// Ends here.\n'
         'const char* kName = "epoll_wait std::mutex";\n'
         "namespace rearm {\nclass A {\n" + "  void f() { step(); }\n" * 80 + "};\n}\n"),
    File("src/poller/b.h",
         '#pragma once\n\n#include "poller/a.h"\n\nnamespace rearm::detail {\n'
         "struct B {\n  int b = 0;\n};\n\nnamespace inner {\nclass C;\n}\n}\n"),
    File("docs/a.md", "# One\n\n```sh\n# not a title\n```\n"),
]


class TidyTest(unittest.TestCase):
    def test_every_rule_has_a_planted_violation(self):
        rules = {rule.__name__ for rule in tidy.FILE_RULES + tidy.TREE_RULES}
        self.assertEqual(rules, set(VIOLATIONS))

    def test_every_planted_violation_is_reported_by_its_rule(self):
        for rule, files in VIOLATIONS.items():
            with self.subTest(rule):
                complaints = tidy.check(files)
                self.assertTrue(any(f"[{rule}]" in line for line in complaints), complaints)

    def test_every_owned_word_is_reported_outside_its_room(self):
        samples = [
            ("src/poller/poller.cc", "epoll_ctl(1)"), ("src/net/fd.cc", "boost::context::x y"),
            ("src/net/fd.cc", "std::lock_guard x"), ("include/rearm/a.h", "std::atomic<int> x"),
            ("src/poller/a.cc", "Fiber* f"), ("src/base/a.cc", "Worker* w"),
            ("src/base/a.cc", "int fd"), ("src/sched/a.cc", "sockaddr_in a"),
            ("src/net/a.cc", "kevent(q)"), ("src/poller/poller.cc", "port_send(p)"),
        ]
        self.assertEqual(len(samples), len(tidy.OWNED_WORDS))
        for (path, code), (pattern, _, _) in zip(samples, tidy.OWNED_WORDS):
            with self.subTest(pattern):
                self.assertTrue(list(tidy.owned_words(File(path, f"{code};\n"))))

    def test_a_namespace_of_an_internal_header_other_than_detail_is_reported(self):
        samples = [
            "namespace {\nint a;\n}",
            "namespace rearm::testing {\n}",
            "namespace rearm::details {\n}",
            "namespace rearm {\nnamespace detail {\n}\n}",
            "namespace rearm::detail {\n}\nnamespace a {\n}",
            "namespace rearm::detail {\nstruct A {\n};\n}\nnamespace rearm {\n}",
            "namespace rearm::detail {\nusing namespace std;\n}",
        ]
        for code in samples:
            with self.subTest(code):
                complaints = list(tidy.internal_namespace(File("src/testing/a.h", code + "\n")))
                self.assertEqual(len(complaints), 1, complaints)

    def test_a_public_header_may_ask_what_the_standard_library_has_and_nothing_else(self):
        for condition, complaints in (("#if defined(__cpp_lib_format)", 0),
                                      ("#if defined(__linux__)", 1),
                                      ("#if defined(__cpp_lib_format) || defined(__linux__)", 1),
                                      ("#ifdef __cpp_lib_format", 1)):
            with self.subTest(condition):
                header = File("include/rearm/a.h", f"#pragma once\n{condition}\n#endif\n")
                self.assertEqual(len(list(tidy.the_wall(header))), complaints)

    def test_clean_files_are_not_reported(self):
        self.assertEqual(tidy.check(CLEAN), [])


if __name__ == "__main__":
    unittest.main()
