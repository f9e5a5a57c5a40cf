"""Numbers that are none: NaN, infinity and huge values in features, and learning rates that diverge."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from . import Outcome, Plan, children, fault, small_run

VALUES = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e300, 1e-45)
RATES = ("1e3", "1e10", "1e30")


def strict(text: str) -> Any:
    """Reads JSON and refuses the tokens NaN and Infinity."""

    def refuse(token: str) -> None:
        raise ValueError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


def spoil(members: list[Any], draw: np.random.Generator) -> str:
    """Puts a value into the features of some utterances, in place; returns what was done."""
    table = members[3 + int(draw.integers(2))]
    number = float(draw.choice(np.array(VALUES)))
    videos = list(table)
    hit = 0
    for video in draw.choice(videos, int(draw.integers(1, len(videos))), replace=False):
        for row in table[str(video)][: int(draw.integers(1, 6))]:
            row[: int(draw.integers(1, 1 + len(row)))] = number
            hit += 1
    return f"{number:g} in {hit} utterances"


def fault_of(run: Path) -> str | None:
    """Returns what a finished run holds that is no number."""
    weights = load_file(run / "model.safetensors")
    if bad := [name for name, tensor in weights.items() if "feature_scale" not in name and not tensor.isfinite().all()]:
        return f"{len(bad)} of {len(weights)} tensors are not finite"
    for name in ("metrics.json", "run.json", "config.json"):
        try:
            strict((run / name).read_text(encoding="utf-8"))
        except ValueError as error:
            return f"{name}: {error}"
    return None


@fault(
    "nan",
    "NaN, infinite or huge features, a rate that diverges: finite weights and scores, or an error that names the step",
)
def nan(plan: Plan) -> Outcome:
    """Trains on spoilt features, or with absurd learning rates."""
    draw, home = plan.draw, plan.folder / "home"
    failures, stopped = [], 0
    trials = plan.count(24)
    for trial in range(trials):
        corpus, run, log = (plan.folder / f"{name}{trial}" for name in ("corpus", "run", "log"))
        words = small_run.write_corpus(corpus, draw)
        if trial % 4 == 3:
            rate = str(draw.choice(RATES))
            words, what = [*words, "--learning_rate", rate, "--max_grad_norm", "0"], f"learning rate {rate}"
        else:
            members = small_run.features(draw)
            what = spoil(members, draw)
            (corpus / "features.pkl").write_bytes(pickle.dumps(members, 2))
        code = children.run(small_run.train_in, home, words, run, log=log)
        text = log.read_text(errors="replace")
        stopped += code == 1
        if code == 0 and (error := fault_of(run)):
            failures.append(f"{trial}, {what}: {error}")
        elif code != 0 and not any(
            name in text for name in ("TrainingDiverged: step", "CorpusError", "ValueError: no utt")
        ):
            failures.append(f"{trial}, {what}: exit code {code}: {children.last_line(log)}")
    return Outcome(trials, failures, f"{stopped} stopped with an error")
