#!/usr/bin/env python3
"""Checks the house style that a machine can hold. Usage: tidy.py ROOT

Each rule is a function of one file, or of the whole tree, that yields complaints. tidy_test.py
plants a violation of each and sees it reported.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

LINE_COLUMNS = 100
MARKDOWN_COLUMNS = 110
FILE_LINES = 500
FUNCTION_LINES = 70

SKIPPED_DIRECTORIES = {".git", "build", ".cache", "__pycache__"}
# By suffix, so that a log or a core left in the tree is nobody's violation; scripts have none.
CHECKED_SUFFIXES = {"", ".cc", ".h", ".py", ".sh", ".cmake", ".in", ".txt", ".md", ".json", ".yml"}

# What each room may include of the others: includes point only downward.
BELOW = {
    "base": {"base"},
    "poller": {"base", "poller"},
    "sched": {"base", "poller", "sched"},
    "net": {"base", "poller", "sched", "net"},
    "os": {"base", "poller", "sched", "net", "os"},
    "sync": {"base", "poller", "sched", "sync"},
    "testing": {"base", "poller", "sched", "testing"},
}

# Words that may be said only where they belong: (pattern, where it is looked for, who may say it).
# Comments and string literals are free: they must be able to name what the code does not touch.
OWNED_WORDS = [
    (r"\bepoll_\w+|\bEPOLL\w+|<sys/epoll\.h>", r"(src|include)/", r"src/poller/backend_epoll\."),
    (r"\bboost\b|\b(jump|make|ontop)_fcontext\b", r"(src|include)/", r"src/sched/stack_context\."),
    (r"\bstd::(\w*mutex|lock_guard|unique_lock|scoped_lock|shared_lock|condition_variable\w*)\b",
     r"(src|include)/", r"src/base/"),
    (r"\bstd::atomic\w*|\bstd::memory_order\w*|<atomic>", r"(src|include)/", r"src/base/"),
    (r"(?i)\w*fiber\w*|\bcoroutine\w*", r"src/(base|poller)/", None),
    (r"(?i)\b\w*worker\w*", r"src/(base|poller)/", None),
    (r"\bfd_?\b|\bsocket\b|\bsockaddr\w*", r"src/base/", None),
    (r"\bsockaddr\w*|<sys/socket\.h>|<netinet/", r"src/(base|sched)/", None),
    (r"\bkqueue\b|\bkevent\b|<sys/event\.h>", r"(src|include)/",
     r"src/poller/backend_kqueue\."),
    (r"\bport_(associate|dissociate|get|getn|send|alert)\b|<port\.h>", r"(src|include)/",
     r"src/poller/backend_event_port\."),
]

# Spelled so that this file does not contain what it forbids.
FOREIGN = re.compile(
    r"/hom[e]/\w|/roo[t]/\w|/wor[k]/|/User[s]/\w|deb[.]debian[.]org|pyp[i][.]org|npmj[s]|"
    r"proxy[.]golang|crate[s][.]io|pythonhoste[d]"
)


@dataclass
class File:
    """A file of the tree: `path` is relative to the root, `code` has no comments or literals."""

    path: str
    text: str
    lines: list = field(init=False)
    code: str = field(init=False)

    def __post_init__(self):
        self.lines = self.text.splitlines()
        self.code = strip_cpp(self.text) if self.is_cpp() else self.text

    def is_cpp(self):
        return self.path.endswith((".cc", ".h"))

    def is_cmake(self):
        return self.path.endswith((".cmake", "CMakeLists.txt"))

    def room(self):
        parts = self.path.split("/")
        return parts[1] if parts[0] == "src" and len(parts) > 2 else None

    def line_of(self, offset):
        return self.code.count("\n", 0, offset) + 1


CPP_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r'|R"(?P<tag>\w*)\(.*?\)(?P=tag)"'
    r'|^[ \t]*\#[ \t]*include[^\n]*'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.DOTALL | re.MULTILINE,
)


def strip_cpp(text):
    """Blanks comments and the contents of literals; newlines and include lines stay."""

    def blank(match):
        token = match.group(0)
        if token.lstrip().startswith("#"):
            return token.split("//")[0]
        return re.sub(r"[^\n]", " ", token)

    return CPP_TOKEN.sub(blank, text)


def line_lengths(file):
    markdown = file.path.endswith(".md")
    limit = MARKDOWN_COLUMNS if markdown else LINE_COLUMNS
    if file.path.endswith(".json") or file.path in ("LICENSE", ".clang-tidy"):
        return
    for number, line in enumerate(file.lines, 1):
        # A table row and a link cannot be wrapped.
        if len(line) > limit and not (markdown and (line.startswith("|") or "](" in line)):
            yield number, f"{len(line)} columns; the limit is {limit}"


def white_space(file):
    for number, line in enumerate(file.lines, 1):
        if line != line.rstrip():
            yield number, "white space at the end of the line"
        if "\t" in line:
            yield number, "a tab"
    if file.text and not file.text.endswith("\n"):
        yield len(file.lines), "no newline at the end of the file"


def file_length(file):
    if len(file.lines) > FILE_LINES and not file.path.endswith((".md", "LICENSE")):
        yield FILE_LINES, f"{len(file.lines)} lines; the limit is {FILE_LINES}"


TYPE_HEAD = re.compile(
    r"\s*(template\s*<.*>\s*)?(namespace|class|struct|union|enum|extern)\b", re.DOTALL
)


def function_length(file):
    """Counts the lines of each outermost brace that follows a parameter list."""
    if not file.is_cpp():
        return
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  file.code, flags=re.MULTILINE)
    stack = []
    statement = 0
    for match in re.finditer(r"[{};]", code):
        offset = match.start()
        if match.group(0) == "{":
            head = code[statement:offset]
            inside = any(kind == "function" for kind, _ in stack)
            is_function = "(" in head and not TYPE_HEAD.match(head) and head.rstrip()[-1] != "="
            stack.append(("function" if is_function and not inside else "other", offset))
            statement = offset + 1
        elif match.group(0) == "}" and stack:
            kind, start = stack.pop()
            length = code.count("\n", start, offset) + 1
            if kind == "function" and length > FUNCTION_LINES:
                yield file.line_of(start), f"a function of {length} lines: over {FUNCTION_LINES}"
            statement = offset + 1
        else:
            statement = offset + 1


def includes(file):
    """Yields (line number, '<' or '"', path)."""
    for number, line in enumerate(file.lines, 1):
        if match := re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line):
            yield number, match.group(1), match.group(2)


def include_direction(file):
    room = file.room()
    if not file.is_cpp() or room not in BELOW:
        return
    for number, quote, path in includes(file):
        target = path.split("/")[0]
        if quote == '"' and target != "rearm" and target not in BELOW[room]:
            yield number, f"{room} may not include {path}: includes point only downward"


NAMESPACE_OR_BRACE = re.compile(r"\bnamespace\b([\s\w:]*)\{|[{}]")


def internal_namespace(file):
    """A header below src/ declares in rearm::detail, where no public name comes to live."""
    if not file.path.endswith(".h") or not file.room():
        return
    for match in re.finditer(r"\busing\s+namespace\b", file.code):
        yield file.line_of(match.start()), "a header has no using-directive"
    open_braces = []
    for match in NAMESPACE_OR_BRACE.finditer(file.code):
        if match.group(0) == "}":
            open_braces = open_braces[:-1]
            continue
        name = match.group(1)
        open_braces.append(None if name is None else name.strip())
        path = "::".join(n for n in open_braces if n)
        if name is not None and not re.match(r"rearm::detail(::|$)", path):
            yield (file.line_of(match.start()),
                   f"namespace '{path}': what a header below src/ declares is in rearm::detail")


def own_header_first(file):
    if not file.path.endswith(".cc") or not file.room():
        return
    stem = file.path[len("src/"):-len(".cc")]
    own = {f"{stem}.h", f"rearm/{stem.split('/', 1)[1]}.h", f"rearm/{stem}.h"}
    found = [path for _, _, path in includes(file)]
    if own & set(found) and found[0] not in own:
        yield 1, f"the first include must be the file's own header, not {found[0]}"


def the_wall(file):
    """Public headers: standard headers and each other, the same text on every system."""
    if not file.path.startswith("include/"):
        return
    for number, quote, path in includes(file):
        standard = quote == "<" and re.fullmatch(r"[a-z0-9_]+", path)
        if not standard and not (quote == '"' and path.startswith("rearm/")):
            yield number, f"a public header includes {path}"
    for number, line in enumerate(file.lines, 1):
        # What the C++ library has may be asked; which system this is may not.
        asks_the_library = re.fullmatch(r"#if defined\(__cpp_lib_\w+\)", line)
        if re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line) and not asks_the_library:
            yield number, "a public header must be the same on every system: no conditionals"


def owned_words(file):
    if not file.is_cpp():
        return
    for pattern, where, owner in OWNED_WORDS:
        if re.match(where, file.path) and not (owner and re.match(owner, file.path)):
            for match in re.finditer(pattern, file.code):
                yield file.line_of(match.start()), f"'{match.group(0)}' is not this room's word"


def unfinished(file):
    words = "TO" + "DO|FIX" + "ME|XX" + "X"
    for number, line in enumerate(file.lines, 1):
        if file.path != "LICENSE" and re.search(rf"\b({words})\b", line):
            yield number, "unfinished business belongs in an issue"


CODE_IN_COMMENT = {
    # An example in a comment is indented by three columns or more, and is not meant here.
    "cpp": re.compile(
        r"^\s*// {0,2}(?! )(#\s*include\b|(if|for|while|switch) \(.*\) \{|return\b[^.]*;$|\}\s*$|"
        r"[\w:<>.*&\->\[\] ]*[\w>\]](\(.*\)| = .+);$)"
    ),
    # A signature with <placeholders> is documentation.
    "cmake": re.compile(r"^\s*# {0,2}[a-z_]+\([^)<]*\)?$|^\s*# {0,2}\)$"),
}


def commented_out_code(file):
    pattern = CODE_IN_COMMENT.get("cpp" if file.is_cpp() else "cmake" if file.is_cmake() else "")
    for number, line in enumerate(file.lines, 1):
        if pattern and pattern.match(line):
            yield number, "commented-out code"


def header_guard(file):
    if file.path.endswith(".h") and "#pragma once" not in file.lines:
        yield 1, "no #pragma once"


def file_name(file):
    if file.is_cpp() and not re.fullmatch(r"[a-z0-9_/]+\.(cc|h)", file.path):
        yield 1, "file names are snake_case"


def markdown_title(file):
    if not file.path.endswith(".md"):
        return
    prose = re.sub(r"^```.*?^```", "", file.text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^# ", prose, flags=re.MULTILINE)
    if len(titles) != 1:
        yield 1, f"{len(titles)} titles; a document has exactly one '# '"


def foreign_words(file):
    for number, line in enumerate(file.lines, 1):
        if match := FOREIGN.search(line):
            yield number, f"'{match.group(0)}': no machine's paths and no registry's host"


FILE_RULES = [
    line_lengths, white_space, file_length, function_length, include_direction, internal_namespace,
    own_header_first, the_wall, owned_words, unfinished, commented_out_code, header_guard,
    file_name, markdown_title, foreign_words,
]


def listed_in_cmake(files):
    """Every source and public header is named in the CMakeLists.txt that is responsible for it."""
    by_path = {file.path: file for file in files}
    room_lists = "".join(
        file.text for file in files if re.fullmatch(r"src/(.*/)?CMakeLists\.txt", file.path)
    )
    for path in by_path:
        if path.startswith("include/") and path.endswith(".h"):
            name = path[len("include/"):]
            if not re.search(rf"(?<!\w){re.escape(name)}\b", room_lists):
                yield path, 1, "not installed: no HEADERS list in src/ names it"
        if not path.endswith(".cc") or path.startswith("cmake/"):
            continue
        directory, _, name = path.rpartition("/")
        while directory and f"{directory}/CMakeLists.txt" not in by_path:
            directory, _, parent = directory.rpartition("/")
            name = f"{parent}/{name}"
        stem = name[:-len(".cc")]
        text = by_path[f"{directory}/CMakeLists.txt"].text if directory else ""
        # Where each program is one file, its name alone is given to a function.
        if not re.search(rf"(?<![\w/.-])({re.escape(name)}|{re.escape(stem)})(?![\w/.-])", text):
            if not path.startswith("tests/tree/consumer/"):
                yield path, 1, f"not compiled: {directory or '.'}/CMakeLists.txt does not name it"


def headers_are_included(files):
    """A private header that nobody includes is dead."""
    included = {path.rpartition("/")[2] for f in files if f.is_cpp() for _, _, path in includes(f)}
    for file in files:
        if file.path.endswith(".h") and not file.path.startswith("include/"):
            if file.path.rpartition("/")[2] not in included:
                yield file.path, 1, "nobody includes this header"


TREE_RULES = [listed_in_cmake, headers_are_included]


def check(files):
    """Returns the complaints about a list of files, sorted: 'path:line: [rule] message'."""
    complaints = []
    for file in files:
        for rule in FILE_RULES:
            complaints += [(file.path, n, f"[{rule.__name__}] {m}") for n, m in rule(file)]
    for rule in TREE_RULES:
        complaints += [(p, n, f"[{rule.__name__}] {m}") for p, n, m in rule(files)]
    return [f"{path}:{number}: {message}" for path, number, message in sorted(complaints)]


def load(root):
    files = []
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        ours = path.suffix in CHECKED_SUFFIXES and not SKIPPED_DIRECTORIES & set(relative.parts)
        if ours and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            files.append(File(relative.as_posix(), text))
    return files


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    files = load(Path(sys.argv[1]))
    complaints = check(files)
    print("\n".join(complaints + [f"{len(files)} files, {len(complaints)} complaints"]))
    sys.exit(1 if complaints or not files else 0)


if __name__ == "__main__":
    main()
