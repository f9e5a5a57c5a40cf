import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from PIL import Image

from datasets_scripts import CORPORA, CorpusError
from datasets_scripts.__main__ import main
from datasets_scripts.publishing.publish import written_files
from tests.hub_server import HubServer, Reply

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
REPOSITORY = Path(__file__).parents[2]
RIGHTS = "--i-hold-the-rights"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "meld"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        rows = "I\u2019m,Ann,joy,0,0\nHo.,Bob,fear,0,2\nHm.,Bob,joy,1,0\n"
        (folder / f"{split}_sent_emo.csv").write_text(HEADER + rows, encoding="utf-8")
    return folder


def run(*argv: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command as a user runs it: what talks to a Hub reads the environment when it starts."""
    command = [sys.executable, "-m", "datasets_scripts", *map(str, argv)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | environment
    return subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=120)


def call(*argv: str | Path) -> None:
    main([str(word) for word in argv])


def read_back(folder: Path) -> datasets.DatasetDict:
    return datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "read"))


def test_help_lists_every_corpus_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        call("--help")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in CORPORA)
    assert "options: normalize_text, seed" in printed


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([], "nothing to do: add --describe, --out DIR or --push"),
        (["--describe", "--overwrite"], "--overwrite goes with --out"),
        (["--describe", "--private"], "--private goes with --push"),
        (["--out", "x", RIGHTS], "--i-hold-the-rights goes with --push"),
        (["--out", "x", "--picture", "y.png"], "--picture goes with --describe"),
    ],
)
def test_command_line_that_means_nothing_stops_with_a_hint(
    root: Path, extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        call("meld", root, *extra)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["melt", "."], "unknown corpus 'melt': choose one of .*meld"),
        (["meld", ".", "--option", "normalise=1"], "'meld' has no option normalise: it knows normalize_text"),
        (["meld", ".", "--option", "seed"], "--option 'seed' is not KEY=VALUE"),
        (["meld", ".", "--option", "seed=[1"], "--option 'seed=.1': the value after = is no YAML"),
        (["meld"], "pass data_dir"),
    ],
)
def test_wrong_name_or_option_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(*argv, "--describe")


def test_describe_prints_facts_and_saves_a_picture_here(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call("meld", root, "--describe")
    printed = capsys.readouterr().out
    assert ["dialogues", "2", "2", "2"] in [line.split() for line in printed.splitlines()]
    assert printed.endswith("label balance: meld_labels.png\n")
    with Image.open(tmp_path / "meld_labels.png") as picture:
        assert picture.width == 1280


def test_describe_and_out_go_together_with_options(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = tmp_path / "labels.png", tmp_path / "new" / "out"
    call("meld", root, "--describe", "--picture", picture, "--out", out, "--option", "normalize_text=false")
    assert picture.is_file()
    assert f"written: {out}" in capsys.readouterr().out
    assert read_back(out)["train"][0]["utterances"][0]["text"] == "I\u2019m"
    call("meld", root, "--out", out, "--overwrite")
    assert read_back(out)["train"][0]["utterances"][0]["text"] == "I'm"


def test_card_repeats_the_command_without_folders(root: Path, tmp_path: Path) -> None:
    call("meld", root, "--out", tmp_path / "out", "--option", "normalize_text=false")
    card = (tmp_path / "out/README.md").read_text()
    assert "\npython -m datasets_scripts meld DATA_DIR --option normalize_text=false --out DIR\n" in card
    assert str(tmp_path) not in card


def test_corpus_that_may_not_be_copied_is_not_pushed(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match=r"meld is not pushed: .*GPL-3\.0.*--i-hold-the-rights"):
        call("meld", root, "--out", tmp_path / "out", "--push", "me/meld")
    assert not (tmp_path / "out").exists()


def test_wrong_corpus_stops_with_its_message_alone(root: Path) -> None:
    (root / "dev_sent_emo.csv").write_text(HEADER + "Hm.,Bob,rage,1,0\n")
    with pytest.raises(CorpusError):
        call("meld", root, "--out", root.parent / "out")
    done = run("meld", root, "--out", root.parent / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("CorpusError: ")
    assert "Emotion 'rage' is none of" in done.stderr
    assert "Traceback" not in done.stderr


def test_pushed_copy_is_what_load_dataset_reads_from_the_hub(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with HubServer() as hub:
        environment = hub.environment(tmp_path / "home")
        done = run("meld", root, "--out", out, "--push", "me/meld", "--private", RIGHTS, **environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"written: {out}\npushed: {hub.url}/datasets/me/meld\n"
        names = written_files(out)
        assert len(names) == 4
        assert hub.files("me/meld", "dataset") == {name: (out / name).read_bytes() for name in names}
        assert hub.repositories["dataset", "me/meld"].private
        script = "import datasets; print(datasets.load_dataset('me/meld')['dev'][:])"
        reader = [sys.executable, "-c", script]
        there = subprocess.run(reader, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
        assert there.stdout == f"{read_back(out)['dev'][:]}\n", there.stderr


def test_push_without_out_leaves_nothing_here_and_replaces_what_was_there(root: Path, tmp_path: Path) -> None:
    with HubServer() as hub:
        environment = hub.environment(tmp_path / "home") | {"TMPDIR": str(tmp_path)}
        done = run("meld", root, "--push", "me/meld", RIGHTS, **environment)
        assert done.stdout == f"pushed: {hub.url}/datasets/me/meld\n", done.stderr
        assert len(hub.files("me/meld", "dataset")) == 4
        assert not hub.repositories["dataset", "me/meld"].private
        # What was asked to be private must not end up in a public place.
        again = run("meld", root, "--push", "me/meld", "--private", RIGHTS, **environment)
        assert "ValueError: me/meld exists and is public" in again.stderr
        assert len(hub.repositories["dataset", "me/meld"].commits) == 2
        first = hub.files("me/meld", "dataset")
        (root / "dev_sent_emo.csv").write_text(HEADER + "New.,Bob,joy,1,0\n")
        run("meld", root, "--push", "me/meld", RIGHTS, **environment)
        second = hub.files("me/meld", "dataset")
        assert len(second) == 4
        (old,), (new,) = first.keys() - second.keys(), second.keys() - first.keys()
        assert old[:9] == new[:9] == "data/dev-"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "meld"]


def test_token_is_asked_for_before_the_work(root: Path, tmp_path: Path) -> None:
    with HubServer() as hub:
        for token, message in (("", "hf auth login"), ("hf_wrong", "Invalid user token")):
            environment = {**hub.environment(tmp_path / "home"), "HF_TOKEN": token}
            done = run("meld", root, "--out", tmp_path / "out", "--push", "me/meld", RIGHTS, **environment)
            assert done.returncode == 1
            assert message in done.stderr
            assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_refusal_of_the_hub_is_reported_and_the_copy_stays(root: Path, tmp_path: Path) -> None:
    with HubServer() as hub:
        hub.fail("POST", ".*/commit/.*", Reply.json({"error": "no space left"}, 403))
        environment = hub.environment(tmp_path / "home")
        done = run("meld", root, "--out", tmp_path / "out", "--push", "me/meld", RIGHTS, **environment)
    assert done.returncode == 1
    assert "ConnectionError: me/meld was not pushed: " in done.stderr
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(read_back(tmp_path / "out")) == ["train", "dev", "test"]


def test_unreachable_hub_is_reported(root: Path, tmp_path: Path) -> None:
    with HubServer() as hub:
        environment = hub.environment(tmp_path / "home")
    done = run("meld", root, "--push", "me/meld", RIGHTS, **environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ConnectionError: the Hub cannot be reached or rejects the login: ")
