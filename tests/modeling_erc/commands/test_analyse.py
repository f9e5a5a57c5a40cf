import base64
import csv
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from modeling_erc.__main__ import main

ATTACK = "<script>alert(1)</script><img src=http://example.org/x.png onerror=alert(2)>"
WORDS = {"joy": "great lovely happy", "anger": "stupid awful mad", "neutral": "table window door"}
SMALL = """
dataset: meld
modalities: [text]
text_encoder: tiny
hidden_size: 16
intermediate_size: 16
num_train_epochs: 1
per_device_train_batch_size: 4
disable_tqdm: true
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dialogues in MELD's layout; every utterance holds what would be an attack on a web page."""
    folder = tmp_path_factory.mktemp("meld")
    draw = random.Random(0)
    for split, dialogues in {"train": 8, "dev": 3, "test": 6}.items():
        with (folder / f"{split}_sent_emo.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"])
            for dialogue in range(dialogues):
                for number in range(5):
                    emotion = draw.choice(list(WORDS))
                    said = " ".join([draw.choice(WORDS[emotion].split()), ATTACK, "a|b " * number])
                    writer.writerow([said, draw.choice(["Ann", "<b>Bo</b>"]), emotion, dialogue, number])
    return folder


@pytest.fixture(scope="module")
def checkpoint(corpus: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(SMALL)
    main(["train", str(folder / "small.yaml"), "--data_dir", str(corpus), "--output_dir", str(folder / "run")])
    return folder / "run"


class Page(HTMLParser):
    """Tags, what they point to, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.pointers: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.pointers += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_of_a_finished_run_loads_and_runs_nothing(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["analyse", str(checkpoint)])
    folder = checkpoint / "analysis-test"
    assert str(folder / "report.html") in capsys.readouterr().out

    content = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(content)
    assert page.tags & {"script", "link", "iframe", "object", "embed", "form", "b"} == set()
    assert page.handlers == []
    assert "url(" not in content
    assert "@import" not in content
    pictures = [pointer for pointer in page.pointers if not re.fullmatch(r"#part-\d+", pointer)]
    beside = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    inside = [base64.b64decode(picture.removeprefix("data:image/png;base64,"), validate=True) for picture in pictures]
    assert sorted(inside) == sorted(beside.values())
    assert all(picture.startswith(b"\x89PNG") for picture in inside)
    assert len(inside) == 5

    # Utterances and speakers are shown as they are.
    assert ATTACK in page.text
    assert "<b>Bo</b> [" in page.text
    assert "6 dialogues, 30 of them labelled" in page.text
    assert "Left out: only the fusion" not in page.text
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([^)\\]*)\)$", markdown, re.M)) == set(beside)
    assert "<" not in markdown.replace(r"\<", "")


def test_split_folder_and_corpus_can_be_named(checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(corpus)
    options = ["--split", "dev", "--out", str(tmp_path / "a" / "b"), "--data_dir", str(moved)]
    main(["analyse", str(checkpoint), *options])
    assert "split dev: 15 utterances in 3 dialogues" in (tmp_path / "a" / "b" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{run}", "--split", "tset"], "meld has no split 'tset': choose one of train, dev, test"),
        (["{run}/nowhere"], "nowhere: no such folder"),
    ],
)
def test_an_invalid_command_is_refused_without_a_traceback(checkpoint: Path, words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main(["analyse", *(word.format(run=checkpoint) for word in words)])
