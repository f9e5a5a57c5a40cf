import json
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.features_in import plain_cost, recipe_cost
from benchmarks.table import BENCHMARKS, Table


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_benchmark_runs_at_a_tiny_size(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "results.json"
    run.main(["--quick", "--only", name, "--json", str(figures), "--markdown", str(tmp_path / "RESULTS.md")])
    printed, page = capsys.readouterr().out, (tmp_path / "RESULTS.md").read_text()
    tables = [Table(**table) for table in json.loads(figures.read_text())[name]["tables"]]
    assert tables and all(len(row) == len(table.columns) for table in tables for row in table.rows)
    for table in tables:
        assert str(table) in printed and str(table) in page
        numbers = [cell for row in table.rows for cell in row if isinstance(cell, float)]
        assert numbers and all(0 <= number < 1e9 for number in numbers)


def test_figures_of_other_benchmarks_stay_in_the_file(tmp_path: Path) -> None:
    figures = tmp_path / "results.json"
    figures.write_text(json.dumps({"earlier": {"tables": [], "machine": "another"}}))
    run.main(["--quick", "--only", "growth", "--json", str(figures)])
    assert set(json.loads(figures.read_text())) == {"earlier", "growth"}


def test_an_unknown_benchmark_is_named_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--only", "featuresin"])
    assert "features_in" in capsys.readouterr().err


def test_training_costs_no_more_than_a_plain_recurrent_network_with_slack() -> None:
    lengths = [40] * 16
    ours, plain = recipe_cost("iemocap_features", lengths, epochs=3), plain_cost(lengths, epochs=3)
    assert ours.epoch < 1.5 * plain.epoch
    assert ours.inference < 1.5 * plain.inference
