"""JSON that the package writes is read by every parser, whatever the numbers."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets

from modeling_erc.hub.run_facts import RunFacts
from modeling_erc.plain_json import json_text
from modeling_erc.timelines import Turn, write_timeline


def strict(text: str) -> Any:
    """Reads JSON and refuses the tokens NaN and Infinity, which Python's parser takes."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_none_become_null() -> None:
    value = {"loss": math.nan, "rows": [(1, -math.inf)], "name": "nan", "share": 0.5, "on": True}
    assert strict(json_text(value)) == {"loss": None, "rows": [[1, None]], "name": "nan", "share": 0.5, "on": True}


def test_timelines_and_facts_are_json(tmp_path: Path) -> None:
    turn = Turn(math.nan, math.inf, "Ann", "well", "joy", math.nan, {"joy": math.nan}, ("text",))
    write_timeline([turn], tmp_path / "timeline.json")
    assert strict((tmp_path / "timeline.json").read_text())[0]["scores"] == {"joy": None}
    facts = RunFacts("a", "demo", {}, ["text"], "concat", "none", "", 1, 1, math.inf, "CPU", 0)
    replace(facts, settings={"x": math.nan}).save(tmp_path)
    assert strict((tmp_path / "run.json").read_text())["settings"] == {"x": None}


def test_a_trainer_state_is_json(make_trainer: Any, make_splits: Any, tmp_path: Path) -> None:
    splits: datasets.DatasetDict = make_splits({"train": [[{"text": "hello there", "label": 0}]]})
    trainer = make_trainer(splits, eval_strategy="no", load_best_model_at_end=False)
    trainer.log({"grad_norm": math.nan, "loss": 1.0})
    trainer.state.save_to_json(str(tmp_path / "state.json"))
    (entry,) = strict((tmp_path / "state.json").read_text())["log_history"]
    assert (entry["grad_norm"], entry["loss"]) == (None, 1.0)
