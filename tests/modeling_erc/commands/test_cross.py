import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from modeling_erc import ErcForSequenceClassification
from modeling_erc.commands import cross
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.training.intervals import bootstrap_weights
from modeling_erc.training.train import main as train_main
from tests.small_run import SMALL_RECIPE, own_caches

MELD = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
EMORY = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"
WORDS = {"neutral": "chair table", "joy": "glad lovely", "anger": "hate wrong", "surprise": "what really"}
SAID = {"joyful": "glad lovely", "mad": "hate wrong", "neutral": "chair table", "peaceful": "calm quiet"}
CONFIG = f"""{SMALL_RECIPE}
num_train_epochs: 12
per_device_train_batch_size: 4
learning_rate: 3.0e-3
eval_strategy: "no"
save_strategy: "no"
load_best_model_at_end: false
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Hugging Face cache of its own, with small corpora and a recipe."""
    home = tmp_path_factory.mktemp("home")
    for name in ("meld", "emorynlp"):
        (home / name).mkdir()
    for split in ("train", "dev", "test"):
        lines = [
            f"{WORDS[emotion]},Ann,{emotion},{number // 4},{number % 4}\n"
            for number, emotion in enumerate([*WORDS, *reversed(WORDS)] * 4)
        ]
        (home / "meld" / f"{split}_sent_emo.csv").write_text(MELD + "".join(lines))
        lines = [
            f"{SAID[emotion]},['Joey'],{emotion.title()},{number // 4},{number % 4},1,1,,\n"
            for number, emotion in enumerate(["mad", "joyful", "mad", "peaceful", "neutral"] * 4)
        ]
        (home / "emorynlp" / f"emorynlp_{split}_final.csv").write_text(EMORY + "".join(lines))
    (home / "small.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        own_caches(patch, home)
        yield home


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    options = ["--data_dir", str(home / "meld"), "--output_dir", str(home / "run")]
    train_main([str(home / "small.yaml"), *options])
    return home / "run"


def test_a_run_is_scored_on_another_corpus_through_the_shared_emotions(
    home: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = ["--test", "emorynlp", "--test_dir", str(home / "emorynlp"), "--out", str(tmp_path)]
    cross.main(["--train", str(run), *test])
    printed = capsys.readouterr().out
    assert "anger: anger -> mad" in printed
    assert "without counterpart in emorynlp, never predicted: surprise (8), disgust (0)" in printed
    assert "without counterpart in meld, not scored: peaceful (4), powerful (0)" in printed
    assert (tmp_path / "cross.md").read_text() in printed

    report = json.loads((tmp_path / "cross.json").read_text())
    across, within = report["scores"]["across"], report["scores"]["within"]
    assert (across["utterances"], within["utterances"]) == (16, 24)
    # The two corpora use the same words for what they share.
    assert across["weighted_f1"] > 0.7
    assert within["weighted_f1"] > 0.7
    # Mad is 8 of 16: recall 1, precision 0.5.
    assert across["majority"]["weighted_f1"] == pytest.approx(0.5 * 2 / 3)

    model = ErcForSequenceClassification.from_pretrained(run).eval()
    processor = ErcProcessor.from_pretrained(run)
    # Of the corpus above, five dialogues of four.
    emotions = ["mad", "joyful", "mad", "peaceful", "neutral"] * 4
    names = {"mad": "anger", "joyful": "joy", "neutral": "neutral"}
    shared = ["neutral", "fear", "sadness", "joy", "anger"]
    guesses = []
    for first in range(0, 20, 4):
        dialogue = [{"speaker": "Joey", "text": SAID[emotion]} for emotion in emotions[first : first + 4]]
        logits = model(**processor(dialogue)).logits[0]
        # The largest among the classes that stand for a shared emotion.
        columns = [model.config.label2id[emotion] for emotion in shared]
        guesses += [shared[int(index)] for index in logits[:, columns].argmax(dim=-1)]
    scored = np.array([emotion in names for emotion in emotions])
    true = np.array([names.get(emotion, "") for emotion in emotions])[scored]
    expected = f1_score(true, np.array(guesses)[scored], average="weighted", labels=shared, zero_division=0)
    assert across["weighted_f1"] == pytest.approx(expected)

    # The intervals draw whole dialogues.
    dialogues = np.repeat(np.arange(5), 4)[scored]
    hits = np.bincount(dialogues, true == np.array(guesses)[scored])
    drawn = bootstrap_weights(5)
    accuracies = drawn @ hits / (drawn @ np.bincount(dialogues))
    assert across["intervals"]["accuracy"] == pytest.approx(np.percentile(accuracies, [2.5, 97.5]).tolist())
    low, high = across["intervals"]["weighted_f1"]
    assert f"| weighted F1 | {within['weighted_f1']:.3f} [" in printed
    assert f"{across['weighted_f1']:.3f} [{low:.3f}, {high:.3f}] |" in printed


def test_a_recipe_is_trained_first_with_its_options(home: Path, tmp_path: Path) -> None:
    train = ["--train", str(home / "small.yaml"), "--train_dir", str(home / "meld"), "--num_train_epochs", "1"]
    test = ["--test", "emorynlp", "--test_dir", str(home / "emorynlp"), "--test_options", '{"normalize_text": false}']
    cross.main([*train, *test, "--split", "dev", "--out", str(tmp_path / "out")])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"run", "cross.md", "cross.json"}
    assert "num_train_epochs: 1.0" in (tmp_path / "out" / "run" / "run_config.yaml").read_text()
    assert json.loads((tmp_path / "out" / "cross.json").read_text())["split"] == "dev"


def test_corpora_that_share_nothing_are_refused(home: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("dialogue_id,text,label\na,hello,glad\na,bye,calm\n")
    with pytest.raises(ValueError, match=r"table \(calm, glad\) share no emotion"):
        cross.main(["--train", str(run), "--test", "table", "--test_dir", str(tmp_path / "mine.csv")])
    # A recipe is not even trained.
    recipe = ["--train", str(home / "small.yaml"), "--train_dir", str(home / "meld"), "--out", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="share no emotion"):
        cross.main([*recipe, "--test", "table", "--test_dir", str(tmp_path / "mine.csv")])

    lines = "dialogue_id,audio,label,split\na,x.wav,joy,test\na,y.wav,anger,test\n"
    (tmp_path / "voices.csv").write_text(lines)
    words = ["--train", str(run), "--test", "table", "--test_dir", str(tmp_path / "voices.csv")]
    with pytest.raises(ValueError, match="takes text, of which table has nothing"):
        cross.main([*words, "--out", str(tmp_path / "out")])
    with pytest.raises(ValueError, match="--split dev: table has test"):
        cross.main([*words, "--split", "dev"])
    assert not (tmp_path / "out").exists()


def test_a_table_whose_classes_are_named_like_the_shared_emotions_is_scored(run: Path, tmp_path: Path) -> None:
    lines = "dialogue_id,text,label,split\na,glad lovely,joy,test\na,hate wrong,anger,test\na,calm,bored,test\n"
    (tmp_path / "mine.csv").write_text(lines)
    words = ["--test", "table", "--test_dir", str(tmp_path / "mine.csv"), "--out", str(tmp_path)]
    cross.main(["--train", str(run), *words])
    report = json.loads((tmp_path / "cross.json").read_text())
    assert report["emotions"] == ["joy", "anger"]
    assert report["scores"]["across"]["left_out"] == {"bored": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--test", "meld", "--num_train_epochs", "2"], "unknown: --num_train_epochs 2; a finished run is not trained"),
        ([], "the following arguments are required: --test"),
    ],
)
def test_invalid_options_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        cross.main(["--train", str(tmp_path), *words])
    assert message in capsys.readouterr().err


def test_a_missing_recipe_is_refused_before_anything_is_trained(home: Path, tmp_path: Path) -> None:
    words = ["--test", "emorynlp", "--test_dir", str(home / "emorynlp")]
    with pytest.raises(FileNotFoundError, match=r"none\.yaml: no such file"):
        cross.main(["--train", str(tmp_path / "none.yaml"), *words])


def test_results_of_a_run_go_into_its_folder_and_its_card(home: Path, run: Path) -> None:
    cross.main(["--train", str(run), "--test", "emorynlp", "--test_dir", str(home / "emorynlp")])
    report = (run / "cross" / "emorynlp" / "cross.md").read_text()
    assert f"##{report.strip()}" in (run / "README.md").read_text()
