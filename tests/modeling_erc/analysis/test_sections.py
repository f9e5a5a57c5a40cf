from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from modeling_erc.analysis.html_report import Section
from modeling_erc.analysis.scores import Evaluated
from modeling_erc.analysis.sections import (
    all_sections,
    frequency_section,
    map_to_plane,
    neighbour_agreement,
    pairs_section,
    sample_rows,
    scores_section,
)
from modeling_erc.training.confusion import bootstrap_scores, scores_of

CLASSES = ["neutral", "joy", "anger"]


def evaluated(seed: int = 0, dialogues: int = 20, length: int = 6, **changes: Any) -> Evaluated:
    """Answers that are mostly right; the first utterance of every dialogue has no label."""
    draw = np.random.default_rng(seed)
    count = dialogues * length
    labels = draw.integers(0, 3, count)
    position = np.tile(np.arange(length), dialogues)
    dialogue = np.repeat(np.arange(dialogues), length)
    logits = 2 * np.eye(3)[labels] + draw.normal(size=(count, 3))
    labels[position == 0] = -100
    utterances = [
        {
            "dialogue_id": f"d{number}",
            "group": ("improvised", "scripted")[number % 2],
            "utterance_id": f"u{place}",
            "speaker": "AB"[place % 2],
            "text": "word " * (1 + place),
            "start": float(place),
            "end": 1.5 * place + 0.5,
        }
        for number, place in zip(dialogue.tolist(), position.tolist(), strict=True)
    ]
    found = Evaluated(
        "test",
        CLASSES,
        logits,
        labels,
        dialogue,
        position,
        draw.normal(size=(count, 8)),
        utterances,
        np.array([90, 30, 9]),
    )
    return replace(found, **changes)


def titled(sections: list[Section]) -> dict[str, Section]:
    return {section.title: section for section in sections}


def test_every_section_is_there_and_every_picture(tmp_path: Path) -> None:
    sections = titled(all_sections(evaluated(), tmp_path, attention=None))
    assert list(sections) == [
        "Scores",
        "Confusion matrix",
        "Most confused pairs",
        "F1 against class frequency",
        "Emotion shift",
        "By group of dialogues",
        "By speaker",
        "By position in the dialogue",
        "By utterance length",
        "Calibration",
        "Map of the embeddings",
        "Attention of the joint vectors",
    ]
    pictures = {section.picture for section in sections.values() if section.picture}
    assert pictures == {path.name for path in tmp_path.iterdir()}
    assert len(pictures) == 4
    left_out = [title for title, section in sections.items() if section.text.startswith("Left out: ")]
    assert left_out == ["Attention of the joint vectors"]


def test_scores_of_labelled_utterances_lie_inside_their_intervals() -> None:
    found = evaluated()
    matrices = found.by_dialogue()
    table = scores_section(found, scores_of(matrices.sum(axis=0)), bootstrap_scores(matrices)).table
    assert table is not None
    rows = {row[0]: row[1:] for row in table.rows}
    here = found.labels >= 0
    assert rows["accuracy"][-1] == str(here.sum()) == "100"
    expected = f1_score(found.labels[here], found.logits.argmax(axis=1)[here], average=None)
    for name, value in zip(CLASSES, expected, strict=True):
        score, _, bounds = rows[name][2].partition(" ")
        low, high = (float(bound) for bound in bounds.strip("[]").split(", "))
        assert float(score) == pytest.approx(value, abs=6e-4)
        assert value - 0.3 < low < value < high < value + 0.3


def test_a_class_that_the_split_lacks_has_no_scores_and_no_point(tmp_path: Path) -> None:
    found = evaluated()
    found = replace(found, labels=np.where(found.labels == 2, 0, found.labels))
    matrices = found.by_dialogue()
    scores, draws = scores_of(matrices.sum(axis=0)), bootstrap_scores(matrices)
    table = scores_section(found, scores, draws).table
    assert table is not None
    assert table.rows[-1] == ["anger", "-", "-", "-", "0"]
    frequency_section(found, scores, draws, tmp_path)
    assert (tmp_path / "f1_against_frequency.png").is_file()


def test_the_unit_of_the_intervals_is_stated(tmp_path: Path) -> None:
    text = titled(all_sections(evaluated(), tmp_path, attention=None))["Scores"].text
    assert "bootstrap over the 20 dialogues (2,000 draws with replacement)" in text


def test_examples_are_shown_between_their_neighbours_of_the_same_dialogue() -> None:
    section = pairs_section(evaluated())
    assert section.table is not None
    assert 1 <= len(section.table.rows) <= 5
    assert len(section.examples) > 3
    ends = set()
    for example in section.examples:
        place = int(example.heading.rpartition("utterance u")[2])
        assert place > 0
        ends.add(place == 5)
        assert len(example.lines) == (2 if place == 5 else 3)
        assert example.marked == 1
        true = example.heading.partition(" predicted as ")[0]
        assert example.lines[1].startswith(f"{'AB'[place % 2]} [{true}]: {'word ' * (1 + place)}".rstrip())
        assert example.lines[0].startswith(
            f"{'AB'[(place - 1) % 2]} [no label]: word" if place == 1 else "AB"[(place - 1) % 2]
        )
    assert ends == {True, False}


def test_without_words_speakers_and_classes_are_shown() -> None:
    found = evaluated()
    found = replace(found, utterances=[{**u, "text": None} for u in found.utterances])
    example = pairs_section(found).examples[0]
    assert "dialogue d" in example.heading
    assert all(line[:3] in ("A [", "B [") and line.endswith("]") for line in example.lines)


def test_a_perfect_model_has_no_confused_pairs(tmp_path: Path) -> None:
    found = evaluated()
    right = replace(found, logits=9 * np.eye(3)[found.labels.clip(min=0)])
    sections = titled(all_sections(right, tmp_path, attention=None))
    assert sections["Most confused pairs"].text.startswith("Left out: ")
    assert sections["Scores"].table is not None
    assert sections["Scores"].table.rows[0][3] == "1.000 [1.000, 1.000]"


def test_one_dialogue_of_two_utterances_is_still_a_report(tmp_path: Path) -> None:
    sections = titled(all_sections(evaluated(dialogues=1, length=3), tmp_path, attention=None))
    assert "With a single dialogue they mean nothing" in sections["Scores"].text
    assert sections["Map of the embeddings"].text.startswith("Left out: 2 labelled")
    assert "With a single" not in titled(all_sections(evaluated(), tmp_path, None))["Scores"].text


def test_a_split_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="no utterance of test has a label"):
        evaluated(labels=np.full(120, -100))


def clusters(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Three distant groups of `size` vectors of width 8."""
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), size)
    return (10 * np.eye(3, 8)[labels] + draw.normal(size=(3 * size, 8))).astype(np.float32), labels


@pytest.mark.parametrize(("size", "method"), [(30, "t-SNE"), (4, "PCA")])
def test_near_vectors_stay_near_on_the_map(size: int, method: str) -> None:
    vectors, labels = clusters(size)
    points, named = map_to_plane(vectors)
    assert named == method
    assert points.shape == (3 * size, 2)
    assert neighbour_agreement(points, labels, neighbours=1)[0] == 1.0


def test_the_map_is_repeated_by_seed() -> None:
    vectors, _ = clusters(20)
    np.testing.assert_array_equal(map_to_plane(vectors)[0], map_to_plane(vectors)[0])


@pytest.mark.parametrize("shape", [(2, 5), (3, 1), (40, 1), (40, 5)])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_degenerate_vectors_give_finite_points(shape: tuple[int, int]) -> None:
    points, method = map_to_plane(np.ones(shape, dtype=np.float32))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()
    assert method == "PCA"


def test_rows_are_sampled_only_where_there_are_too_many() -> None:
    assert sample_rows(5, limit=5).tolist() == [0, 1, 2, 3, 4]
    drawn = sample_rows(1000, limit=100)
    assert len(set(drawn.tolist())) == 100
    assert (np.diff(drawn) > 0).all()
    assert drawn.max() > 900
    np.testing.assert_array_equal(drawn, sample_rows(1000, limit=100))


def test_agreement_does_not_count_the_vector_itself() -> None:
    # On a line: 0, 1 of class 0; 3 of class 1; 10, 11 of class 1.
    vectors = np.array([[0.0], [1.0], [3.0], [10.0], [11.0]])
    agreement, chance = neighbour_agreement(vectors, np.array([0, 0, 1, 1, 1]), neighbours=1)
    assert agreement == pytest.approx(4 / 5)
    assert chance == pytest.approx((2 * 1 + 3 * 2) / (5 * 4))
