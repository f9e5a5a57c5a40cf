"""Token ids of the utterances of a dialogue, each with its neighbours or all in common windows, and how many fit."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from math import inf

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

WHOLE_DIALOGUES = (
    "text_context 'dialogue': the model's text backbone reads an utterance with later ones, so it cannot go along with "
    "a dialogue: train one with text_context: neighbours (text_past may stay), or give this one whole dialogues"
)


@dataclass(frozen=True)
class EncodedText:
    """Token ids of one utterance with its neighbours.

    Args:
        input_ids: token ids with special tokens.
        own: True for tokens of the utterance and the first special token, False for those of its neighbours.
    """

    input_ids: list[int]
    own: list[bool]


def encode_in_context(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str | None],
    speakers: Sequence[str],
    *,
    past: int,
    future: int,
    max_length: int,
) -> list[EncodedText | None]:
    """Encodes every utterance of a dialogue together with its neighbours and their speaker names.

    The format is `[CLS] past [SEP] utterance [SEP] future [SEP]`, each turn as "name: text", after EmoBERTa (Kim and
    Vossen 2021, arXiv 2108.12009). Without neighbours (`past = future = 0`) it is `[CLS] utterance [SEP]`.

    Args:
        tokenizer: any tokenizer; special tokens that it lacks are left out.
        texts: text of each utterance; `None` or blank if it has no text.
        speakers: speaker of each utterance.
        past: number of earlier utterances.
        future: number of later utterances.
        max_length: largest number of tokens. The most distant tokens of neighbours are removed first; the utterance
            itself is cut only if it is too long alone.

    Returns:
        one entry per utterance, `None` if it has no text.
    """
    start, stop = _special_tokens(tokenizer)
    named = bool(past or future)
    room = max_length - len(start) - (3 if named else 1) * len(stop)
    ids = _turn_ids(tokenizer, texts, speakers if named else None, room)
    encoded: list[EncodedText | None] = []
    for index, own_ids in enumerate(ids):
        if not own_ids:
            encoded.append(None)
            continue
        left = [i for k in range(max(0, index - past), index) for i in ids[k]]
        right = [i for k in range(index + 1, min(len(ids), index + 1 + future)) for i in ids[k]]
        space = room - len(own_ids)
        keep_left = max(space // 2, space - len(right))
        left = left[max(0, len(left) - keep_left) :]
        right = right[: max(0, space - len(left))]
        parts = [(start, True)]
        parts += [([*left, *stop], False)] if named else []
        parts += [([*own_ids, *stop], True)]
        parts += [([*right, *stop], False)] if named else []
        encoded.append(
            EncodedText([i for part, _ in parts for i in part], [mine for part, mine in parts for _ in part])
        )
    return encoded


@dataclass(frozen=True)
class Place:
    """Where the tokens of an utterance are: positions `start` to `stop` of a window."""

    window: int
    start: int
    stop: int


def encode_dialogue(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str | None],
    speakers: Sequence[str],
    *,
    max_length: int,
) -> tuple[list[list[int]], list[Place | None]]:
    """Encodes a dialogue as one sequence, or as overlapping windows where it is longer than `max_length`.

    The format is `[CLS] turn [SEP] turn [SEP] ...`, each turn as "name: text", after EmoBERTa (Kim and Vossen 2021,
    arXiv 2108.12009), which encodes such a sequence for every utterance. Here one serves all its utterances, so that a
    token is encoded about once, as in DialogXL (Shen et al. 2021, arXiv 2012.08695), which remembers earlier turns.

    Args:
        tokenizer: any tokenizer; special tokens that it lacks are left out.
        texts: text of each utterance; `None` or blank if it has no text.
        speakers: speaker of each utterance.
        max_length: largest number of tokens of a window. An utterance is cut only if it is too long alone.

    Returns:
        token ids of each window, and the place of each utterance, `None` if it has no text. The tokens of an utterance
        include the `[SEP]` behind it, and `[CLS]` belongs to none.
    """
    start, stop = _special_tokens(tokenizer)
    room = max_length - len(start)
    ids = _turn_ids(tokenizer, texts, speakers, room - len(stop))
    spoken = [index for index, own_ids in enumerate(ids) if own_ids]
    turns = [[*ids[index], *stop] for index in spoken]
    offsets = [0, *accumulate(len(turn) for turn in turns)]
    windows = _windows(offsets, room)
    # The context of a turn is that of its shorter side; at the ends of the dialogue nothing is missing.
    most: list[tuple[float, int]] = [(-1, 0)] * len(turns)
    for number, window in enumerate(windows):
        for turn in window:
            before = offsets[turn] - offsets[window.start] if window.start else inf
            after = offsets[window.stop] - offsets[turn + 1] if window.stop < len(turns) else inf
            if min(before, after) > most[turn][0]:
                most[turn] = min(before, after), number
    places: list[Place | None] = [None] * len(ids)
    for turn, (index, (_, number)) in enumerate(zip(spoken, most, strict=True)):
        first = len(start) + offsets[turn] - offsets[windows[number].start]
        places[index] = Place(number, first, first + len(turns[turn]))
    return [[*start, *chain.from_iterable(turns[turn] for turn in window)] for window in windows], places


def _windows(offsets: Sequence[int], room: int) -> list[range]:
    """Returns runs of turns of at most `room` tokens that cover all turns, each run from the middle of the last one.

    Args:
        offsets: number of tokens before each turn, and of all turns; no turn is longer than `room`.
        room: largest number of tokens of a window.
    """
    windows: list[range] = []
    count, first = len(offsets) - 1, 0
    while count and (not windows or windows[-1].stop < count):
        last = bisect_right(offsets, offsets[first] + room) - 1
        windows.append(range(first, last))
        middle = bisect_left(offsets, offsets[first] + room / 2)
        first = min(max(middle, first + 1), last)
    return windows


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Returns the token that starts a sequence and the one that ends a part of it, as lists of one or none."""
    start = [i for i in (tokenizer.cls_token_id, tokenizer.bos_token_id) if i is not None][:1]
    stop = [i for i in (tokenizer.sep_token_id, tokenizer.eos_token_id) if i is not None][:1]
    return start, stop


def _turn_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str | None], speakers: Sequence[str] | None, room: int
) -> list[list[int]]:
    """Returns at most `room` token ids of each turn, after the names of the speakers if given; none without text."""
    turns = [str(t) for t in texts] if speakers is None else [f"{s}: {t}" for s, t in zip(speakers, texts, strict=True)]
    # JSON may hold half of an emoji, which tokenizers refuse.
    turns = [turn.encode("utf-8", "replace").decode() for turn in turns]
    ids: list[list[int]] = tokenizer(turns, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
    # Some texts, such as a zero-width space, have no tokens.
    return [own_ids if text and text.strip() else [] for text, own_ids in zip(texts, ids, strict=True)]


def text_positions(config: PreTrainedConfig) -> int | None:
    """Returns the largest number of tokens of a text backbone, `None` if it is not limited."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    if not positions or not getattr(config, "position_biased_input", True):  # relative positions, as in DeBERTa
        return None
    # RoBERTa and its descendants number positions from behind the padding id: 514 of them are for 512 tokens.
    return positions - 2 if positions % 8 == 2 else positions
