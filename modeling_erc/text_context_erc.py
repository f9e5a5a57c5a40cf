"""An utterance's words between those of its neighbours, as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class EncodedText:
    """Token ids of one utterance, and which of them are its own.

    Args:
        input_ids: ids with special tokens.
        own: True for the utterance's own tokens (the first special token included), False for its neighbours'.
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
    """Encodes every utterance of a dialogue, each between its neighbours with speaker names.

    The form is `[CLS] past [SEP] utterance [SEP] future [SEP]`, each turn as "name: words", after EmoBERTa (Kim and
    Vossen 2021, arXiv 2108.12009). Without neighbours (`past = future = 0`) it is `[CLS] utterance [SEP]`, no name.

    Args:
        tokenizer: any tokenizer; special tokens that it lacks are left out.
        texts: the words of each utterance; `None` or blank where there are none.
        speakers: the speaker of each utterance.
        past: so many utterances before.
        future: so many utterances after.
        max_length: tokens at most. The utterance itself is cut only if it alone is too long; of its neighbours the
            farthest words go first.

    Returns:
        an entry for each utterance, `None` where it has no words.
    """
    start = _first_known(tokenizer.cls_token_id, tokenizer.bos_token_id)
    stop = _first_known(tokenizer.sep_token_id, tokenizer.eos_token_id)
    named = past or future
    turns = [f"{s}: {t}" if named else str(t) for s, t in zip(speakers, texts, strict=True)]
    room = max_length - len(start) - (3 if named else 1) * len(stop)
    ids: list[list[int]] = tokenizer(turns, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
    # Of some words, as of a lone zero-width space, a tokenizer leaves nothing.
    said = [bool(text and text.strip() and turn) for text, turn in zip(texts, ids, strict=True)]

    encoded: list[EncodedText | None] = []
    for index, own_ids in enumerate(ids):
        if not said[index]:
            encoded.append(None)
            continue
        left = [i for k in range(max(0, index - past), index) if said[k] for i in ids[k]]
        right = [i for k in range(index + 1, min(len(ids), index + 1 + future)) if said[k] for i in ids[k]]
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


def _first_known(*token_ids: int | None) -> list[int]:
    return [i for i in token_ids if i is not None][:1]
