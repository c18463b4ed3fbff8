"""The bench `fairness`: how long the quiet wait beside the busy, and what is to be reached."""

from . import children

SECONDS = 10
# case, who waits, what is measured of it, the most that it may be (us)
MUSTS = (
    ("flood", "quiet", "max_us", 5000),
    ("flood", "quiet", "p99_us", 1000),
    ("busy", "report", "max_us", 2500),
    ("busy", "timer", "max_us", 2500),
    ("busy", "injected", "max_us", 2500),
    ("compute", "others", "p99_us", 500),
    # A slice, an eighth of one that may go unread, and a fiber.
    ("crowd", "timer", "p99_us", 230),
)
CASES = {
    "flood": "one peer floods with 4 KiB messages, another asks each ms; one worker",
    "busy": "a fiber always has 1 ms of work and yields; one worker",
    "compute": "a fiber computes 5 ms after each report; two workers",
    "crowd": "10,000 fibers can always run; one worker",
}
HEAD = ["case", "who waits", "times", "p50 µs", "p99 µs", "worst µs"]
WORDS = {"max_us": "worst", "p99_us": "p99"}


def run(program, seconds):
    """What each case printed: {case: {who: {...}}}."""
    return {case: children.run_json([program, "--case", case, "--seconds", seconds],
                                    timeout_s=60 + 3 * seconds) for case in CASES}


def waits_of(result):
    return {who: waits for who, waits in result.items() if isinstance(waits, dict)}


def rows(results):
    return [[case, who, f"{waits['count']:,}",
             *(f"{waits[value]:,.1f}" for value in ("p50_us", "p99_us", "max_us"))]
            for case, result in results.items() for who, waits in waits_of(result).items()]


def check(report, results):
    for case, who, value, most in MUSTS:
        measured = results[case][who][value]
        report.check(f"{case}: {who}, {WORDS[value]}, µs", f"≤ {most:,}", measured,
                     measured <= most, CASES[case])
