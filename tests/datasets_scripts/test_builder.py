import shutil
from pathlib import Path

import pytest

from datasets_scripts import builder
from datasets_scripts.builder import fingerprint, hold_out

CODE = Path(builder.__file__).parent


def test_draw_does_not_depend_on_the_order_of_the_ids() -> None:
    ids = [f"d{number}" for number in range(30)]
    assert hold_out(ids, 5, seed=1) == hold_out(ids[::-1], 5, seed=1)


def test_seeds_draw_different_dialogues_of_the_requested_number() -> None:
    ids = [f"d{number}" for number in range(30)]
    draws = {hold_out(ids, 5, seed) for seed in range(5)}
    assert len(draws) == 5
    assert all(len(drawn) == 5 and drawn < set(ids) for drawn in draws)


@pytest.mark.parametrize("count", [-1, 3, 4])
def test_drawing_all_dialogues_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="keep at least one for training"):
        hold_out(["a", "b", "c"], count, seed=0)


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        ("table.py", True),
        ("labels.py", True),
        # Their output is what a feature corpus reads.
        ("pickles/convert.py", True),
        ("pickles/members.py", True),
        ("publishing/publish.py", False),
        # The files that it writes are in the fingerprint.
        ("demo_corpus/script.py", False),
    ],
)
def test_edit_of_the_code_makes_caches_stale_only_where_rows_depend_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str, stale: bool
) -> None:
    shutil.copytree(CODE, tmp_path / "code", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(builder, "__file__", str(tmp_path / "code" / "builder.py"))
    before = fingerprint([])
    with (tmp_path / "code" / edited).open("a") as file:
        file.write("# edited\n")
    assert (fingerprint([]) != before) == stale


def test_changed_raw_file_makes_caches_stale(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text("a")
    before = fingerprint([tmp_path / "raw.csv"])
    assert fingerprint([tmp_path / "raw.csv"]) == before
    (tmp_path / "raw.csv").write_text("ab")
    assert fingerprint([tmp_path / "raw.csv"]) != before
