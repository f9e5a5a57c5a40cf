import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from modeling_erc import ErcForSequenceClassification
from modeling_erc.hub.repository import PushError
from modeling_erc.training import ErcArgumentParser
from tests.hub_server import HubServer, Reply

COMMIT = "/api/models/me/erc/commit/.*"
# Two epochs of two steps; each push waits for the previous one, so that none is skipped.
PUSHING = {"push_to_hub": True, "hub_model_id": "me/erc", "hub_always_push": True, "num_train_epochs": 2}


def titles(hub: HubServer, branch: str = "main") -> list[str]:
    return [commit.title for commit in hub.repositories["model", "me/erc"].branch(branch) or []][1:]


def test_every_checkpoint_is_pushed_and_the_run_at_the_end(hub: HubServer, splits: Any, make_trainer: Any) -> None:
    trainer = make_trainer(splits, **PUSHING, save_total_limit=3)
    trainer.train()
    trainer._finish_current_push()
    assert titles(hub) == [
        "Training in progress, epoch 1.00, step 2",
        "Training in progress, epoch 2.00, step 4",
    ]
    files = hub.files("me/erc")
    last = Path(trainer.args.output_dir) / "checkpoint-4"
    assert files["model.safetensors"] == (last / "model.safetensors").read_bytes()
    score = trainer.state.log_history[-2]["eval_accuracy"]
    assert f"| 4 | {score:.4f} |" in ModelCard(files["README.md"].decode()).text
    trainer.push_to_hub()
    assert titles(hub)[2:] == ["End of training"]
    for commit in hub.repositories["model", "me/erc"].commits:
        assert not [name for name in commit.files if name.endswith((".bin", ".pt", ".pth")) or "checkpoint" in name]


def test_a_push_that_fails_ends_neither_the_training_nor_the_next_push(
    hub: HubServer, splits: Any, make_trainer: Any, caplog: Any
) -> None:
    hub.fail("POST", COMMIT, Reply.json({"error": "quota"}, 403))
    trainer = make_trainer(splits, **PUSHING, save_total_limit=3)
    trainer.train()
    trainer._finish_current_push()
    assert trainer.state.global_step == 4
    (warning,) = [line for line in caplog.messages if "was not pushed" in line]
    assert re.search(
        r"checkpoint-2: me/erc was not pushed: the Hub answered 403 \(quota\).*Training continues", warning
    )
    ErcForSequenceClassification.from_pretrained(Path(trainer.args.output_dir) / "checkpoint-2")
    assert titles(hub) == ["Training in progress, epoch 2.00, step 4"]


def test_a_refused_token_stops_the_run_before_training(hub: HubServer, splits: Any, make_trainer: Any) -> None:
    with pytest.raises(PushError, match=r"401 .*hf auth login"):
        make_trainer(splits, **PUSHING, hub_token="hf_wrong")


def test_the_end_alone_is_pushed_to_a_private_branch(hub: HubServer, splits: Any, make_trainer: Any) -> None:
    settings = {"hub_private_repo": True, "hub_revision": "v2", "hub_strategy": "end", "num_train_epochs": 1}
    trainer = make_trainer(splits, **{**PUSHING, **settings})
    trainer.train()
    assert hub.repositories["model", "me/erc"].private
    assert titles(hub, "v2") == []
    trainer.push_to_hub("Mine")
    assert titles(hub, "v2") == ["Mine"]
    assert titles(hub) == []
    with pytest.raises(ValueError, match="takes no tags"):
        trainer.push_to_hub(tags="x")


def test_a_private_push_of_a_public_run_is_refused(hub: HubServer, splits: Any, make_trainer: Any) -> None:
    trainer = make_trainer(splits, **{**PUSHING, "num_train_epochs": 1})
    with pytest.raises(ValueError, match="me/erc exists and is public"):
        trainer.push_to_hub(private=True)
    assert titles(hub) == []


def test_the_token_is_in_no_file(hub: HubServer, splits: Any, make_trainer: Any, capfd: Any) -> None:
    hub.token = "hf_top_secret"
    trainer = make_trainer(splits, **{**PUSHING, "num_train_epochs": 1}, hub_token="hf_top_secret")
    trainer.train()
    trainer.push_to_hub()
    assert len(titles(hub)) == 2
    kept = [path for path in Path(trainer.args.output_dir).rglob("*") if path.is_file()]
    assert kept
    for data in (*map(Path.read_bytes, kept), *hub.files("me/erc").values(), *map(str.encode, capfd.readouterr())):
        assert b"hf_top_secret" not in data


@pytest.mark.parametrize("strategy", ["checkpoint", "all_checkpoints"])
def test_strategies_that_push_pickles_are_refused(strategy: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"--hub_strategy {strategy} .*pickle.*every_save"):
        ErcArgumentParser().parse_dict({"push_to_hub": True, "hub_strategy": strategy, "output_dir": str(tmp_path)})
