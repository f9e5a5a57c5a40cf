"""Test scores in the Hub's format for evaluation results, `.eval_results/*.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from .run_facts import METRIC_TITLES, RunFacts


def write_eval_results(folder: Path, metrics: Mapping[str, Any], facts: RunFacts) -> None:
    """Writes the test scores as `.eval_results/erc-CORPUS.yaml`, one entry per metric.

    The format is that of https://huggingface.co/docs/hub/eval-results. An entry needs the corpus' id on the Hub, so a
    corpus without one gets no file. `task_id` is the metric's key in `metrics.json`: the Hub lists a score on a
    leaderboard once the corpus' repository is a benchmark whose `eval.yaml` defines that task.
    """
    if facts.hub_dataset is None:
        return
    entries = [
        EvalResultEntry(facts.hub_dataset, task_id=key, value=metrics["test"][key], notes=f"{title}, test split")
        for key, title in METRIC_TITLES.items()
    ]
    path = folder / ".eval_results" / f"erc-{facts.dataset}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False), encoding="utf-8")
