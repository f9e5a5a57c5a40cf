"""Single clips of a speaker as dialogues, so that each is seen beside others of the same voice or face."""

import random
from itertools import count

import datasets

# Utterances of such a dialogue: the mean of fewer ones depends on which emotions happen to be among them.
SIZE = 64


def clips_by_speaker(name: str, split: datasets.Dataset) -> datasets.Dataset:
    """Joins dialogues of one utterance by the same speaker to dialogues of at most `SIZE` utterances.

    The order of a speaker's clips is drawn at random, the same one in every run, since files are often sorted by
    emotion. Their utterance ids are the former dialogue ids. Dialogues of several utterances, and clips without a
    speaker, stay.

    Args:
        name: name of the split, with which the ids of the new dialogues begin.
        split: rows of the schema.

    Example:
        >>> rows = [
        ...     {"dialogue_id": name, "utterances": [{"utterance_id": "0", "speaker": "Ann"}]} for name in ("a", "b")
        ... ]
        >>> clips_by_speaker("train", datasets.Dataset.from_list(rows))["dialogue_id"][:]
        ['train_Ann_0']
    """
    clips: dict[str, list[dict]] = {}
    rows, taken = [], set(split["dialogue_id"])
    for row in split:
        utterances = row["utterances"]
        if len(utterances) == 1 and utterances[0]["speaker"]:
            clip = {**utterances[0], "utterance_id": row["dialogue_id"]}
            clips.setdefault(clip["speaker"], []).append(clip)
        else:
            rows.append(row)
    if all(len(own) == 1 for own in clips.values()):
        return split
    for speaker, own in clips.items():
        random.Random(f"{name} {speaker}").shuffle(own)  # an order of its own for each speaker
        parts = -(-len(own) // SIZE)
        names = (new for number in count() if (new := f"{name}_{speaker}_{number}") not in taken)
        rows += [{"dialogue_id": next(names), "utterances": own[part::parts]} for part in range(parts)]
    return datasets.Dataset.from_list(rows, features=split.features, info=split.info, split=split.split)
