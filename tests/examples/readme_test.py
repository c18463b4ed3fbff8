"""README.md shows the echo server in full: what a stranger copies is compiled and tested."""

import sys
import unittest
from pathlib import Path

root = Path(sys.argv.pop(1))


class Readme(unittest.TestCase):
    def test_the_echo_server_in_the_readme_is_the_example(self):
        example = (root / "examples/echo_server.cc").read_text(encoding="utf-8")
        readme = (root / "README.md").read_text(encoding="utf-8")
        self.assertIn(f"```cpp\n{example}```\n", readme)

    def test_the_example_has_fewer_than_25_lines_of_code(self):
        lines = (root / "examples/echo_server.cc").read_text(encoding="utf-8").splitlines()
        code = [line for line in lines if line.strip() and not line.startswith(("//", "#include"))]
        self.assertLess(len(code), 25)


if __name__ == "__main__":
    unittest.main(verbosity=2)
