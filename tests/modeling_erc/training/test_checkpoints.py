from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.training import ErcTrainingArguments
from modeling_erc.training.checkpoints import (
    CheckpointError,
    RunFolderError,
    check_resumed,
    checkpoints_of,
    delete_old_run,
    fault_of,
    prepare_run_folder,
    rotate,
    seal,
    write_identity,
    writing,
)


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


def test_a_sealed_checkpoint_is_complete(tmp_path: Path) -> None:
    assert fault_of(make(tmp_path, 5)) is None


def test_an_interrupted_checkpoint_is_incomplete(tmp_path: Path) -> None:
    assert fault_of(make(tmp_path, 1, sealed=False)) == "it has no whole.json, which is written last"
    shorter, lacking, torn = (make(tmp_path, step) for step in (2, 3, 4))
    (shorter / "model.safetensors").write_text("weights")
    assert fault_of(shorter) == "model.safetensors has 7 bytes in place of 700"
    (lacking / "optimizer" / "part").unlink()
    assert fault_of(lacking) == "it lacks optimizer/part"
    (torn / "whole.json").write_text('{"model.safe')
    assert fault_of(torn) == "it has no whole.json, which is written last"


def test_checkpoints_are_ordered_by_step_the_last_first(tmp_path: Path) -> None:
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


def test_a_failure_to_write_names_the_remedy(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        with writing(folder):
            folder.mkdir()
            (folder / "model.safetensors").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(
        CheckpointError, match=r"No space left.*no complete checkpoint yet.*start again with --overwrite"
    ):
        fill(tmp_path / "checkpoint-4")
    make(tmp_path, 2)
    with pytest.raises(
        CheckpointError, match=r"checkpoint-4 could not.*checkpoint-2 is complete.*continue with --resume"
    ):
        fill(tmp_path / "checkpoint-4")
    assert names(tmp_path) == ["checkpoint-2"]


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing(tmp_path / "checkpoint-4"):
        raise KeyError("weighted_f1")


def arguments(**settings: Any) -> ErcTrainingArguments:
    return ErcTrainingArguments(use_cpu=True, **settings)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with three checkpoints."""
    folder = tmp_path / "run"
    for step in (5, 10, 9):
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        (folder / f"checkpoint-{step}" / "model.safetensors").write_text("weights")
        seal(folder / f"checkpoint-{step}")
    (folder / "metrics.json").write_text("{}")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


def everything_in(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_without_a_name_every_run_gets_a_new_numbered_folder() -> None:
    (Path("runs") / "demo-002").mkdir(parents=True)
    made = []
    for _ in range(3):
        args = arguments()
        assert prepare_run_folder(args, stem="demo") is None
        assert Path(str(args.output_dir)).is_dir()
        made.append(args.output_dir)
    assert made == [str(Path("runs") / f"demo-{number}") for number in ("001", "003", "004")]


def test_runs_that_start_at_once_do_not_share_a_folder() -> None:
    waiting = [arguments() for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda args: prepare_run_folder(args, stem="demo"), waiting))
    assert len({args.output_dir for args in waiting}) == 16


def test_a_named_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    new = tmp_path / "some" / "where"
    args = arguments(output_dir=str(new))
    assert prepare_run_folder(args, stem="demo") is None
    assert new.is_dir()
    assert prepare_run_folder(arguments(output_dir=str(new)), stem="demo") is None
    assert args.output_dir == str(new)


def test_a_folder_in_use_is_refused_and_nothing_is_deleted(run: Path) -> None:
    before = everything_in(run)
    with pytest.raises(RunFolderError, match=r"run is not empty.*--resume.*--overwrite"):
        prepare_run_folder(arguments(output_dir=str(run)), stem="demo")
    assert everything_in(run) == before


def test_overwrite_deletes_the_run_only_when_training_starts(run: Path) -> None:
    before = everything_in(run)
    args = arguments(output_dir=str(run), overwrite=True)
    assert prepare_run_folder(args, stem="demo") is None
    assert everything_in(run) == before
    delete_old_run(args)
    assert run.is_dir()
    assert everything_in(run) == {}


def test_overwrite_deletes_nothing_but_runs(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    with pytest.raises(RunFolderError, match="holds no run"):
        prepare_run_folder(arguments(output_dir=str(tmp_path / "thesis"), overwrite=True), stem="demo")
    assert everything_in(tmp_path / "thesis") == {"chapter.tex": "years"}


def test_resume_continues_from_the_last_checkpoint(run: Path) -> None:
    before = everything_in(run)
    checkpoint = prepare_run_folder(arguments(output_dir=str(run), resume=True), stem="demo")
    assert checkpoint == str(run / "checkpoint-10")
    assert everything_in(run) == before


def test_resume_of_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "new"):
        with pytest.raises(RunFolderError, match=f"{folder.name} holds no checkpoint.*--resume"):
            prepare_run_folder(arguments(output_dir=str(folder), resume=True), stem="demo")


def test_resume_without_a_folder_is_refused() -> None:
    with pytest.raises(RunFolderError, match="--resume needs --output_dir"):
        prepare_run_folder(arguments(resume=True), stem="demo")
    assert not Path("runs").exists()


def test_resume_and_overwrite_exclude_each_other(run: Path) -> None:
    before = everything_in(run)
    with pytest.raises(RunFolderError, match="one of them"):
        prepare_run_folder(arguments(output_dir=str(run), resume=True, overwrite=True), stem="demo")
    assert everything_in(run) == before


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunFolderError, match="is a file"):
        prepare_run_folder(arguments(output_dir=str(tmp_path / "run")), stem="demo")


def test_a_resumed_run_has_the_settings_and_the_corpus_of_the_first(tmp_path: Path) -> None:
    args = ErcTrainingArguments(output_dir=str(tmp_path), resume=True)
    write_identity(args, {"learning_rate": 0.1, "data_dir": "/here", "seed": 3}, "abc")
    check_resumed(args, {"learning_rate": 0.1, "data_dir": "/moved", "seed": 3, "report_to": ["tensorboard"]}, "abc")
    with pytest.raises(RunFolderError) as error:
        check_resumed(args, {"learning_rate": 0.2, "hidden_size": 64}, "def")
    for text in (
        "corpus fingerprint abc before, def now",
        "hidden_size default before, 64 now",
        "learning_rate 0.1 before, 0.2 now",
        "seed 3 before, default now",
        "--resume_anyway",
    ):
        assert text in str(error.value)
    anyway = ErcTrainingArguments(output_dir=str(tmp_path), resume_anyway=True)
    assert anyway.resume
    check_resumed(anyway, {"learning_rate": 0.2}, "def")


def test_a_run_of_an_earlier_version_can_be_resumed(tmp_path: Path) -> None:
    check_resumed(ErcTrainingArguments(output_dir=str(tmp_path), resume=True), {"seed": 1}, "abc")
