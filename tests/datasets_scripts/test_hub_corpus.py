"""Corpora on the Hub, read from a Hub on this machine."""

import io
import zipfile
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import pytest
import soundfile

from datasets_scripts import load_erc_dataset
from tests.hub_server import Commit, HubServer, Reply, Repository

CSV = b"dialogue_id,text,audio,label\na,Hi.,clips/x.wav,joy\na,Ho.,clips/y.wav,sad\n"


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, [0.0] * 160, 16000, format="WAV")
    return file.getvalue()


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, wav())
    return file.getvalue()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)


def put(hub: HubServer, files: dict[str, bytes], *, private: bool = False) -> None:
    commits = [
        Commit("1" * 40, "first", {"train.csv": CSV.replace(b"Hi.", b"Old.")}),
        Commit("2" * 40, "second", files),
    ]
    hub.repositories["dataset", "me/talks"] = Repository("me/talks", private, commits)


def turns(data_dir: str, **options: Any) -> list[dict[str, Any]]:
    data = load_erc_dataset("table", data_dir, streaming=True, split_by="none", **options)
    return [turn for row in data["train"] for turn in row["utterances"]]


@pytest.mark.parametrize(
    "clips", [{"clips/x.wav": wav(), "clips/y.wav": wav()}, {"clips.zip": zipped("x.wav", "y.wav")}]
)
@pytest.mark.parametrize("private", [False, True])
def test_a_dataset_of_the_hub_is_a_corpus(hub: HubServer, clips: dict[str, bytes], private: bool) -> None:
    put(hub, {"train.csv": CSV, "README.md": b"talks", "model.bin": b"0" * 100, **clips}, private=private)
    found = turns("me/talks")
    assert [turn["text"] for turn in found] == ["Hi.", "Ho."]
    assert all(soundfile.info(turn["audio_path"]).frames == 160 for turn in found)
    fetched = {request.path.rpartition("/")[2] for request in hub.requests if "/resolve/" in request.path}
    assert fetched == {"train.csv", *(Path(name).name for name in clips)}


def test_an_address_names_revision_and_folder(hub: HubServer) -> None:
    files = {"english/train.csv": CSV.replace(b"Hi.", b"Hello."), "german/train.csv": CSV}
    put(hub, files)
    assert turns("hf://datasets/me/talks/english")[0]["text"] == "Hello."
    assert turns(f"hf://datasets/me/talks@{'1' * 40}")[0]["text"] == "Old."
    assert turns("hf://datasets/me/talks/german/train.csv")[0]["text"] == "Hi."
    assert not any("english" in request.path for request in hub.requests if "german" in request.path)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("me/other", r"data_dir me/other is no folder here, and the Hub has no dataset me/other that you may read"),
        ("hf://datasets/me/talks@no", r"the dataset me/talks of the Hub has no revision no"),
        ("hf://datasets/me/talks/no", r"the dataset me/talks of the Hub has no table or media in no"),
        ("hf://me/talks", r"write hf://datasets/user/name"),
        ("here/other", r"data_dir .*here/other is no folder: pass"),
    ],
)
def test_what_the_hub_does_not_have_is_refused(hub: HubServer, tmp_path: Path, address: str, message: str) -> None:
    put(hub, {"train.csv": CSV})
    (tmp_path / "here").mkdir()
    with pytest.raises((OSError, ValueError), match=message):
        turns(address)
    assert not any("here" in request.path for request in hub.requests)


@pytest.mark.parametrize("offline", [True, False])
def test_without_the_hub_a_fetched_dataset_still_loads(
    hub: HubServer, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(hub, {"train.csv": CSV})
    turns("me/talks")
    if offline:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:
        hub.fail("GET", ".*", *[Reply.json({"error": "down"}, 503)] * 50)
    assert len(turns("me/talks")) == 2
    with pytest.raises(
        ConnectionError, match=r"data_dir me/other is no folder here, and the dataset me/other cannot be"
    ):
        turns("me/other")
