"""README.md shows the echo server in full: what a stranger copies is compiled and tested."""

import re
import sys
import unittest
from pathlib import Path

root = Path(sys.argv.pop(1))


def anchors(text):
    """Those of the titles, as hosts of repositories make them."""
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


class Readme(unittest.TestCase):
    def test_the_echo_server_in_the_readme_is_the_example(self):
        example = (root / "examples/echo_server.cc").read_text(encoding="utf-8")
        readme = (root / "README.md").read_text(encoding="utf-8")
        self.assertIn(f"```cpp\n{example}```\n", readme)

    def test_the_six_lines_are_those_of_the_example(self):
        example = (root / "examples/echo_server.cc").read_text(encoding="utf-8")
        readme = (root / "README.md").read_text(encoding="utf-8")
        six = readme.split("in six lines:\n\n```cpp\n")[1].split("```")[0]
        self.assertEqual(len(six.splitlines()), 6)
        self.assertIn(six, example)

    def test_what_the_pages_link_to_is_there(self):
        for page in [root / "README.md", *root.glob("docs/*.md"), root / "bench/README.md"]:
            text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"),
                          flags=re.DOTALL | re.MULTILINE)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if "://" in target:
                    continue
                path, _, anchor = target.partition("#")
                file = (page.parent / path) if path else page
                with self.subTest(page=page.name, target=target):
                    self.assertTrue(file.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(file.read_text(encoding="utf-8")))

    def test_the_example_has_fewer_than_25_lines_of_code(self):
        lines = (root / "examples/echo_server.cc").read_text(encoding="utf-8").splitlines()
        code = [line for line in lines if line.strip() and not line.startswith(("//", "#include"))]
        self.assertLess(len(code), 25)


if __name__ == "__main__":
    unittest.main(verbosity=2)
