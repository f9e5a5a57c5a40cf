"""The answers that README shows are those of the checkpoint that it names."""

import csv
import re
from pathlib import Path

import pytest

from modeling_erc.__main__ import main as modeling_erc

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
ANSWER = re.compile(r"^(\w+) +\d\.\d\d +([A-Z]\w+): (.+)$", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "meld").is_dir(), reason="needs ../shared/data/meld and its text encoder")
def test_a_model_of_meld_answers_sensibly(tmp_path: Path) -> None:
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your conversation")[1].split("\n## ")[0]
    answers = ANSWER.findall(part)
    encoder = SHARED / "models" / "all-MiniLM-L6-v2"
    run, talk = tmp_path / "meld", tmp_path / "talk.txt"
    command = ["train", "meld_text", "--data_dir", str(SHARED / "data" / "meld"), "--text_encoder", str(encoder)]
    modeling_erc([*command, "--output_dir", str(run)])
    talk.write_text("".join(f"{speaker}: {text}\n" for _, speaker, text in answers))
    modeling_erc(["predict", str(run), str(talk), "--out", str(tmp_path / "talk.csv")])
    rows = list(csv.DictReader((tmp_path / "talk.csv").open(encoding="utf-8", newline="")))
    # Another processor rounds differently, so a close answer may change.
    assert sum(row["label"] == label for row, (label, *_) in zip(rows, answers, strict=True)) >= len(answers) - 2
