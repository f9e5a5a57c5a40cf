"""Splits of users' own data: their names, and a draw by seed of those that are missing."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping

from .builder import CorpusError

SPLITS = ("train", "dev", "test")
# Words in file names and cells that name a split; "eval" is none, as it means dev as often as test.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("dev", "devel", "development", "devset", "valid", "validation", "validate", "val"), "dev"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}
SPLIT_BY = ("auto", "dialogue", "speaker", "none")


def split_name(text: str, split_map: Mapping[str, str] | None = None) -> str | None:
    """Returns the split that a name means, None if it means none or several.

    Args:
        text: cell or file name; digits and other words do not count.
        split_map: split of each name that has to be read in another way, in any case.

    Example:
        >>> [split_name(text) for text in ("Development", "Test1", "meld_trn", "train and test", "fold 1")]
        ['dev', 'test', 'train', None, None]
    """
    own = {name.strip().casefold(): split for name, split in (split_map or {}).items()}
    if text.strip().casefold() in own:
        return own[text.strip().casefold()]
    splits = {SPLIT_NAMES[word] for word in re.findall(r"[a-z]+", text.casefold()) if word in SPLIT_NAMES}
    return splits.pop() if len(splits) == 1 else None


def draw_splits(
    speakers: Mapping[str, set[str]], shares: Mapping[str, float], split_by: str, seed: int
) -> tuple[dict[str, str], str]:
    """Draws missing splits out of the training dialogues.

    Args:
        speakers: named speakers of each training dialogue, by its id.
        shares: share of the dialogues for each missing split, in order.
        split_by: "dialogue"; "speaker" for splits without a common speaker; "auto" for speaker-disjoint splits where
            speakers repeat across dialogues and such a draw exists.
        seed: seed of the draw, which does not depend on the order of the dialogues.

    Returns:
        The split of each drawn dialogue, and a sentence about the draw.

    Raises:
        CorpusError: if `split_by` is "speaker" and no speaker is named or speaker-disjoint splits do not exist.
    """
    if split_by == "speaker" and not any(speakers.values()):
        raise CorpusError("split_by is speaker, but no utterance has a speaker: map the column of the speakers")
    groups = speaker_groups(speakers)
    repeat = len(groups) < len(speakers)
    drawn = None
    if split_by == "speaker" or (split_by == "auto" and repeat):
        drawn = _draw(groups, shares, seed)
        if drawn is None and split_by == "speaker":
            raise CorpusError(
                f"split_by is speaker, but the {len(speakers)} training dialogues form {len(groups)} groups without a "
                f"common speaker, too few or too large for {' and '.join(shares)}: name the speakers, or take dialogue"
            )
    kind = "speaker-disjoint"
    if drawn is None:
        drawn = _draw([[dialogue] for dialogue in sorted(speakers)], shares, seed)
        kind = "dialogue-disjoint" + ", with speakers that may occur in several splits" * repeat
        kind += ", speakers unknown" * (not any(speakers.values()))
    if drawn is None:
        return {}, f"no {' and no '.join(shares)}, and too few training dialogues ({len(speakers)}) to draw from"
    counts = ", ".join(f"{split} {list(drawn.values()).count(split)}" for split in shares)
    left = len(speakers) - len(drawn)
    return drawn, f"{' and '.join(shares)} drawn by seed {seed}, {kind}: {counts}, train {left} dialogues"


def speaker_groups(speakers: Mapping[str, set[str]]) -> list[list[str]]:
    """Returns the dialogues in groups that have no speaker in common, sorted."""
    parent = {dialogue: dialogue for dialogue in speakers}

    def root(dialogue: str) -> str:
        while parent[dialogue] != dialogue:
            parent[dialogue] = dialogue = parent[parent[dialogue]]
        return dialogue

    first: dict[str, str] = {}
    for dialogue, names in speakers.items():
        for name in names:
            parent[root(dialogue)] = root(first.setdefault(name, dialogue))
    groups = defaultdict(list)
    for dialogue in sorted(speakers):
        groups[root(dialogue)].append(dialogue)
    return sorted(groups.values())


def _draw(groups: list[list[str]], shares: Mapping[str, float], seed: int) -> dict[str, str] | None:
    """Returns the split of each drawn dialogue, None if a split or training would be empty or train is too small."""
    total = sum(map(len, groups))
    left = random.Random(seed).sample(groups, len(groups))
    drawn: dict[str, str] = {}
    for split, share in shares.items():
        target = max(1, round(share * total))
        taken: list[list[str]] = []
        for group in left:
            if sum(map(len, taken)) + len(group) <= target:
                taken.append(group)
        # Where all groups are larger than the target, the smallest is the closest.
        taken = taken or sorted(left, key=len)[:1]
        left = [group for group in left if group not in taken]
        drawn |= {dialogue: split for group in taken for dialogue in group}
    enough = all(split in drawn.values() for split in shares) and left
    return drawn if enough and len(drawn) <= max(total / 2, len(shares)) else None
