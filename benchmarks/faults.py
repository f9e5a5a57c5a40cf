#!/usr/bin/env python3
"""Provokes faults and counts failures: `python benchmarks/faults.py [--only NAME,...] [--seed N] [--share S]`.

Prints what was tried, what failed, and how; the exit code is 1 if anything failed. `--page` writes the table to a page.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    # Processes are forked, which threads would not survive.
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
# The code of this checkout, from any working folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.fault_kinds import (  # noqa: F401 (register)
    FAULTS,
    TITLES,
    Outcome,
    Plan,
    full_disk,
    grid_and_push,
    kills,
    media,
    numbers,
    pickles,
    ranks,
)
from datasets_scripts.publishing.markdown import markdown_table

START, END = "<!-- faults: start -->\n", "<!-- faults: end -->\n"


def main(argv: list[str]) -> int:
    """Provokes the faults that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default=",".join(FAULTS), help=f"kinds of faults: {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: 0)")
    parser.add_argument("--share", type=float, default=1.0, help="share of the usual number of trials (default: 1)")
    parser.add_argument("--page", type=Path, help="page whose table is replaced")
    given = parser.parse_args(argv)
    unknown = set(given.only.split(",")) - set(FAULTS)
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: choose from {', '.join(FAULTS)}")
    torch.set_num_threads(1)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="erc-faults-") as folder:
        for name in given.only.split(","):
            start = time.perf_counter()
            outcomes[name] = FAULTS[name](Plan(Path(folder) / name, given.seed, given.share))
            print(f"{name}: {len(outcomes[name].failures)} of {outcomes[name].tried} failed", end="", flush=True)
            print(f", {time.perf_counter() - start:.0f} s. {outcomes[name].note}", flush=True)
            print("".join(f"  {line}\n" for line in outcomes[name].failures), end="", flush=True)
    text = table(outcomes)
    print(text)
    if given.page:
        before, _, rest = given.page.read_text(encoding="utf-8").partition(START)
        given.page.write_text(before + START + text + END + rest.partition(END)[2], encoding="utf-8")
    return int(any(outcome.failures for outcome in outcomes.values()))


def table(outcomes: dict[str, Outcome]) -> str:
    """Returns the outcomes as a Markdown table."""
    rows = [
        [f"`{name}`", TITLES[name], str(outcome.tried), str(len(outcome.failures)), _what(outcome)]
        for name, outcome in outcomes.items()
    ]
    return markdown_table(["kind", "what is done, and what must hold", "tried", "failed", "remarks"], rows) + "\n"


def _what(outcome: Outcome) -> str:
    return "; ".join([*([outcome.note] if outcome.note else []), *outcome.failures[:3]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
