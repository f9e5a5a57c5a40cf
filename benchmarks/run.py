#!/usr/bin/env python3
"""Measures speed and memory: `python benchmarks/run.py [--only NAME ...] [--json FILE] [--markdown FILE]`.

Prints a table for each benchmark. With `--json` the figures go into a file; those of benchmarks that are not run now
stay there. With `--markdown` all that the file holds is written as a page.
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

# This checkout's code, whatever is installed, from any folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import transformers

from benchmarks import contrastive, end_to_end, features_in, gpu, growth, padding  # noqa: F401 (registers them)
from benchmarks.table import BENCHMARKS, Setting, Table


def main(argv: list[str]) -> None:
    """Runs what a command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the figures, added to where it is there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="page of all figures in the JSON file")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that all runs, measures nothing")
    parser.add_argument("--text_encoder", default="tiny", help="of end_to_end: Hub id or folder, or 'tiny'")
    parser.add_argument("--audio_encoder", default="tiny", help="likewise")
    asked = parser.parse_args(argv)
    if asked.markdown and not asked.json:
        parser.error("--markdown needs --json, the file of the figures that it shows")
    try:
        chosen = {name: BENCHMARKS[name] for name in asked.only or sorted(BENCHMARKS)}
    except ValueError as error:
        parser.error(str(error))
    setting = Setting(asked.quick, asked.text_encoder, asked.audio_encoder)
    results = json.loads(asked.json.read_text()) if asked.json and asked.json.exists() else {}
    for name, benchmark in chosen.items():
        print(f"== {name}", flush=True)
        began, load = time.perf_counter(), os.getloadavg()[0]
        tables = benchmark(setting)
        print(*tables, sep="\n\n")
        print(f"({time.perf_counter() - began:,.0f} s, load before {load:.1f})\n", flush=True)
        results[name] = {"tables": [asdict(table) for table in tables], "machine": machine(load)}
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=1) + "\n")
    if asked.markdown:
        command = shlex.join(["python", "benchmarks/run.py", *argv])
        asked.markdown.write_text(page(results, command), encoding="utf-8")


def machine(load: float) -> str:
    """What the figures were measured on, in words."""
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{os.cpu_count()} cores {platform.machine()}{device}, load before {load:.1f}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {time.strftime('%Y-%m-%d')}"
    )


def page(results: dict[str, Any], command: str) -> str:
    """All results as Markdown."""
    parts = ["# Benchmarks", f"`{command}`"]
    for name, result in sorted(results.items()):
        tables = [Table(**table).markdown() for table in result["tables"]]
        picture = ["![growth](growth.png)"] if name == "growth" else []
        parts += [f"## {name}", *tables, *picture, f"Measured on {result['machine']}."]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
