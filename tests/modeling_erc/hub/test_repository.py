import os
import re
import shlex
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import transformers
import yaml
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HFValidationError

from modeling_erc.hub import repository as hub_module
from modeling_erc.hub.repository import HubRepository, PushError, is_pushed, staged
from tests.hub_server import HubServer, Reply

COMMIT = "/api/models/me/erc/commit/main"
UPLOAD = "/lfs-upload/.*"
CREATE = "/api/repos/create"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "WAITS", (0.01, 0.02, 0.04))


def tries(hub: HubServer, pattern: str, method: str = "POST") -> list[float]:
    """When requests to a path came."""
    return [r.time for r in hub.requests if r.method == method and re.fullmatch(pattern, r.path)]


def test_exactly_the_files_that_a_user_needs_are_pushed(hub: HubServer, checkpoint: Path) -> None:
    (checkpoint / ".eval_results").mkdir()
    (checkpoint / ".eval_results" / "erc-meld.yaml").write_text("[]\n")
    before = content(checkpoint)
    address = HubRepository("me/erc").push(checkpoint)
    files = hub.files("me/erc")
    commits = hub.repositories["model", "me/erc"].commits
    assert address == f"{hub.url}/me/erc/commit/{commits[-1].sha}"
    assert [commit.title for commit in commits[1:]] == ["Upload the model"]
    reports = {"README.md", "metrics.json", "run_config.yaml", "confusion_matrix.png", "robustness/curves.png"}
    reports.add(".eval_results/erc-meld.yaml")
    model = {"model.safetensors", "config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"}
    code = {path.name for path in checkpoint.glob("*.py")}
    assert {"modeling_erc.py", "processing_erc.py", "media_erc.py"} <= code
    assert set(files) == reports | model | code
    # Private folders are removed; all other files are unchanged.
    assert yaml.safe_load(files.pop("run_config.yaml")) == {"seed": 3, "start_from": "a"}
    assert files == {name: before[name] for name in files}
    assert content(checkpoint) == before


def test_a_checkpoint_of_an_unfinished_run_gets_a_card_that_says_so(hub: HubServer, checkpoint: Path) -> None:
    HubRepository("me/erc").push(checkpoint / "checkpoint-6", "step 6")
    files = hub.files("me/erc")
    assert files["model.safetensors"] == (checkpoint / "checkpoint-6" / "model.safetensors").read_bytes()
    assert not [name for name in files if name.endswith((".bin", ".pt", "state.json"))]
    card: Any = ModelCard(files["README.md"].decode())
    assert "step 6 (epoch 2.00)" in card.text
    assert "| 6 | 0.5000 | 0.4000 | 0.3000 |" in card.text
    assert "Consent" in card.text
    assert card.data.eval_results is None
    assert not (checkpoint / "checkpoint-6" / "README.md").exists()


def test_outdated_files_of_a_push_are_deleted_and_files_of_others_are_kept(hub: HubServer, checkpoint: Path) -> None:
    repository = HubRepository("me/erc")
    repository.push(checkpoint)
    foreign = {"notes.md": b"mine", "onnx/config.json": b"{}", ".eval_results/hle.yaml": b"[]"}
    for name, data in foreign.items():
        HfApi().upload_file(path_or_fileobj=data, path_in_repo=name, repo_id="me/erc")
    (checkpoint / "robustness" / "curves.png").unlink()
    repository.push(checkpoint)
    files = hub.files("me/erc")
    assert "robustness/curves.png" not in files
    assert foreign.items() <= files.items()


def test_a_second_push_uploads_no_file_again(hub: HubServer, checkpoint: Path) -> None:
    HubRepository("me/erc").push(checkpoint)
    first = len(tries(hub, UPLOAD, "PUT"))
    assert first == 3  # weights and two pictures
    HubRepository("me/erc").push(checkpoint)
    assert len(tries(hub, UPLOAD, "PUT")) == first
    assert len(hub.repositories["model", "me/erc"].commits) == 2


def test_a_branch_is_created_and_main_is_not_changed(hub: HubServer, checkpoint: Path) -> None:
    repository = HubRepository("me/erc", revision="v1/a")
    for _ in range(2):
        repository.push(checkpoint)
    assert "model.safetensors" in hub.files("me/erc", branch="v1/a")
    assert hub.files("me/erc") == {}


def test_a_private_repository_is_private_or_refused(hub: HubServer, checkpoint: Path) -> None:
    HubRepository("me/erc", private=True).push(checkpoint)
    assert hub.repositories["model", "me/erc"].private
    HubRepository("me/erc", private=True).push(checkpoint)
    HubRepository("me/open").push(checkpoint)
    with pytest.raises(ValueError, match="me/open exists and is public"):
        HubRepository("me/open", private=True).push(checkpoint)
    assert len(hub.repositories["model", "me/open"].commits) == 2


@pytest.mark.parametrize("name", ["a/b/c", "me/er c", "me/..erc"])
def test_an_invalid_name_is_refused_at_once(hub: HubServer, checkpoint: Path, name: str) -> None:
    with pytest.raises(HFValidationError):
        HubRepository(name).push(checkpoint)
    assert not hub.requests


# ---- failures ----


@pytest.mark.parametrize(
    ("path", "status", "parts"),
    [
        (CREATE, 401, ["401 (no way)", "hf auth login", "HF_TOKEN"]),
        (CREATE, 403, ["403 (no way)", "yours or your organisation's", "write permission"]),
        (COMMIT, 401, ["401 (no way)", "hf auth login"]),
        (COMMIT, 403, ["403 (no way)", "write permission"]),
        (COMMIT, 404, ["404 (no way)", "check the name"]),
        (COMMIT, 400, ["400 (no way)"]),
    ],
)
def test_a_refusal_names_its_remedy_and_is_not_retried(
    hub: HubServer, checkpoint: Path, path: str, status: int, parts: list[str]
) -> None:
    before = content(checkpoint)
    hub.fail("POST", path, *[Reply.json({"error": "no way"}, status)] * 2)
    with pytest.raises(PushError) as refused:
        HubRepository("me/erc", private=True, revision="it's v1" if path == CREATE else None).push(checkpoint)
    message = str(refused.value)
    assert all(part in message for part in ["me/erc was not pushed", *parts]), message
    assert len(tries(hub, path)) == 1
    assert content(checkpoint) == before
    # The last line is a command that can be run.
    command = shlex.split(message.splitlines()[-1])
    branch = ["--revision", "it's v1"] if path == CREATE else []
    assert command == ["python", "-m", "modeling_erc", "push", str(checkpoint), "me/erc", "--private", *branch]


def test_a_wrong_and_a_missing_token_are_refused_by_the_hub(
    hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PushError, match=r"401 .*hf auth login"):
        HubRepository("me/erc", token="hf_wrong").push(checkpoint)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(checkpoint / "no_token"))
    with pytest.raises(PushError, match=r"401 .*hf auth login"):
        HubRepository("me/erc").push(checkpoint)


def test_the_pause_that_a_busy_hub_requests_is_kept(hub: HubServer, checkpoint: Path) -> None:
    busy = Reply.json({"error": "slow down"}, 429)
    busy.headers["Retry-After"] = "2"
    hub.fail("POST", COMMIT, busy)
    HubRepository("me/erc").push(checkpoint)
    first, second = tries(hub, COMMIT)
    assert 2 <= second - first < 8
    assert "model.safetensors" in hub.files("me/erc")


def test_a_pause_of_an_hour_is_a_refusal(hub: HubServer, checkpoint: Path) -> None:
    busy = Reply.json({"error": "slow down"}, 429)
    busy.headers["Retry-After"] = "3600"
    hub.fail("POST", COMMIT, busy)
    with pytest.raises(PushError, match=r"429 .*try again later"):
        HubRepository("me/erc").push(checkpoint)


@pytest.mark.parametrize("path", [CREATE, COMMIT, "/api/validate-yaml"])
@pytest.mark.parametrize("trouble", [Reply(b"<html>", 500), Reply.json({"error": "x"}, 503), None], ids=str)
def test_temporary_failures_are_retried(
    hub: HubServer, checkpoint: Path, quick: None, path: str, trouble: Reply | None
) -> None:
    hub.fail("POST", path, trouble, trouble)
    HubRepository("me/erc").push(checkpoint)
    assert len(tries(hub, path)) >= 3
    assert hub.files("me/erc")["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()


def test_an_upload_whose_connection_is_cut_is_retried(hub: HubServer, checkpoint: Path) -> None:
    hub.fail("PUT", UPLOAD, None)
    HubRepository("me/erc").push(checkpoint)
    halves = [r for r in hub.requests if r.method == "PUT" and len(r.body) < int(r.headers["content-length"])]
    assert len(halves) == 1
    assert hub.files("me/erc")["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()


def test_a_conflicting_commit_is_retried_and_reported_if_it_persists(
    hub: HubServer, checkpoint: Path, quick: None
) -> None:
    conflict = Reply.json({"error": "another commit is under way"}, 409)
    hub.fail("POST", COMMIT, conflict)
    HubRepository("me/erc").push(checkpoint)
    assert len(tries(hub, COMMIT)) == 2
    (checkpoint / "metrics.json").write_text("[]")
    hub.fail("POST", COMMIT, *[conflict] * 4)
    with pytest.raises(PushError, match=r"409 .another commit is under way.*try again in a minute"):
        HubRepository("me/erc").push(checkpoint)


def test_a_lasting_failure_is_reported(hub: HubServer, checkpoint: Path, quick: None) -> None:
    before = content(checkpoint)
    hub.fail("POST", COMMIT, *[Reply.json({"error": "on fire"}, 500)] * 9)
    with pytest.raises(PushError, match=r"500 \(on fire\)\. Try again later"):
        HubRepository("me/erc").push(checkpoint)
    assert len(tries(hub, COMMIT)) == 4
    assert content(checkpoint) == before


def test_an_unreachable_hub_is_reported(checkpoint: Path, quick: None, hub: HubServer) -> None:
    hub.__exit__(None, None, None)
    with pytest.raises(PushError, match=rf"ConnectError.*Is {hub.url} the Hub \(HF_ENDPOINT\)"):
        HubRepository("me/erc").push(checkpoint)


def test_no_message_contains_the_token(hub: HubServer, checkpoint: Path, capfd: Any, caplog: Any) -> None:
    hub.fail("POST", CREATE, Reply.json({"error": "I do not know hf_top_secret"}, 401))
    for token in ("hf_top\nsecret", "hf_top_secr\u00e9t_secret", "hf_top_secret"):
        with pytest.raises((PushError, ValueError)) as refused:
            HubRepository("me/erc", token=token).push(checkpoint)
        for text in (str(refused.value), caplog.text, *capfd.readouterr()):
            assert "secr" not in text


# ---- folders that are not checkpoints ----


def test_a_folder_that_cannot_be_loaded_is_not_pushed(hub: HubServer, checkpoint: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        HubRepository("me/erc").push(checkpoint / "gone")
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    (checkpoint / "processing_erc.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no processing_erc\.py, model\.safetensors"):
        HubRepository("me/erc").push(checkpoint)
    assert not hub.requests


def test_every_shard_of_a_large_model_is_required(checkpoint: Path) -> None:
    from modeling_erc import ErcForSequenceClassification

    model = ErcForSequenceClassification.from_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="40kB")
    shards = sorted(path.name for path in checkpoint.glob("model-*.safetensors"))
    assert len(shards) > 2
    with staged(checkpoint) as stage:
        assert {"model.safetensors.index.json", *shards} <= {path.name for path in stage.iterdir()}
    (checkpoint / shards[1]).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(shards[1])), staged(checkpoint):
        pass


def test_staged_files_outlive_the_checkpoint(checkpoint: Path) -> None:
    weights = (checkpoint / "model.safetensors").read_bytes()
    with staged(checkpoint) as stage:
        os.unlink(checkpoint / "model.safetensors")
        assert (stage / "model.safetensors").read_bytes() == weights
    assert not stage.exists()


@pytest.mark.parametrize(
    ("name", "pushed"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("pipeline_erc.py", True),
        ("robustness/curves.png", True),
        (".eval_results/erc-meld.yaml", True),
        (".eval_results/hle.yaml", False),
        ("checkpoint-6/model.safetensors", False),
        ("optimizer.pt", False),
        ("training_args.bin", False),
        ("predictions.csv", False),
        ("robustness/deep/curves.png", False),
    ],
)
def test_pushed_files_are_chosen_by_pattern(name: str, pushed: bool) -> None:
    assert is_pushed(name) is pushed


def test_every_file_of_every_tokenizer_of_transformers_is_pushed() -> None:
    written = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
    for source in Path(transformers.__file__).parent.glob("models/*/tokenization_*.py"):
        text = source.read_text(encoding="utf-8")
        for names in re.findall(r"^VOCAB_FILES_NAMES\b[^{]*\{([^}]*)\}", text, re.MULTILINE):
            written |= set(re.findall(r":\s*\"([^\"]+)\"", names))
    assert {"bpe.codes", "vocab.txt", "source.spm"} <= written, "what BERTweet and Marian need"
    assert [name for name in sorted(written) if not is_pushed(name)] == []
