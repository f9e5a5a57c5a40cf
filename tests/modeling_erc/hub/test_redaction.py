import json
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.hub.redaction import public, public_settings


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/ann/runs/a", "a"),
        ("/home/ann/runs/a/", "a"),
        ("~/bert", "bert"),
        ("./bert", "bert"),
        ("../ann/bert", "bert"),
        ("models/ann/bert", "bert"),
        ("C:\\Users\\ann\\bert", "bert"),
        (Path("/home/ann/bert"), "bert"),
        ({"a": ["/home/ann/b", {"c": "/home/ann/d"}]}, {"a": ["b", {"c": "d"}]}),
        ('{"media_dir": "/home/ann/clips", "seed": 1}', '{"media_dir": "clips", "seed": 1}'),
    ],
    ids=str,
)
def test_of_a_path_the_last_part_is_kept(value: Any, shown: Any) -> None:
    assert public(value) == shown


@pytest.mark.parametrize(
    "value",
    [
        "openai/whisper-tiny",
        "tiny",
        "",
        "https://huggingface.co/a/b",
        '{"setting":"4way"}',
        "{no JSON",
        "x" * 999,
        3,
        None,
    ],
    ids=str,
)
def test_other_values_are_kept(value: Any) -> None:
    assert public(value) == value


def test_an_existing_folder_is_not_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ann" / "bert").mkdir(parents=True)
    assert public("ann/bert") == "ann/bert"
    monkeypatch.chdir(tmp_path)
    assert public("ann/bert") == "bert"


def test_public_settings_contain_no_private_folder() -> None:
    settings = {
        "data_dir": "/home/ann/MELD",
        "start_from": "/home/ann/runs/a",
        "text_encoder": "/home/ann/bert",
        "audio_encoder": "openai/whisper-tiny",
        "dataset_options": {"media_dir": "/home/ann/clips"},
        "seed": 3,
    }
    shown = public_settings(settings)
    assert "ann" not in json.dumps(shown)
    assert (shown["audio_encoder"], shown["seed"], shown["start_from"]) == ("openai/whisper-tiny", 3, "a")
    assert public_settings(shown) == shown
