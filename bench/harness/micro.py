"""The verbs one by one, by Google Benchmark, each beside its floor.

A benchmark's label names its floor; its counter `ops` says how many acts one iteration makes.
"""

import json
import statistics

from harness import children

# What raw jump_fcontext takes on the machine the limit for a yield was written for.
REFERENCE_SWITCH_NS = 5.7
YIELD_NS_MAX = 20
SPAWN_JOIN_NS_MAX = 110


def run(binary, repetitions, min_time_s):
    """Returns {name: {"ns": spread, "floor": name or ""}} and what the library said of itself."""
    out = children.run(
        [binary, "--benchmark_format=json", f"--benchmark_repetitions={repetitions}",
         f"--benchmark_min_time={min_time_s}", "--benchmark_enable_random_interleaving=true"],
        timeout_s=600)
    content = json.loads(out)
    values, floors = {}, {}
    for entry in content["benchmarks"]:
        if entry.get("run_type") != "iteration":
            continue
        if entry.get("error_occurred"):
            raise children.BenchError(f"{entry['name']}: {entry.get('error_message')}")
        # CPU time of the one thread, unless the benchmark itself says that time passes elsewhere.
        name, _, kind = entry["run_name"].partition("/")
        clock = "cpu_time"
        if kind.endswith(("real_time", "manual_time")):
            clock = "real_time"
            kind = kind.removesuffix("real_time").removesuffix("manual_time").removesuffix("/")
        name = f"{name}/{kind}" if kind else name
        values.setdefault(name, []).append(entry[clock] / entry.get("ops", 1))
        floors[name] = entry.get("label", "")
    spreads = {
        name: {"ns": {"min": min(each), "median": statistics.median(each), "max": max(each)},
               "floor": floors[name]}
        for name, each in values.items()
    }
    return spreads, content.get("context", {})


def _is_floor(name):
    return name.startswith("BM_floor_")


def rows(spreads):
    result = []
    # The acts first, then their floors, each by name: the runs themselves were shuffled.
    for name, spread in sorted(spreads.items(), key=lambda item: (_is_floor(item[0]), item[0])):
        ns = spread["ns"]
        floor = spreads.get(spread["floor"])
        cells = [name, f"{ns['median']:,.1f}", f"{ns['min']:,.1f}", f"{ns['max']:,.1f}"]
        if floor:
            cells += [f"{floor['ns']['median']:,.1f}",
                      f"×{ns['median'] / floor['ns']['median']:.2f}", spread["floor"]]
        else:
            cells += ["", "", ""]
        result.append(cells)
    return result


HEAD = ["act", "ns", "min", "max", "floor ns", "ratio", "floor"]


def check(report, spreads):
    """The limits are for a machine that switches in REFERENCE_SWITCH_NS; a slower one is given its
    proportion, and the plain value is told beside."""
    switch = spreads.get("BM_floor_jump_fcontext")
    scale = REFERENCE_SWITCH_NS / switch["ns"]["median"] if switch else 1.0
    for what, name, limit in (
            ("yield between two fibers, a switch", "BM_yield", YIELD_NS_MAX),
            ("yield in two loops, a switch", "BM_yield_in_two_loops", YIELD_NS_MAX),
            ("spawn + join of an empty fiber", "BM_spawn_join", SPAWN_JOIN_NS_MAX)):
        if name not in spreads:
            continue
        ns = spreads[name]["ns"]["median"]
        note = "no floor measured" if not switch else (
            f"{ns:.1f} ns here, where raw jump_fcontext takes {switch['ns']['median']:.1f}")
        report.check(what, f"≤ {limit} ns", ns * scale, ns * scale <= limit, note)
    _check_against_own_floor(report, spreads)


def _check_against_own_floor(report, spreads):
    """The yield in two loops once more, beside a switch that mispredicts its return as well."""
    act = spreads.get("BM_yield_in_two_loops")
    floor = spreads.get(act["floor"]) if act else None
    if not floor:
        return
    ns, floor_ns = act["ns"]["median"], floor["ns"]["median"]
    limit = YIELD_NS_MAX / REFERENCE_SWITCH_NS
    report.check("yield in two loops ÷ raw in two loops", f"≤ {limit:.2f}", ns / floor_ns,
                 ns / floor_ns <= limit, f"{ns:.1f} ns ÷ {floor_ns:.1f}")
