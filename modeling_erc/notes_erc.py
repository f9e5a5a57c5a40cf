"""Sentences that qualify a model's answers on a conversation: what it was trained on, and what it cannot read."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from .configuration_erc import MODALITIES, ErcConfig
from .context_erc import LONG, LONG_WINDOW
from .processing_erc import ErcProcessor

# Shares of unknown tokens, of letters outside the Latin script, and of English function words.
UNKNOWN, FOREIGN, FUNCTION_WORDS = 0.3, 0.3, 0.07
FEWEST_WORDS = 12  # to judge the language by its function words
MOST_TEXTS, LONGEST = 500, 1_000  # utterances that are examined, and characters of each
# Frequent English words that are rare in other languages of the Latin script.
ENGLISH = re.compile(
    r"\b(?:the|and|you|it|that|to|this|not|are|what|with|for|but|they|your|have|don|i['\u2019](?:m|ll|ve)|my|our|him|his|her|who|why|how|where|"
    r"there|here|yes|yeah|okay|just|know|think|can|would|will|been)\b"
)
WORD = re.compile(r"[^\W\d_]+")


def synthetic_note(config: ErcConfig) -> str | None:
    """Returns the note about a model that was trained on a synthetic corpus, else None."""
    corpus = config.training_corpus or {}
    if not corpus.get("synthetic"):
        return None
    return (
        f"the model was trained on the synthetic corpus {corpus['name']!r} and tells nothing about real conversations: "
        "use a checkpoint that was trained on real ones"
    )


def notes_about(
    config: ErcConfig,
    processor: ErcProcessor,
    utterances: Sequence[Mapping[str, Any]],
    language: str | None = None,
    modalities: Sequence[str] | None = None,
) -> list[str]:
    """Returns a sentence for each reason to doubt what a model answers on a conversation.

    Args:
        config: config of the model.
        processor: its processor.
        utterances: the conversation, in the form of the pipeline's input.
        language: code of the language, such as `en`, where it is known.
        modalities: modalities that are used, default: all of the model.
    """
    chosen = config.modalities if modalities is None else modalities
    present = [
        m for m, names in MODALITIES.items() if any(u.get(key) is not None for u in utterances for key in names.keys)
    ]
    notes = [note for note in [synthetic_note(config)] if note]
    if unread := [m for m in present if m not in config.modalities]:
        notes.append(
            f"the model reads {_listed(config.modalities)} only: the conversation's {_listed(unread)} cannot be used"
        )
    if missing := [m for m in chosen if m not in present]:
        notes.append(f"the conversation has no {_listed(missing, 'or')}, which the model was trained with")
    if len(utterances) > LONG and config.context == "transformer" and config.context_window is None:
        notes.append(
            f"the conversation has more than {LONG:,} utterances: each sees the {LONG_WINDOW} before and after it only"
        )
    unnamed = sum(u.get("speaker") is None for u in utterances)
    if unnamed > 1 and config.context != "none" and processor.unnamed_speakers == "one":
        notes.append(
            f"{unnamed} of {len(utterances)} utterances have no speaker: the model takes them for those of one person"
        )
    texts = [str(u["text"]) for u in utterances if u.get("text")][:MOST_TEXTS]
    texts = [text[:LONGEST].encode("utf-8", "replace").decode() for text in texts]  # tokenizers refuse half an emoji
    if "text" in chosen and processor.tokenizer is not None and texts:
        notes += _text_notes(texts, processor.tokenizer, (config.training_corpus or {}).get("language"), language)
    return notes


def _text_notes(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, trained: str | None, language: str | None
) -> list[str]:
    notes = []
    unknown = tokenizer.unk_token
    words = [[t for t in tokenizer.tokenize(text) if t == unknown or any(map(str.isalpha, t))] for text in texts]
    without = sum(bool(tokens) and all(t == unknown for t in tokens) for tokens in words)
    share = sum(t == unknown for tokens in words for t in tokens) / max(1, sum(map(len, words)))
    if without:
        notes.append(f"{without} of {len(texts)} utterances have no word that the model knows: their text says nothing")
    elif share > UNKNOWN:
        notes.append(f"{share:.0%} of the words are unknown to the model, which guesses from the others")
    same = language == trained if language is not None else trained != "en" or _english("\n".join(texts))
    if trained is not None and not same:
        notes.append(f"the words do not seem to be in {trained!r}, the language that the model was trained on")
    return notes


def _english(text: str) -> bool:
    """Guesses whether text is English, from its script and its function words."""
    letters = [letter for letter in text if letter.isalpha()]
    if sum(letter > "\u024f" for letter in letters) > FOREIGN * len(letters):
        return False
    words = len(WORD.findall(text))
    return words < FEWEST_WORDS or len(ENGLISH.findall(text.lower())) >= FUNCTION_WORDS * words


def _listed(names: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
