import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from modeling_erc.grids.comparison import Predictions, averaged, compare, pooled, read_predictions
from modeling_erc.grids.report import markdown
from modeling_erc.grids.spec import Cell
from modeling_erc.training.intervals import estimate_over_seeds
from tests.small_grid import CLASSES, CONCAT, DIALOGUE, GATED, JOINT, PLACES, TRUE, compared, made_up_grid, predictions


def test_scores_are_those_of_scikit_learn() -> None:
    runs = made_up_grid({JOINT: 0.7, CONCAT: 0.2}, seeds=2)
    # A class that nobody predicts.
    runs[CONCAT, 1].predicted[runs[CONCAT, 1].predicted == 2] = 0
    result = compared(runs, classes=["fear", "joy"])
    for row, cell in enumerate((JOINT, CONCAT)):
        for seed in (0, 1):
            predicted = runs[cell, seed].predicted
            each = f1_score(TRUE, predicted, average=None, zero_division=0)
            assert result.scores["accuracy"][row, seed] == pytest.approx(accuracy_score(TRUE, predicted))
            assert result.scores["weighted_f1"][row, seed] == pytest.approx(
                f1_score(TRUE, predicted, average="weighted")
            )
            assert result.scores["macro_f1"][row, seed] == pytest.approx(each.mean())
            assert result.scores["classes_f1"][row, seed] == pytest.approx((each[1] + each[2]) / 2)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_interval_is_that_of_a_slow_bootstrap(metric: str) -> None:
    runs = made_up_grid({JOINT: 0.6, CONCAT: 0.65}, seeds=3)
    result = compared(runs, metric=metric).differences[CONCAT]

    def score(predicted: np.ndarray, taken: np.ndarray) -> float:
        true, predicted = TRUE[taken], predicted[taken]
        if metric == "accuracy":
            return float((true == predicted).mean())
        return float(np.mean([2 * ((true == c) & (predicted == c)).sum() / ((true == c).sum() + (predicted == c).sum())
                              for c in range(3)]))  # fmt: skip

    def gains(taken: np.ndarray) -> list[float]:
        return [score(runs[CONCAT, s].predicted, taken) - score(runs[JOINT, s].predicted, taken) for s in range(3)]

    random = np.random.default_rng(77)
    members = [np.flatnonzero(number == DIALOGUE) for number in range(80)]
    taken = [np.concatenate([members[n] for n in random.integers(80, size=80)]) for _ in range(300)]
    slow = estimate_over_seeds(np.array(gains(np.arange(400))), np.array([gains(rows) for rows in taken]).T, 80)
    assert result.value == pytest.approx(slow.value, abs=1e-6)
    # The standard error of 300 draws has an error of about 4 %.
    assert result.high - result.low == pytest.approx(slow.high - slow.low, rel=0.2)


def test_the_interval_is_over_whole_dialogues() -> None:
    """A gain that half of the dialogues have in all of their utterances is as uncertain as 80 dialogues make it."""
    half = DIALOGUE % 2 == 0
    wrong = (TRUE + 1) % 3
    runs = {
        (JOINT, 0): predictions(wrong),
        (CONCAT, 0): predictions(np.where(half, TRUE, wrong)),
    }
    result = compared(runs, metric="accuracy")
    assert (result.utterances, result.dialogues) == (400, 80)
    difference = result.differences[CONCAT]
    # Over utterances it would be narrower by the root of 5.
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 80), rel=0.1)


def test_groups_of_dialogues_are_drawn_as_one() -> None:
    """A gain that two of four speakers have in all of their dialogues is as uncertain as four speakers make it."""
    speaker = DIALOGUE // 20
    wrong = (TRUE + 1) % 3
    runs = {(JOINT, 0): predictions(wrong), (CONCAT, 0): predictions(np.where(speaker % 2 == 0, TRUE, wrong))}
    groups = {place[0]: int(number) for place, number in zip(PLACES, speaker, strict=True)}
    result = compare(runs, [JOINT, CONCAT], JOINT, [0], metric="accuracy", groups=groups, unit="speakers")
    assert (result.dialogues, result.units) == (80, (4, "speakers"))
    difference = result.differences[CONCAT]
    assert difference.value == pytest.approx(0.5)
    # The standard error of the mean of four values 0, 1, 0, 1, and t with three degrees of freedom.
    assert difference.high - difference.low == pytest.approx(2 * 3.182 * 0.2887, rel=0.1)
    assert "for other seeds and other speakers (bootstrap of 4)" in markdown(result, {})


def test_equal_predictions_have_no_difference() -> None:
    runs = made_up_grid({JOINT: 0.6}, seeds=3)
    runs |= {(CONCAT, seed): runs[JOINT, seed] for seed in range(3)}
    result = compared(runs).differences[CONCAT]
    assert (result.value, result.low, result.high) == (0, 0, 0)


def test_differences_are_paired_by_seed_and_utterance() -> None:
    """Seeds and utterances of very different difficulty cancel out where the gain is the same for all."""
    hard = np.random.default_rng(2).random(len(TRUE))
    runs: dict[tuple[Cell, int], Predictions] = {}
    for seed, level in enumerate((0.2, 0.5, 0.8)):
        right = hard < level
        better = right.copy()
        better[np.flatnonzero(~right)[:20]] = True
        for cell, known in ((JOINT, right), (CONCAT, better)):
            runs[cell, seed] = predictions(np.where(known, TRUE, (TRUE + 1) % 3))
    result = compared(runs, metric="accuracy").differences[CONCAT]
    assert result.value == pytest.approx(0.05)
    # Unpaired, the seeds alone would make it about half a unit wide.
    assert 0.01 < result.low < result.value < result.high < 0.1


def test_more_seeds_and_a_larger_gain_make_a_clear_difference() -> None:
    runs = made_up_grid({JOINT: 0.5, CONCAT: 0.52, GATED: 0.8})
    result = compared(runs)
    assert result.differences[GATED].low > 0.1
    assert result.differences[CONCAT].low < 0 < result.differences[CONCAT].high


def test_effects_average_over_the_other_fields() -> None:
    cells: list[Cell] = [
        (("fusion", f), ("contrastive", c)) for f in ("joint_vector", "concat") for c in ("inter_class", "none")
    ]
    runs = made_up_grid(dict(zip(cells, (0.7, 0.7, 0.5, 0.4), strict=True)))
    result = compared(runs)
    scores = result.scores["weighted_f1"].mean(axis=1)
    assert list(result.effects) == [("fusion", "concat"), ("contrastive", "none")]
    expected = (scores[2] - scores[0] + scores[3] - scores[1]) / 2
    assert result.effects["fusion", "concat"].value == pytest.approx(expected)
    assert result.effects["fusion", "concat"].high < 0


def test_differences_use_the_seeds_that_both_cells_have() -> None:
    runs = made_up_grid({JOINT: 0.5, CONCAT: 0.7, GATED: 0.7}, seeds=3)
    del runs[CONCAT, 0]
    cells = [JOINT, CONCAT, GATED, (("fusion", "tensor"),)]
    result = compare(runs, cells, JOINT, [0, 1, 2])
    scores = result.scores["weighted_f1"]
    assert result.differences[CONCAT].value == pytest.approx((scores[1, 1:] - scores[0, 1:]).mean())
    assert result.differences[CONCAT].low > 0
    assert set(result.differences) == {CONCAT, GATED}
    assert [count for count, *_ in result.summary("accuracy")] == [3, 2, 3, 0]


@pytest.mark.parametrize("change", ["order", "dialogue", "label", "fewer"])
def test_another_test_split_is_an_error_that_names_the_cell(change: str) -> None:
    runs = made_up_grid({JOINT: 0.5, CONCAT: 0.7}, seeds=2)
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
        compared(made_up_grid({JOINT: 0.5}), classes=["fera"])


def test_predictions_of_the_labelled_utterances_of_a_split_are_read(tmp_path: Path) -> None:
    header = ["split", "dialogue_id", "utterance_id", "speaker", "text", "label", "prediction", *CLASSES]
    rows = [
        ["dev", "a", "0", "Ann", "Hm.", "joy", "joy", 0, 1, 0],
        ["test", "b", "0", "Ann", "No,\nno.", "fear", "joy", 0, 1, 0],
        ["test", "b", "1", "Ann", "What?", "", "joy", 0, 1, 0],
        ["test", "b", "2", "Bo", "Yes.", "neutral", "neutral", 1, 0, 0],
    ]
    with (tmp_path / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    result = read_predictions(tmp_path / "predictions.csv")
    assert result.classes == CLASSES
    assert result.places == [("b", "0", "fear"), ("b", "2", "neutral")]
    assert result.true.tolist() == [2, 0]
    assert result.predicted.tolist() == [1, 0]
    assert result.probabilities.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_folds_are_pooled_in_one_order_whatever_their_number() -> None:
    whole = made_up_grid({JOINT: 0.5}, seeds=1)[JOINT, 0]
    order = sorted(range(400), key=lambda row: PLACES[row][0])
    parts = []
    for chosen in (DIALOGUE % 3 == 1, DIALOGUE % 3 == 0, DIALOGUE % 3 == 2):
        rows = np.flatnonzero(chosen)
        places = [PLACES[row] for row in rows]
        parts.append(Predictions(places, CLASSES, TRUE[rows], whole.predicted[rows], whole.probabilities[rows]))
    result = pooled(parts)
    assert result.places == [PLACES[row] for row in order]
    np.testing.assert_array_equal(result.predicted, whole.predicted[order])
    np.testing.assert_array_equal(result.probabilities, whole.probabilities[order])


def test_an_ensemble_predicts_by_the_mean_probability() -> None:
    runs = made_up_grid({JOINT: 0.5}, seeds=3)
    first, second, third = runs.values()
    first.probabilities[0], second.probabilities[0], third.probabilities[0] = (0.6, 0.4, 0), (0.6, 0.4, 0), (0, 1, 0)
    assert averaged([first, second, third]).predicted[0] == 1


def test_cells_that_a_spreadsheet_would_run_are_read_as_they_were(tmp_path: Path) -> None:
    rows = [
        ["split", "dialogue_id", "utterance_id", "speaker", "text", "label", "prediction", "'-1", "joy"],
        ["test", "'=a", "''-0", "", "", "'-1", "joy", "0.25", "0.75"],
    ]
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    result = read_predictions(tmp_path / "predictions.csv")
    assert (result.classes, result.places) == (["-1", "joy"], [("=a", "'-0", "-1")])
    assert (result.true.tolist(), result.predicted.tolist()) == ([0], [1])


def test_targets_are_compared_by_concordance_over_the_utterances_that_have_them(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    true = draw.standard_normal((120, 2)).round(3)
    runs = {}
    for cell, noise in ((JOINT, 0.3), (CONCAT, 1.0)):
        for seed in (0, 1):
            predicted = (true + noise * draw.standard_normal(true.shape)).round(6)
            rows = [
                ["test", f"d{n // 6}", n, "Ann", "", "" if n == 3 else x[0], y[0], x[1], y[1]]
                for n, (x, y) in enumerate(zip(true.tolist(), predicted.tolist(), strict=True))
            ]
            header = ["split", "dialogue_id", "utterance_id", "speaker", "text"]
            header += [f"{name} ({kind})" for name in ("valence", "arousal") for kind in ("true", "predicted")]
            with (tmp_path / "predictions.csv").open("w", newline="") as file:
                csv.writer(file).writerows([header, *rows])
            runs[cell, seed] = read_predictions(tmp_path / "predictions.csv")
    result = compare(runs, [JOINT, CONCAT], JOINT, [0, 1])
    assert (result.metric, result.utterances) == ("ccc", 120)
    assert result.scores["mae"][0].max() < result.scores["mae"][1].min()
    assert result.scores["ccc valence"][0, 0] > result.scores["ccc valence"][1, 0]
    assert result.differences[CONCAT].high < 0
    with pytest.raises(ValueError, match="metric weighted_f1: these runs have mae, pearson"):
        compare(runs, [JOINT, CONCAT], JOINT, [0, 1], metric="weighted_f1")
    assert averaged([runs[JOINT, 0], runs[JOINT, 1]]).predicted.shape == (120, 2)


def test_several_labels_are_compared_by_macro_f1(tmp_path: Path) -> None:
    rows = [
        ["split", "dialogue_id", "utterance_id", "speaker", "text", "labels", "predictions", "joy", "fear"],
        ["test", "a", "0", "", "", "joy + fear", "joy", "0.9", "0.2"],
        ["test", "a", "1", "", "", "none", "none", "0.1", "0.1"],
        ["test", "b", "0", "", "", "", "joy", "0.9", "0.1"],
        ["test", "b", "1", "", "", "fear", "fear", "0.1", "0.7"],
    ]
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    run = read_predictions(tmp_path / "predictions.csv")
    assert run.true.tolist() == [[True, True], [False, False], [False, True]]
    result = compare({(JOINT, 0): run}, [JOINT], JOINT, [0], classes=["fear"])
    assert result.metric == "macro_f1"
    assert result.scores["macro_f1"][0, 0] == pytest.approx((1 + 2 / 3) / 2)
    assert result.scores["classes_f1"][0, 0] == pytest.approx(2 / 3)
