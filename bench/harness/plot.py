"""The plot: one panel or two of bars for every bench that ran, by gnuplot, as SVG or PNG."""

import dataclasses
import pathlib
import shutil
import tempfile

from harness import children, measure
from harness.children import BenchError

_COLORS = ("#7f7f7f", "#1f77b4", "#2ca02c", "#d62728")
_PANEL_WIDTH, _PANEL_HEIGHT = 700, 560


@dataclasses.dataclass(frozen=True)
class Panel:
    """Groups of bars: a row is its label and, for each of the series, a spread or None."""

    title: str
    unit: str
    series: tuple
    rows: tuple
    logarithmic: bool = False
    line_at_one: bool = False


def check_possible(path):
    if shutil.which("gnuplot") is None:
        raise BenchError("--plot needs gnuplot (Debian and Ubuntu: gnuplot-nox)")
    if pathlib.Path(path).suffix not in (".svg", ".png"):
        raise BenchError(f"--plot writes .svg or .png, not {path}")


def _scaled(spread, factor):
    return spread and {name: value * factor for name, value in spread.items()}


def _ratio(ours, theirs, name):
    """As a spread without extent: that of the tails' ratios would hide the bars."""
    ratio = measure.ratio(ours, theirs, name)
    return ratio and dict.fromkeys(("min", "median", "max"), ratio.median)


def of_servers(bench, results, base, subject):
    """CPU time of every server under every load, and our latencies by the rival's."""
    loads = list(dict.fromkeys(case.load for case in results))
    subjects = list(dict.fromkeys(case.subject for case in results))

    def samples(subject, load):
        return results.get(measure.Case(subject, load), measure.Samples())

    labels = [load.label().replace(", ", "\\n") for load in loads]
    cpu = [[_scaled(samples(each, load).spread("cpu_ns_per_request"), 1e-3) for each in subjects]
           for load in loads]
    latency = [[_ratio(samples(subject, load), samples(base, load), name)
                for name in ("p50_us", "p99_us", "p999_us")] for load in loads]
    return [
        Panel(f"{bench}: server CPU time a request (median, min, max)", "µs",
              tuple(each.name for each in subjects), tuple(zip(labels, cpu))),
        Panel(f"{bench}: latency of {subject.name} ÷ {base.name} (median of paired ratios)",
              "ratio", ("p50", "p99", "p99.9"), tuple(zip(labels, latency)), line_at_one=True),
    ]


def of_acts(spreads):
    """Every act of micro beside its floor."""
    rows = tuple((name.removeprefix("BM_"), [spreads[spread["floor"]]["ns"], spread["ns"]])
                 for name, spread in sorted(spreads.items()) if spread["floor"] in spreads)
    return [Panel("micro: an act (median, min, max)", "ns", ("its floor", "ours"), rows,
                  logarithmic=True)]


def of_memory(servers, fiber):
    """Resident bytes: `servers` is {name: spread} a connection, `fiber` our spread or None."""
    rows = [("a parked connection", list(servers.values()))]
    if fiber:
        # Ours is the last of the servers; the rival has no fibers.
        rows.append(("a parked fiber", [None] * (len(servers) - 1) + [fiber]))
    return [Panel("memory: resident (median, min, max)", "bytes", tuple(servers), tuple(rows))]


def of_known_servers(results):
    """Our examples beside servers that one knows: CPU time, and what is ours by what is theirs."""
    labels = [f"{work.name}\\n{work.rival_name}".replace(", ", "\\n") for work in results]
    cpu = [[_scaled(samples.spread("cpu_ns_per_request"), 1e-3) for samples in pair]
           for pair in results.values()]
    ratios = [[_ratio(ours, theirs, name)
               for name in ("cpu_ns_per_request", "requests_per_s", "p50_us", "p99_us")]
              for theirs, ours in results.values()]
    return [
        Panel("servers: server CPU time a request (median, min, max)", "µs",
              ("the known server", "Rearm"), tuple(zip(labels, cpu))),
        Panel("servers: Rearm ÷ the known server (median of paired ratios)", "ratio",
              ("CPU time", "requests/s", "p50", "p99"), tuple(zip(labels, ratios)),
              line_at_one=True),
    ]


def _quote(text):
    return '"' + str(text).replace('"', "'") + '"'


def _data(panel):
    """One line a row: its label, and for each of the series median, min, max."""
    lines = []
    for label, spreads in panel.rows:
        values = [f"{spread[name]:.4f}" if spread else "NaN"
                  for spread in spreads for name in ("median", "min", "max")]
        lines.append(" ".join([_quote(label), *values]) + "\n")
    return "".join(lines)


def _commands(panel, data):
    bars = ", ".join(
        f"{_quote(data)} using {2 + 3 * at}:{3 + 3 * at}:{4 + 3 * at}:xtic(1) "
        f"title {_quote(name)} linecolor rgb {_quote(_COLORS[at % len(_COLORS)])}"
        for at, name in enumerate(panel.series))
    many = len(panel.rows) > 8
    return f"""
set title {_quote(panel.title)}
set ylabel {_quote(panel.unit)}
{"set logscale y" if panel.logarithmic else "unset logscale y"}
set yrange [{"*" if panel.logarithmic else "0"}:*]
set xtics {"rotate by -40" if many else "norotate"}
set bmargin {14 if many else 6}
{"set arrow from graph 0, first 1 to graph 1, first 1 nohead dashtype 2 front"
 if panel.line_at_one else "unset arrow"}
plot {bars}
"""


def _script(path, title, panels):
    columns = min(2, len(panels))
    rows = (len(panels) + 1) // 2
    terminal = "svg" if pathlib.Path(path).suffix == ".svg" else "pngcairo"
    size = f"{2 * _PANEL_WIDTH},{rows * _PANEL_HEIGHT + 60}"  # a panel alone is as wide as two
    return f"""
set terminal {terminal} size {size} noenhanced font "sans,11"
set output {_quote(pathlib.Path(path).resolve())}
set multiplot layout {rows},{columns} title {_quote(title)}
set style fill solid 0.85 border -1
set style data histogram
set style histogram errorbars gap 1.5 linewidth 1
set grid ytics
set key below center horizontal
""" + "".join(_commands(panel, f"{at}.data") for at, panel in enumerate(panels)) + """
unset multiplot
"""


def write(path, title, panels):
    with tempfile.TemporaryDirectory(prefix="rearm-bench-") as name:
        directory = pathlib.Path(name)
        for at, panel in enumerate(panels):
            (directory / f"{at}.data").write_text(_data(panel), encoding="utf-8")
        script = directory / "plot.gnuplot"
        script.write_text(f"cd {_quote(directory)}\n" + _script(path, title, panels),
                          encoding="utf-8")
        children.run([shutil.which("gnuplot"), script], timeout_s=60)
