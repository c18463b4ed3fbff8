"""The plot: CPU time per request and latencies of every load, by gnuplot, as SVG or PNG."""

import pathlib
import shutil
import tempfile

from harness import children, measure
from harness.children import BenchError

_COLORS = ("#7f7f7f", "#1f77b4", "#2ca02c", "#d62728")


def check_possible(path):
    if shutil.which("gnuplot") is None:
        raise BenchError("--plot needs gnuplot (Debian and Ubuntu: gnuplot-nox)")
    if pathlib.Path(path).suffix not in (".svg", ".png"):
        raise BenchError(f"--plot writes .svg or .png, not {path}")


def _quote(text):
    return '"' + str(text).replace('"', "'") + '"'


def _cpu_data(results, subjects, loads):
    """One row a load: its label, and for each subject median, min, max in µs."""
    rows = []
    for load in loads:
        row = [_quote(load.label().replace(", ", "\\n"))]
        for subject in subjects:
            samples = results.get(measure.Case(subject, load))
            spread = samples.spread("cpu_ns_per_request") if samples else None
            values = ("median", "min", "max")
            row += [f"{spread[value] / 1000:.4f}" if spread else "NaN" for value in values]
        rows.append(" ".join(row))
    return rows


def _latency_data(results, base, subject, loads):
    """One row a load: its label, and the ratios of p50, p99 and p99.9 to the base."""
    rows = []
    for load in loads:
        row = [_quote(load.label().replace(", ", "\\n"))]
        ours = results.get(measure.Case(subject, load))
        theirs = results.get(measure.Case(base, load))
        for name in ("p50_us", "p99_us", "p999_us"):
            ratio = measure.ratio(ours, theirs, name) if ours and theirs else None
            row.append(f"{ratio.median:.4f}" if ratio else "NaN")
        rows.append(" ".join(row))
    return rows


def _script(path, title, subjects, base, subject):
    terminal = "svg" if pathlib.Path(path).suffix == ".svg" else "pngcairo"
    cpu_bars = ", ".join(
        f"'cpu.data' using {2 + 3 * at}:{3 + 3 * at}:{4 + 3 * at}:xtic(1) "
        f"title {_quote(each.name)} linecolor rgb {_quote(_COLORS[at % len(_COLORS)])}"
        for at, each in enumerate(subjects))
    latency_bars = ", ".join(
        f"'latency.data' using {at + 2}:xtic(1) title {_quote(name)}"
        for at, name in enumerate(("p50", "p99", "p99.9")))
    return f"""
set terminal {terminal} size 1400,620 noenhanced font "sans,11"
set output {_quote(pathlib.Path(path).resolve())}
set multiplot layout 1,2 title {_quote(title)}
set style fill solid 0.85 border -1
set grid ytics
set yrange [0:*]
set key below center horizontal
set bmargin 6
set style data histogram
set style histogram errorbars gap 1.5 linewidth 1
set title "Server CPU time a request (median, min, max)"
set ylabel "µs"
plot {cpu_bars}
set style histogram clustered gap 1.5
set title {_quote(f"Latency of {subject.name} ÷ {base.name} (median of paired ratios)")}
set ylabel "ratio"
set arrow from graph 0, first 1 to graph 1, first 1 nohead dashtype 2 front
plot {latency_bars}
unset multiplot
"""


def write(path, results, base, subject, title):
    loads = list(dict.fromkeys(case.load for case in results))
    subjects = list(dict.fromkeys(case.subject for case in results))
    gnuplot = shutil.which("gnuplot")
    with tempfile.TemporaryDirectory(prefix="rearm-bench-") as name:
        directory = pathlib.Path(name)
        cpu = "\n".join(_cpu_data(results, subjects, loads)) + "\n"
        latency = "\n".join(_latency_data(results, base, subject, loads)) + "\n"
        script = f"cd {_quote(directory)}\n" + _script(path, title, subjects, base, subject)
        (directory / "cpu.data").write_text(cpu, encoding="utf-8")
        (directory / "latency.data").write_text(latency, encoding="utf-8")
        (directory / "plot.gnuplot").write_text(script, encoding="utf-8")
        children.run([gnuplot, directory / "plot.gnuplot"], timeout_s=60)
