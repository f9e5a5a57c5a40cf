import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from modeling_erc.analysis.checkpoint_robustness import checkpoint_names
from modeling_erc.commands import robustness
from modeling_erc.training.train import main as train_main
from tests.small_run import SMALL_RECIPE, own_caches

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
WORDS = {"joy": "glad great lovely", "anger": "hate stop wrong"}
CONFIG = f"""{SMALL_RECIPE}
frozen_modalities: [text]
num_train_epochs: 1
eval_strategy: "no"
save_strategy: "no"
load_best_model_at_end: false
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Hugging Face cache of its own."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        own_caches(patch, home)
        yield home


@pytest.fixture(scope="module")
def runs(home: Path) -> list[Path]:
    """Two runs on 24 utterances in MELD's layout."""
    corpus = home / "meld"
    corpus.mkdir()
    for split in ("train", "dev", "test"):
        lines = [
            f"{WORDS[emotion]} {split} {number}.,Ann,{emotion},{number // 4},{number % 4}\n"
            for number, emotion in enumerate(["joy", "anger", "anger", "joy"] * 2)
        ]
        (corpus / f"{split}_sent_emo.csv").write_text(HEADER + "".join(lines))
    (home / "small.yaml").write_text(CONFIG)
    folders = [home / "plain", home / "other"]
    for seed, folder in enumerate(folders):
        options = ["--data_dir", str(corpus), "--output_dir", str(folder), "--seed", str(seed)]
        train_main([str(home / "small.yaml"), *options])
    return folders


def test_two_checkpoints_are_compared_in_table_and_figure(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--shares", "1,0,0.5", "--seeds", "2", "--out", str(tmp_path / "out")]
    robustness.main([*map(str, runs), *words])
    shown = capsys.readouterr().out
    with (tmp_path / "out" / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # Missing once, words lost and swapped at three rates, each at three shares.
    assert len(rows) == 2 * (1 + 3 + 3) * 3
    assert [(row["checkpoint"], row["share"]) for row in rows[:6]] == [
        (name, share) for name in ("plain", "other") for share in ("0", "0.5", "1")
    ]
    assert {row["lost"] for row in rows if row["share"] == "0"} == {"0.000000"}
    for name, folder in zip(("plain", "other"), runs, strict=True):
        score = json.loads((folder / "metrics.json").read_text())["test"]["weighted_f1"]
        clean = {float(row["weighted_f1"]) for row in rows if row["checkpoint"] == name and row["share"] == "0"}
        assert clean == {round(score, 6)}
    assert "| text: missing |  | plain |" in shown
    assert "| text: words lost | 30% of words | other |" in (tmp_path / "out" / "table.md").read_text()
    with Image.open(tmp_path / "out" / "curves.png") as picture:
        assert picture.size[0] == 1280


def test_results_are_written_into_the_checkpoint_by_default(runs: list[Path]) -> None:
    robustness.main([str(runs[0]), "--shares", "0,1", "--seeds", "1"])
    assert {path.name for path in (runs[0] / "robustness").iterdir()} == {"table.md", "table.csv", "curves.png"}
    card = (runs[0] / "README.md").read_text()
    assert (runs[0] / "robustness" / "table.md").read_text().strip() in card
    assert "](robustness/curves.png)" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shares", "0,2"], "'0,2': shares are from 0 to 1"),
        (["--shares", "half"], "'half': expected numbers such as 0,0.5,1"),
        (["--seeds", "0"], "'0': expected a number from 1"),
    ],
)
def test_invalid_options_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        robustness.main([str(tmp_path), *words])
    assert message in capsys.readouterr().err


def test_invalid_inputs_are_refused_before_anything_is_written(runs: list[Path], home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "meld", tmp_path / "meld")
    table = tmp_path / "meld" / "test_sent_emo.csv"
    table.write_text(table.read_text().replace(",1,", ",9,"))
    moved = shutil.copytree(runs[1], tmp_path / "moved") / "run_config.yaml"
    moved.write_text(moved.read_text().replace(str(home / "meld"), str(tmp_path / "meld")))
    with pytest.raises(ValueError, match=r"the test dialogues of .*moved are not those of .*plain"):
        robustness.main([str(runs[0]), str(tmp_path / "moved"), "--out", str(tmp_path / "out")])
    with pytest.raises(ValueError, match=r"--split tset: the corpus of .*plain has train, dev, test"):
        robustness.main([str(runs[0]), "--split", "tset", "--out", str(tmp_path / "out")])
    with pytest.raises(ValueError, match="--modality audio: the model has text"):
        robustness.main([str(runs[0]), "--modality", "audio", "--out", str(tmp_path / "out")])
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        robustness.main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_names_of_checkpoints_are_as_short_as_possible(tmp_path: Path) -> None:
    assert checkpoint_names([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert checkpoint_names([tmp_path / "x/seed-0", tmp_path / "y/seed-0"]) == ["x/seed-0", "y/seed-0"]
    with pytest.raises(ValueError, match="named twice"):
        checkpoint_names([Path("runs/a"), Path("runs/../runs/a").resolve()])
