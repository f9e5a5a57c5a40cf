import csv
import json
from pathlib import Path

import pytest

from modeling_erc.__main__ import main
from tests.small_grid import write_recipe

pytestmark = pytest.mark.usefixtures("home")


def test_the_best_cell_out_of_fold_is_scored_on_test_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    command = ["cv", str(recipe), "--folds", "2", "--vary", "learning_rate=1e-9,1e-2", "--seeds", "1"]
    main([*command, "--jobs", "1", "--out", str(out)])
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    *of_folds, final = rows
    assert len(of_folds) == 4 and all("test" not in row for row in of_folds)
    assert "dev" not in final and final["test"]["accuracy"] >= 0
    held_out = []
    for row in of_folds[::2]:
        with (out / row["predictions"]).open(encoding="utf-8", newline="") as file:
            held_out += [(line["split"], line["dialogue_id"]) for line in csv.DictReader(file)]
    # Nine dialogues of train and dev, four utterances each, predicted once.
    assert len(held_out) == 36 and len(set(held_out)) == 9 and {split for split, _ in held_out} == {"dev"}
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        scores = {row["learning_rate"]: float(row["weighted_f1_mean"]) for row in csv.DictReader(file)}
    best = max(scores, key=lambda rate: scores[rate])
    assert final["overrides"] == {"learning_rate": best}
    text = (out / "table.md").read_text()
    assert "Out-of-fold predictions over train and dev, 2 folds by 2, 36 labelled utterances in 9 dialogues" in text
    assert f"Chosen by weighted F1: learning_rate={best}." in text and "12 utterances" not in text
    assert text.strip() in capsys.readouterr().out


def test_folds_are_required(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cv", str(write_recipe(tmp_path))])
    assert "--folds" in capsys.readouterr().err
