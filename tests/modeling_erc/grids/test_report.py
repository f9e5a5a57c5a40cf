import csv
from pathlib import Path

import pytest

from modeling_erc.grids.comparison import compare
from modeling_erc.grids.report import cell_facts, markdown, write_csv
from modeling_erc.grids.spec import Cell
from tests.small_grid import CONCAT, GATED, JOINT, compared, made_up_grid


def test_the_table_has_a_row_for_each_cell_and_states_the_unit_of_the_intervals() -> None:
    runs = made_up_grid({JOINT: 0.5, CONCAT: 0.52, GATED: 0.8})
    tensor: Cell = (("fusion", "tensor"),)
    comparison = compare(runs, [JOINT, CONCAT, GATED, tensor], JOINT, [0, 1, 2, 3])
    text = markdown(comparison, {})
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert f"**{comparison.differences[GATED].value:+.3f} [" in rows["| gated"]
    assert f"| {comparison.differences[CONCAT].value:+.3f} [" in rows["| concat"]
    assert "| baseline |" in rows["| joint_vector"]
    assert rows["| tensor"] == "| tensor | 0 | - | - | - | - |"
    assert "400 labelled utterances in 80 dialogues" in text
    assert "seeds 0, 1, 2, 3" in text
    assert "interval for other seeds and other dialogues" in text
    smallest = max(change.detectable for change in comparison.differences.values())
    assert f"with a power of 80 %: {smallest:.3f}" in text


def test_several_fields_have_a_table_of_effects() -> None:
    cells: list[Cell] = [
        (("fusion", f), ("contrastive", c)) for f in ("joint_vector", "concat") for c in ("inter_class", "none")
    ]
    comparison = compared(made_up_grid(dict(zip(cells, (0.7, 0.7, 0.5, 0.4), strict=True))))
    effect = comparison.effects["fusion", "concat"]
    assert f"| fusion | concat | joint_vector | {effect} |" in markdown(comparison, {})


def test_one_seed_has_no_deviation() -> None:
    comparison = compared(made_up_grid({JOINT: 0.5, CONCAT: 0.9}, seeds=1))
    assert comparison.differences[CONCAT].low > 0
    assert "±" not in markdown(comparison, {}).splitlines()[2]


def test_the_seconds_of_a_cell_are_the_mean_over_its_runs() -> None:
    seconds = {(JOINT, 0): 2.0, (JOINT, 1): 4.5, (CONCAT, 0): 60.0}
    facts = cell_facts({key: {"parameters": 1234, "seconds": value} for key, value in seconds.items()})
    assert facts == {
        JOINT: {"parameters": 1234, "seconds a run": 3.2},
        CONCAT: {"parameters": 1234, "seconds a run": 60.0},
    }
    comparison = compared(made_up_grid({JOINT: 0.5, CONCAT: 0.9}))
    assert markdown(comparison, facts).splitlines()[2].endswith("| baseline | 1,234 | 3 |")


def test_the_csv_holds_the_numbers(tmp_path: Path) -> None:
    comparison = compared(made_up_grid({JOINT: 0.5, CONCAT: 0.7}), classes=["fear"])
    write_csv(comparison, tmp_path / "table.csv", {JOINT: {"parameters": 10}, CONCAT: {"parameters": 12}})
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["fusion"], first["seeds"], first["difference"], first["parameters"]) == (
        "joint_vector",
        "4",
        "",
        "10",
    )
    assert float(second["classes_f1_mean"]) == pytest.approx(comparison.scores["classes_f1"][1].mean(), abs=1e-6)
    assert float(second["macro_f1_sd"]) == pytest.approx(comparison.scores["macro_f1"][1].std(ddof=1), abs=1e-6)
    numbers = [float(second[name]) for name in ("difference", "low", "high")]
    estimate = comparison.differences[CONCAT]
    assert numbers == pytest.approx([estimate.value, estimate.low, estimate.high], abs=1e-6)
    assert second["metric"] == "weighted_f1"
