"""The parts of bench/run.py: children, machine, measuring, reports, plots. Standard library."""
