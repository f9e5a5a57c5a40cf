"""Token ids of the utterances of a dialogue, each with the text around it."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase


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
    start = [i for i in (tokenizer.cls_token_id, tokenizer.bos_token_id) if i is not None][:1]
    stop = [i for i in (tokenizer.sep_token_id, tokenizer.eos_token_id) if i is not None][:1]
    named = past or future
    turns = [f"{s}: {t}" if named else str(t) for s, t in zip(speakers, texts, strict=True)]
    # JSON may hold half of an emoji, which tokenizers refuse.
    turns = [turn.encode("utf-8", "replace").decode() for turn in turns]
    room = max_length - len(start) - (3 if named else 1) * len(stop)
    ids: list[list[int]] = tokenizer(turns, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
    # Some texts, such as a zero-width space, have no tokens.
    has_text = [bool(text and text.strip() and turn) for text, turn in zip(texts, ids, strict=True)]

    encoded: list[EncodedText | None] = []
    for index, own_ids in enumerate(ids):
        if not has_text[index]:
            encoded.append(None)
            continue
        left = [i for k in range(max(0, index - past), index) if has_text[k] for i in ids[k]]
        right = [i for k in range(index + 1, min(len(ids), index + 1 + future)) if has_text[k] for i in ids[k]]
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
