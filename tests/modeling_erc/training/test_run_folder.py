from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.training import ErcTrainingArguments, RunFolderError, prepare_run_folder
from modeling_erc.training.checkpoints import seal


def arguments(**settings: Any) -> ErcTrainingArguments:
    return ErcTrainingArguments(use_cpu=True, **settings)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run of three checkpoints leaves behind."""
    folder = tmp_path / "run"
    for step in (5, 10, 9):
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        (folder / f"checkpoint-{step}" / "model.safetensors").write_text("weights")
        seal(folder / f"checkpoint-{step}")
    (folder / "metrics.json").write_text("{}")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def everything_in(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_without_a_name_every_run_gets_a_fresh_numbered_folder() -> None:
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


def test_a_named_folder_with_something_in_it_asks_and_deletes_nothing(run: Path) -> None:
    before = everything_in(run)
    with pytest.raises(RunFolderError, match=r"run is not empty.*--resume.*--overwrite"):
        prepare_run_folder(arguments(output_dir=str(run)), stem="demo")
    assert everything_in(run) == before


def test_overwrite_deletes_the_run(run: Path) -> None:
    assert prepare_run_folder(arguments(output_dir=str(run), overwrite=True), stem="demo") is None
    assert run.is_dir()
    assert everything_in(run) == {}


def test_overwrite_deletes_nothing_but_runs(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    with pytest.raises(RunFolderError, match="holds no run"):
        prepare_run_folder(arguments(output_dir=str(tmp_path / "thesis"), overwrite=True), stem="demo")
    assert everything_in(tmp_path / "thesis") == {"chapter.tex": "years"}


def test_resume_goes_on_from_the_last_checkpoint(run: Path) -> None:
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
