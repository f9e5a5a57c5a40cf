from pathlib import Path

import pytest

from modeling_erc.training.checkpoints import CheckpointError, checkpoints_of, fault_of, rotate, seal, writing


def make(run: Path, step: int, sealed: bool = True) -> Path:
    folder = run / f"checkpoint-{step}"
    (folder / "optimizer").mkdir(parents=True)
    (folder / "model.safetensors").write_text("weights" * 100)
    (folder / "optimizer" / "part").write_text("moments")
    if sealed:
        seal(folder)
    return folder


def names(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


def test_a_sealed_checkpoint_is_whole(tmp_path: Path) -> None:
    assert fault_of(make(tmp_path, 5)) is None


def test_what_was_cut_short_is_not_whole(tmp_path: Path) -> None:
    assert fault_of(make(tmp_path, 1, sealed=False)) == "it has no whole.json, which is written last"
    shorter, lacking, torn = (make(tmp_path, step) for step in (2, 3, 4))
    (shorter / "model.safetensors").write_text("weights")
    assert fault_of(shorter) == "model.safetensors has 7 bytes in place of 700"
    (lacking / "optimizer" / "part").unlink()
    assert fault_of(lacking) == "it lacks optimizer/part"
    (torn / "whole.json").write_text('{"model.safe')
    assert fault_of(torn) == "it has no whole.json, which is written last"


def test_checkpoints_come_by_their_steps_the_last_first(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        make(tmp_path, step, sealed=step != 20)
    found = checkpoints_of(tmp_path)
    assert [path.name for path in found] == ["checkpoint-100", "checkpoint-20", "checkpoint-9"]
    assert [fault is None for fault in found.values()] == [True, False, True]


@pytest.mark.parametrize(
    ("limit", "best", "kept"),
    [
        (None, None, [1, 2, 4, 5]),
        (0, None, [1, 2, 4, 5]),
        (1, None, [5]),
        (1, 2, [2, 5]),
        (2, None, [4, 5]),
        (3, 1, [1, 4, 5]),
        (9, 1, [1, 2, 4, 5]),
    ],
)
def test_rotation_keeps_the_last_and_the_best(
    tmp_path: Path, limit: int | None, best: int | None, kept: list[int]
) -> None:
    for step in (1, 2, 4, 5):
        make(tmp_path, step)
    make(tmp_path, 3, sealed=False)
    make(tmp_path, 6, sealed=False)
    rotate(tmp_path, limit, None if best is None else str(tmp_path / f"checkpoint-{best}"))
    assert names(tmp_path) == [f"checkpoint-{step}" for step in kept]


def test_a_failure_to_write_says_what_to_do(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        with writing(folder):
            folder.mkdir()
            (folder / "model.safetensors").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match=r"No space left.*no whole checkpoint yet.*start again with --overwrite"):
        fill(tmp_path / "checkpoint-4")
    make(tmp_path, 2)
    with pytest.raises(CheckpointError, match=r"checkpoint-4 could not.*checkpoint-2 is whole.*go on with --resume"):
        fill(tmp_path / "checkpoint-4")
    assert names(tmp_path) == ["checkpoint-2"]


def test_a_fault_of_the_program_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing(tmp_path / "checkpoint-4"):
        raise KeyError("weighted_f1")
