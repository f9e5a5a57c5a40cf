import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from modeling_erc.grids.comparison import Cell, Comparison, Predictions, compare, markdown, read_predictions, write_csv

CLASSES = ["neutral", "joy", "fear"]
JOINT: Cell = (("fusion", "joint_vector"),)
CONCAT: Cell = (("fusion", "concat"),)
GATED: Cell = (("fusion", "gated"),)
TRUE = np.random.default_rng(5).integers(3, size=400)
PLACES = [(f"d{index // 7}", str(index), CLASSES[label]) for index, label in enumerate(TRUE)]


def run(accuracy: float, seed: int, true: np.ndarray = TRUE) -> Predictions:
    """Right for a share of the utterances, drawn by the seed; else a guess."""
    random = np.random.default_rng(seed)
    predicted = np.where(random.random(len(true)) < accuracy, true, random.integers(3, size=len(true)))
    return Predictions(PLACES, CLASSES, true, predicted)


def grid(accuracies: dict[Cell, float], seeds: int = 4) -> dict[tuple[Cell, int], Predictions]:
    return {
        (cell, seed): run(accuracy, 100 * index + seed)
        for index, (cell, accuracy) in enumerate(accuracies.items())
        for seed in range(seeds)
    }


def compared(runs: dict[tuple[Cell, int], Predictions], **options: object) -> Comparison:
    cells = list(dict.fromkeys(cell for cell, _ in runs))
    return compare(runs, cells, cells[0], sorted({seed for _, seed in runs}), **options)  # type: ignore[arg-type]


def test_scores_are_those_of_scikit_learn() -> None:
    runs = grid({JOINT: 0.7, CONCAT: 0.2}, seeds=2)
    # A class that nobody predicts.
    runs[CONCAT, 1].predicted[runs[CONCAT, 1].predicted == 2] = 0
    found = compared(runs, classes=["fear", "joy"])
    for row, cell in enumerate((JOINT, CONCAT)):
        for seed in (0, 1):
            predicted = runs[cell, seed].predicted
            each = f1_score(TRUE, predicted, average=None, zero_division=0)
            assert found.scores["accuracy"][row, seed] == pytest.approx(accuracy_score(TRUE, predicted))
            assert found.scores["weighted_f1"][row, seed] == pytest.approx(
                f1_score(TRUE, predicted, average="weighted")
            )
            assert found.scores["macro_f1"][row, seed] == pytest.approx(each.mean())
            assert found.scores["classes_f1"][row, seed] == pytest.approx((each[1] + each[2]) / 2)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_interval_is_that_of_a_slow_bootstrap(metric: str) -> None:
    runs = grid({JOINT: 0.6, CONCAT: 0.65}, seeds=3)
    found = compared(runs, metric=metric).differences[CONCAT]

    def score(predicted: np.ndarray, taken: np.ndarray) -> float:
        true, predicted = TRUE[taken], predicted[taken]
        if metric == "accuracy":
            return float((true == predicted).mean())
        return float(f1_score(true, predicted, average="macro", labels=[0, 1, 2], zero_division=0))

    random = np.random.default_rng(77)
    draws = []
    for _ in range(400):
        taken = random.integers(len(TRUE), size=len(TRUE))
        gains = [score(runs[CONCAT, s].predicted, taken) - score(runs[JOINT, s].predicted, taken) for s in range(3)]
        draws.append(np.mean([gains[s] for s in random.integers(3, size=3)]))
    low, high = np.percentile(draws, [2.5, 97.5])
    # As many draws give limits that vary by about a tenth of the width.
    assert found.low == pytest.approx(low, abs=0.25 * (high - low))
    assert found.high == pytest.approx(high, abs=0.25 * (high - low))
    whole = np.arange(len(TRUE))
    gains = [score(runs[CONCAT, s].predicted, whole) - score(runs[JOINT, s].predicted, whole) for s in range(3)]
    assert found.value == pytest.approx(np.mean(gains), abs=1e-6)


def test_the_same_predictions_differ_by_nothing() -> None:
    runs = grid({JOINT: 0.6}, seeds=3)
    runs |= {(CONCAT, seed): runs[JOINT, seed] for seed in range(3)}
    found = compared(runs).differences[CONCAT]
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_pairs_are_of_one_seed_and_of_the_same_utterances() -> None:
    """Seeds and utterances of very different difficulty cancel out where the gain is the same for all."""
    hard = np.random.default_rng(2).random(len(TRUE))
    runs: dict[tuple[Cell, int], Predictions] = {}
    for seed, level in enumerate((0.2, 0.5, 0.8)):
        right = hard < level
        better = right.copy()
        better[np.flatnonzero(~right)[:20]] = True
        for cell, known in ((JOINT, right), (CONCAT, better)):
            runs[cell, seed] = Predictions(PLACES, CLASSES, TRUE, np.where(known, TRUE, (TRUE + 1) % 3))
    found = compared(runs, metric="accuracy").differences[CONCAT]
    assert found.value == pytest.approx(0.05)
    # Unpaired, the seeds alone would make it about half a unit wide.
    assert 0.02 < found.low < found.value < found.high < 0.08


def test_more_seeds_and_a_larger_gain_make_a_clear_difference() -> None:
    runs = grid({JOINT: 0.5, CONCAT: 0.52, GATED: 0.8})
    found = compared(runs)
    assert found.differences[GATED].low > 0.1
    assert found.differences[CONCAT].low < 0 < found.differences[CONCAT].high
    text = markdown(found, {})
    (gated,) = [line for line in text.splitlines() if line.startswith("| gated")]
    assert f"**{found.differences[GATED].value:+.3f} [" in gated
    assert "| baseline |" in next(line for line in text.splitlines() if line.startswith("| joint_vector"))
    assert "400 labelled utterances" in text
    assert "seeds 0, 1, 2, 3" in text


def test_effects_average_over_the_other_fields() -> None:
    cells: list[Cell] = [
        (("fusion", f), ("contrastive", c)) for f in ("joint_vector", "concat") for c in ("inter_class", "none")
    ]
    runs = grid(dict(zip(cells, (0.7, 0.7, 0.5, 0.4), strict=True)))
    found = compared(runs)
    scores = found.scores["weighted_f1"].mean(axis=1)
    assert list(found.effects) == [("fusion", "concat"), ("contrastive", "none")]
    expected = (scores[2] - scores[0] + scores[3] - scores[1]) / 2
    assert found.effects["fusion", "concat"].value == pytest.approx(expected)
    assert found.effects["fusion", "concat"].high < 0
    assert "| fusion | concat | joint_vector |" in markdown(found, {})


def test_missing_runs_leave_the_pairs_that_both_have() -> None:
    runs = grid({JOINT: 0.5, CONCAT: 0.7, GATED: 0.7}, seeds=3)
    del runs[CONCAT, 0]
    cells = [JOINT, CONCAT, GATED, (("fusion", "tensor"),)]
    found = compare(runs, cells, JOINT, [0, 1, 2])
    scores = found.scores["weighted_f1"]
    assert found.differences[CONCAT].value == pytest.approx((scores[1, 1:] - scores[0, 1:]).mean())
    assert found.differences[CONCAT].low > 0
    assert set(found.differences) == {CONCAT, GATED}
    assert [count for count, *_ in found.summary("accuracy")] == [3, 2, 3, 0]
    (tensor,) = [line for line in markdown(found, {}).splitlines() if line.startswith("| tensor")]
    assert tensor == "| tensor | 0 | - | - | - | - |"


def test_one_seed_has_no_deviation() -> None:
    found = compared(grid({JOINT: 0.5, CONCAT: 0.9}, seeds=1))
    assert found.differences[CONCAT].low > 0
    assert "±" not in markdown(found, {}).splitlines()[2]


@pytest.mark.parametrize("change", ["order", "dialogue", "label", "fewer"])
def test_another_test_split_is_an_error_that_names_the_cell(change: str) -> None:
    runs = grid({JOINT: 0.5, CONCAT: 0.7}, seeds=2)
    odd = list(PLACES)
    if change == "order":
        odd[3], odd[4] = odd[4], odd[3]
    elif change == "dialogue":
        odd[9] = ("other", *odd[9][1:])
    elif change == "label":
        odd[9] = (*odd[9][:2], CLASSES[(CLASSES.index(odd[9][2]) + 1) % 3])
    else:
        odd.pop()
    runs[CONCAT, 1].places = odd
    with pytest.raises(ValueError, match=r"fusion=concat, seed 1: .*fusion=joint_vector"):
        compared(runs)


def test_an_unknown_class_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="fera: the corpus has neutral, joy, fear"):
        compared(grid({JOINT: 0.5}), classes=["fera"])


def test_predictions_are_read_of_the_labelled_utterances_of_a_split(tmp_path: Path) -> None:
    header = ["split", "dialogue_id", "utterance_id", "speaker", "text", "label", "prediction", *CLASSES]
    rows = [
        ["dev", "a", "0", "Ann", "Hm.", "joy", "joy", 0, 1, 0],
        ["test", "b", "0", "Ann", "No,\nno.", "fear", "joy", 0, 1, 0],
        ["test", "b", "1", "Ann", "What?", "", "joy", 0, 1, 0],
        ["test", "b", "2", "Bo", "Yes.", "neutral", "neutral", 1, 0, 0],
    ]
    with (tmp_path / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    found = read_predictions(tmp_path / "predictions.csv")
    assert found.classes == CLASSES
    assert found.places == [("b", "0", "fear"), ("b", "2", "neutral")]
    assert found.true.tolist() == [2, 0]
    assert found.predicted.tolist() == [1, 0]


def test_the_csv_holds_the_figures(tmp_path: Path) -> None:
    found = compared(grid({JOINT: 0.5, CONCAT: 0.7}), classes=["fear"])
    write_csv(found, tmp_path / "table.csv", {JOINT: {"parameters": 10}, CONCAT: {"parameters": 12}})
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["fusion"], first["seeds"], first["difference"], first["parameters"]) == (
        "joint_vector",
        "4",
        "",
        "10",
    )
    assert float(second["classes_f1_mean"]) == pytest.approx(found.scores["classes_f1"][1].mean(), abs=1e-6)
    assert float(second["macro_f1_sd"]) == pytest.approx(found.scores["macro_f1"][1].std(ddof=1), abs=1e-6)
    told = [float(second[name]) for name in ("difference", "low", "high")]
    estimate = found.differences[CONCAT]
    assert told == pytest.approx([estimate.value, estimate.low, estimate.high], abs=1e-6)
    assert second["metric"] == "weighted_f1"
