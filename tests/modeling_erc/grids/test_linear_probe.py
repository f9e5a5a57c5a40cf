import csv
import json
from pathlib import Path

import numpy as np
import pytest

from modeling_erc.__main__ import main
from modeling_erc.grids.comparison import Predictions
from modeling_erc.grids.linear_probe import pooled_tokens, probe_out_of_fold
from modeling_erc.training.arguments import ErcArgumentParser
from modeling_erc.training.data import load_splits
from modeling_erc.training.folds import fold_groups, train_and_dev
from tests.small_grid import write_recipe

pytestmark = pytest.mark.usefixtures("home")
RECIPE = """dataset: table
modalities: [audio]
context: none
fusion: gated
num_fusion_layers: 0
hidden_size: 16
num_attention_heads: 2
num_train_epochs: 1
learning_rate: 1.0e-9
use_cpu: true
"""


def write_clips(folder: Path, *, of_speakers: bool) -> Path:
    """Eighty clips of five speakers: the features tell the emotion, or the speaker, who then has one emotion only."""
    lines = []
    for number in range(80):
        speaker = number % 5
        label = speaker % 2 if of_speakers else number // 5 % 2
        told = np.eye(5)[speaker].tolist() if of_speakers else [float(label), 0.0]
        # Of one clip the features are missing.
        features = None if number == 5 else told
        row = {"dialogue_id": f"d{number:02}", "speaker": f"s{speaker}", "label": ["joy", "anger"][label]}
        lines.append(json.dumps({**row, "audio_features": features, "split": "test" if speaker == 4 else "train"}))
    (folder / "clips.jsonl").write_text("\n".join(lines))
    (folder / "clips.yaml").write_text(f"{RECIPE}data_dir: {folder / 'clips.jsonl'}\n")
    return folder / "clips.yaml"


def probed(recipe: Path, folds: str) -> Predictions:
    model_args, data_args, args, _ = ErcArgumentParser().parse([str(recipe)], default_config="demo")
    splits = load_splits(data_args, args.seed)
    return probe_out_of_fold(model_args, data_args, splits, fold_groups(train_and_dev(splits), folds))


def test_the_report_compares_the_recipe_with_what_the_features_tell(tmp_path: Path) -> None:
    recipe, out = write_clips(tmp_path, of_speakers=False), tmp_path / "out"
    main(["cv", str(recipe), "--folds", "speaker", "--seeds", "1", "--jobs", "1", "--linear_probe", "--out", str(out)])
    table = (out / "table.md").read_text()
    line = table.partition("Linear probe: ")[2].partition("\n")[0]
    assert float(line.partition("accuracy ")[2].split(",")[0]) > 0.85
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        recipe_f1 = float(next(csv.DictReader(file))["weighted_f1_mean"])
    probe_f1 = float(line.partition("weighted F1 ")[2].split(",")[0])
    assert "Difference of clips to it in weighted F1 [95 %]: " in line
    difference = float(line.rpartition("[95 %]: ")[2].strip("*").split()[0])
    assert difference == pytest.approx(recipe_f1 - probe_f1, abs=2e-3)
    assert line.endswith("for other seeds and other groups of speakers.")


def test_a_fold_is_predicted_without_its_own_labels(tmp_path: Path) -> None:
    found = probed(write_clips(tmp_path, of_speakers=True), "speaker")
    assert len(found.true) == 64
    # Of the other three speakers two have the other emotion; a probe that had seen the fold would make no error.
    assert (found.predicted == found.true).mean() < 0.3


def test_a_trained_backbone_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    with pytest.raises(SystemExit, match=r"backbones of text are trained.*add --frozen_modalities text"):
        main(["cv", str(recipe), "--folds", "2", "--linear_probe", "--out", str(out)])
    assert not out.exists()


def test_frozen_backbones_are_probed_through_their_cached_features(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    recipe.write_text(recipe.read_text() + "frozen_modalities: [text]\n")
    found = probed(recipe, "3")
    # The words name the emotion.
    assert (found.predicted == found.true).mean() > 0.6
    assert len({place[:2] for place in found.places}) == 36


def test_tokens_are_pooled_to_mean_and_deviation() -> None:
    pooled = pooled_tokens([[[1.0, 2.0], [3.0, 2.0]], None, [5.0, 6.0]])
    np.testing.assert_allclose(pooled, np.array([[2, 2, 1, 0], [np.nan] * 4, [5, 6, 0, 0]]))
    with pytest.raises(ValueError, match="no features in train and dev"):
        pooled_tokens([None])
