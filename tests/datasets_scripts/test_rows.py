from pathlib import Path

import datasets
import numpy as np

from datasets_scripts import DialogueRows, dialogue_features


def split(vectors: list[list[float] | None]) -> datasets.Dataset:
    utterances = [
        {"utterance_id": f"u{i}", "speaker": "a", "text": f"said {i}", "label": i % 2, "text_features": vector}
        for i, vector in enumerate(vectors)
    ]
    columns = dialogue_features(["calm", "glad"], {"text": 3})
    missing = {"audio_path": None, "video_path": None, "start": None, "end": None}
    rows = [
        {"dialogue_id": name, "utterances": [{**missing, **u} for u in part]}
        for name, part in (("first", utterances[:1]), ("second", utterances[1:]))
    ]
    return datasets.Dataset.from_list(rows, features=columns)


def test_rows_are_those_of_the_dataset_with_vectors_as_float32_arrays() -> None:
    data = split([[1.0, 2.0, 3.0], None, [4.0, 5.0, 6.0]])
    rows = list(DialogueRows(data))
    assert [row["dialogue_id"] for row in rows] == ["first", "second"]
    for row, plain in zip(rows, data, strict=True):
        for found, expected in zip(row["utterances"], plain["utterances"], strict=True):
            vector, numbers = found.pop("text_features"), expected.pop("text_features")
            assert found == expected
            assert (vector is None) == (numbers is None)
            if vector is not None:
                assert vector.dtype == np.float32 and vector.tolist() == numbers


def test_an_utterance_without_a_vector_does_not_shift_those_of_the_others() -> None:
    rows = DialogueRows(split([None, None, [1.0, 1.0, 1.0], None, [2.0, 2.0, 2.0]]))
    assert [None if u["text_features"] is None else u["text_features"][0] for u in rows[1]["utterances"]] == [
        None,
        1.0,
        None,
        2.0,
    ]


def test_a_selection_keeps_its_order(tmp_path: Path) -> None:
    data = split([[1.0] * 3, [2.0] * 3]).select([1, 0])
    assert [row["dialogue_id"] for row in DialogueRows(data)] == ["second", "first"]


def test_words_that_were_added_replace_the_text_of_their_utterance_alone() -> None:
    rows = DialogueRows(split([None, None, None]))
    rows.words = {1: {1: "heard"}}
    assert [[u["text"] for u in row["utterances"]] for row in rows] == [["said 0"], ["said 1", "heard"]]
    assert rows[-1] == rows[1]
