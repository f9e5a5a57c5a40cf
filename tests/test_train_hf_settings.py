"""Wrong settings of `train_hf.py` stop it before training, with one line that names the remedy."""

import shutil
from pathlib import Path

import pytest

from tests.small_run import SMALL_RECIPE, edit, refusal, write_meld

EMOTION = 2  # its column


@pytest.fixture(scope="module")
def meld(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [["We won!", "A", "joy", 0, 0], ["Oh no.", "B", "sadness", 0, 1], ["Well.", "A", "neutral", 1, 0]]
    return write_meld(tmp_path_factory.mktemp("corpus"), dict.fromkeys(("train", "dev", "test"), rows))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wrong.yaml"], ["wrong.yaml", "'fusoin'", "'fusion'"]),
        (["gone.yaml"], ["gone.yaml"]),
        (["--hidden_sizes", "3"], ["--hidden_sizes"]),
        (["--dataset", "mled"], ["'mled'", "demo", "meld"]),
        (["--data_dir", "nowhere"], ["nowhere"]),
        (["--data_dir", "no_column"], ["dev_sent_emo.csv", "Emotion"]),
        (["--data_dir", "odd_emotion"], ["train_sent_emo.csv", "row 3", "'bored'", "neutral, surprise"]),
        (["--data_dir", "no_table"], ["test_sent_emo.csv"]),
        (["--transcribe", "user/whisper", "--modalities", "audio"], ["--transcribe", "reads audio", "--modalities"]),
        (["--modalities", "audio"], ["audio", "--data_dir", "--modalities"]),
        (["--modalities", "text", "smell"], ["smell", "text, audio, vision"]),
        (["--text_encoder", "some/folder"], ["--text_encoder some/folder"]),
        (["--text_encoder", "./some/deep/folder"], ["--text_encoder ./some/deep/folder"]),
        (["--fusion", "joint"], ["fusion 'joint'", "concat", "joint_vector"]),
        (["--contrastive", "simclr"], ["'simclr'", "inter_class"]),
        (["--classification_loss", "hinge"], ["'hinge'", "cross_entropy"]),
        (["--hidden_size", "17"], ["hidden_size 17"]),
        (["no_encoder.yaml"], ["text needs --text_encoder"]),
        (["--output_dir", "full"], ["full is not empty", "--resume", "--overwrite"]),
        (["--output_dir", "full", "--overwrite"], ["full", "holds no run"]),
        (["--output_dir", "new", "--resume"], ["new", "no checkpoint"]),
        (["--dataset", "demo", "--data_dir", "full"], ["full"]),
    ],
    ids=" ".join,
)
def test_wrong_settings_stop_before_training_with_one_line(
    meld: Path,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    expected: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("words", "no_column", "odd_emotion", "no_table"):
        shutil.copytree(meld, tmp_path / name)
    edit(tmp_path / "no_column" / "dev_sent_emo.csv", lambda rows: [row.pop(EMOTION) for row in rows])
    edit(tmp_path / "odd_emotion" / "train_sent_emo.csv", lambda rows: rows[2].__setitem__(EMOTION, "bored"))
    (tmp_path / "no_table" / "test_sent_emo.csv").unlink()
    (tmp_path / "wrong.yaml").write_text("fusoin: concat\n")
    (tmp_path / "no_encoder.yaml").write_text("modalities: [text]\n")
    (tmp_path / "small.yaml").write_text(SMALL_RECIPE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    if words[0].endswith(".yaml"):
        command = [words[0], "--data_dir", "words", "--dataset", "meld"]
    else:
        command = ["small.yaml", "--data_dir", "words", *words]
    message = refusal(command, monkeypatch)
    assert all(part in message for part in expected), message
    assert "\n" not in message
    out, err = capfd.readouterr()
    assert "'loss'" not in out, "it trained"
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
