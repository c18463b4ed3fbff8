"""Records for --json, tables for the terminal, and the numbers of the requirements beside them."""

import dataclasses
import json

from harness import measure

MIN_ROUNDS_FOR_A_VERDICT = 9
NOT_COUNTED = "not counted: perf_event_open and ptrace are refused"


@dataclasses.dataclass
class Check:
    """A number to reach. `value` None: it could not be measured, and so is not reached."""

    what: str
    must: str
    value: float
    passed: bool
    note: str = ""


class Report:
    def __init__(self, machine):
        self.machine = machine
        self.records = []
        self.ratios = []
        self.checks = []

    def write_json(self, path):
        content = dict(self.machine)
        content["records"] = self.records
        content["ratios"] = self.ratios
        content["checks"] = [dataclasses.asdict(check) for check in self.checks]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")

    def add_case(self, bench, case, samples):
        record = {
            "bench": bench,
            "subject": case.subject.name,
            "backend": samples.backend,
            "connections": case.load.connections,
            "active_connections": case.load.active_count,
            "message_bytes": case.load.message_bytes,
            "workers": case.subject.workers,
            "rounds": max((len(values) for values in samples.values.values()), default=0),
        }
        for name in (*measure.REPEATED, *measure.COUNTED, "rss_bytes_per_connection",
                     "anonymous_bytes_per_connection"):
            spread = samples.spread(name)
            if spread:
                record[name] = spread
        if "syscalls_per_request" in record:
            record["syscalls_method"] = samples.syscalls_method
        self.records.append(record)

    def add_known_servers(self, results):
        """Of the bench `servers`: {work: (theirs, ours)}."""
        for work, pair in results.items():
            for subject, samples in zip((work.rival_name, "rearm"), pair):
                record = {"bench": "servers", "subject": subject, "work": work.name, "workers": 1}
                for name, values in samples.values.items():
                    record["rounds"] = len(values)
                    record[name] = samples.spread(name)
                self.records.append(record)
            theirs, ours = pair
            for name in ours.values:
                ratio = measure.ratio(ours, theirs, name, name != "requests_per_s")
                self.ratios.append({"bench": "servers", "subject": "rearm", "work": work.name,
                                    "of": name, **dataclasses.asdict(ratio)})

    def add_ratio(self, bench, case, name, ratio):
        self.ratios.append({
            "bench": bench, "subject": case.subject.name, "connections": case.load.connections,
            "message_bytes": case.load.message_bytes, "of": name, **dataclasses.asdict(ratio)})

    def check(self, what, must, value, passed, note=""):
        self.checks.append(Check(what, must, value, passed, note))


def table(head, rows):
    """Lines of a table; the first column is text, the others are numbers."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]

    def line(cells):
        first = cells[0].ljust(widths[0])
        return "  ".join([first, *(cell.rjust(width)
                                   for cell, width in zip(cells[1:], widths[1:]))]).rstrip()

    return [line(head), "-" * len(line(["-" * width for width in widths])), *map(line, rows)]


def number(value, digits=0):
    return "–" if value is None else f"{value:,.{digits}f}"


def echo_rows(results, base):
    """Rows of the comparison: the base's own values, and each other's with its ratio to it."""
    rows = []
    for case, samples in results.items():
        base_samples = results.get(measure.Case(base, case.load))
        row = [f"{case.load.label()}", case.subject.name]
        for name, digits, lower in (("requests_per_s", 0, False), ("cpu_ns_per_request", 0, True),
                                    ("syscalls_per_request", 3, True),
                                    ("user_instructions_per_request", 0, True),
                                    ("p50_us", 0, True), ("p99_us", 0, True),
                                    ("p999_us", 0, True)):
            cell = number(samples.median(name), digits)
            if case.subject != base and base_samples:
                ratio = measure.ratio(samples, base_samples, name, lower)
                cell += f" ×{ratio.median:.2f}" if ratio else ""
            row.append(cell)
        rows.append(row)
    return rows


ECHO_HEAD = ["load", "server", "requests/s", "CPU ns/req.", "syscalls/req.", "user instr./req.",
             "p50 µs", "p99 µs", "p99.9 µs"]


def check_rows(checks):
    rows = []
    for check in checks:
        verdict = "pass" if check.passed else "MISS"
        value = number(check.value, 3 if abs(check.value or 0) < 10 else 1)
        rows.append([check.what, check.must, value, verdict, check.note])
    return rows


CHECK_HEAD = ["number to reach", "must", "measured", "", "note"]


def check_echo(report, results, base, subject, rounds):
    """The rows of the requirements that the echo benchmark answers."""
    note = "" if rounds >= MIN_ROUNDS_FOR_A_VERDICT else (
        f"{rounds} rounds; a verdict needs {MIN_ROUNDS_FOR_A_VERDICT}")
    if base.name == "raw poll":
        check_poll(report, results, base, subject, note)
        return
    for connections in (64, 1000):
        load = measure.Load(connections, 64)
        ours = results.get(measure.Case(subject, load))
        theirs = results.get(measure.Case(base, load))
        if not ours or not theirs:
            continue
        cpu = measure.ratio(ours, theirs, "cpu_ns_per_request")
        spread = f"rounds {cpu.min:.3f} … {cpu.max:.3f}"
        report.check(f"echo 64 B, {connections} conn: CPU ÷ raw, median of paired", "≤ 1.05",
                     cpu.median, cpu.median <= 1.05, note or spread)
        report.check(f"echo 64 B, {connections} conn: CPU ÷ raw, best ÷ best", "≤ 1.03", cpu.best,
                     cpu.best <= 1.03, note)
        rate = measure.ratio(ours, theirs, "requests_per_s", lower_is_better=False)
        report.check(f"echo 64 B, {connections} conn: requests/s ÷ raw", "≥ 0.96", rate.median,
                     rate.median >= 0.96, note or f"rounds {rate.min:.3f} … {rate.max:.3f}")
    for connections, limit in ((64, 2.05), (1, 3.05)):
        load = measure.Load(connections, 64)
        ours = results.get(measure.Case(subject, load))
        theirs = results.get(measure.Case(base, load))
        if not ours:
            continue
        value = ours.median("syscalls_per_request")
        raw = theirs.median("syscalls_per_request") if theirs else None
        report.check(f"system calls a request, {connections} conn", f"≤ {limit}", value,
                     value is not None and value <= limit,
                     NOT_COUNTED if value is None else
                     f"raw {number(raw, 3)}; by {ours.syscalls_method}")


def check_poll(report, results, base, subject, note):
    load = measure.Load(64, 64)
    ours, theirs = (results.get(measure.Case(each, load)) for each in (subject, base))
    if not ours or not theirs:
        return
    cpu = measure.ratio(ours, theirs, "cpu_ns_per_request")
    report.check("echo 64 B, 64 conn, poll: CPU ÷ raw, median of paired", "≤ 1.35", cpu.median,
                 cpu.median <= 1.35, note or f"rounds {cpu.min:.3f} … {cpu.max:.3f}")
