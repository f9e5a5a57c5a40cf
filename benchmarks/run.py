#!/usr/bin/env python3
"""Measures speed and memory: `python benchmarks/run.py [--only NAME ...] [--json FILE] [--markdown FILE]`.

Prints the tables of each benchmark. `--json` stores the figures in a file and keeps those of benchmarks that are not
run now. `--markdown` writes all figures of that file as a page.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

# The code of this checkout, from any working folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import transformers

from benchmarks import contrastive, end_to_end, features_in, gpu, growth, text_context  # noqa: F401 (registers them)
from benchmarks.table import BENCHMARKS, Setting, Table


def main(argv: list[str]) -> None:
    """Runs the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", nargs="+", choices=sorted(BENCHMARKS), default=sorted(BENCHMARKS), help="benchmarks to run"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the figures; other figures in it are kept")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="page of all figures in the JSON file")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: checks that everything runs")
    arguments = parser.parse_args(argv)
    if arguments.markdown and not arguments.json:
        parser.error("--markdown needs --json, the file of the figures")
    results = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    for name in arguments.only:
        print(f"== {name}", flush=True)
        start, load = time.perf_counter(), os.getloadavg()[0]
        tables = BENCHMARKS[name](Setting(arguments.quick))
        print(*tables, sep="\n\n")
        print(f"({time.perf_counter() - start:,.0f} s, load before {load:.1f})\n", flush=True)
        results[name] = {"tables": [asdict(table) for table in tables], "machine": machine(load)}
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.markdown:
        command = shlex.join(["python", "benchmarks/run.py", *argv])
        arguments.markdown.write_text(page(results, command), encoding="utf-8")


def machine(load: float) -> str:
    """Describes the machine and the versions of the libraries."""
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{os.cpu_count()} cores {platform.machine()}{device}, load before {load:.1f}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {time.strftime('%Y-%m-%d')}"
    )


def page(results: dict[str, Any], command: str) -> str:
    """Returns all results as a Markdown page."""
    parts = ["# Benchmarks", f"`{command}`"]
    for name, result in sorted(results.items()):
        tables = [str(Table(**table)) for table in result["tables"]]
        parts += [f"## {name}", *tables, f"Measured on {result['machine']}."]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
