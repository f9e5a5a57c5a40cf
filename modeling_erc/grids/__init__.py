"""Grids of runs: specification, execution, comparison and report."""
