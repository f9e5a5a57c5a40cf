import copy
from typing import Any

import pytest
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast

from modeling_erc.text_context_erc import EncodedText, encode_in_context

TEXTS: list[str | None] = ["w1 w2", "w3", "w4 w5 w6", "w7", "w8 w9"]
SPEAKERS = ["Ann", "Bo", "Ann", "Bo", "Ann"]


def encode(
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str | None],
    past: int = 0,
    future: int = 0,
    max_length: int = 100,
) -> list[EncodedText | None]:
    return encode_in_context(tokenizer, texts, SPEAKERS[: len(texts)], past=past, future=future, max_length=max_length)


def words(tokenizer: PreTrainedTokenizerFast, text: EncodedText | None) -> str:
    """Tokens as words, the utterance's own between stars."""
    assert text is not None and len(text.input_ids) == len(text.own)
    tokens = tokenizer.convert_ids_to_tokens(text.input_ids)
    return " ".join(f"*{token}*" if own else token for token, own in zip(tokens, text.own, strict=True))


def test_without_neighbours_it_is_the_plain_sentence(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode(tokenizer, TEXTS)
    assert words(tokenizer, encoded[2]) == "*[CLS]* *w4* *w5* *w6* *[SEP]*"
    assert words(tokenizer, encoded[3]) == "*[CLS]* *w7* *[SEP]*"


@pytest.mark.parametrize(
    ("past", "future", "expected"),
    [
        (1, 0, "*[CLS]* Bo : w3 [SEP] *Ann* *:* *w4* *w5* *w6* *[SEP]* [SEP]"),
        (0, 1, "*[CLS]* [SEP] *Ann* *:* *w4* *w5* *w6* *[SEP]* Bo : w7 [SEP]"),
        (1, 1, "*[CLS]* Bo : w3 [SEP] *Ann* *:* *w4* *w5* *w6* *[SEP]* Bo : w7 [SEP]"),
        (
            9,
            9,
            "*[CLS]* Ann : w1 w2 Bo : w3 [SEP] *Ann* *:* *w4* *w5* *w6* *[SEP]* Bo : w7 Ann : w8 w9 [SEP]",
        ),
    ],
)
def test_neighbours_stand_around_the_own_words(
    past: int, future: int, expected: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert words(tokenizer, encode(tokenizer, TEXTS, past, future)[2]) == expected


def test_the_first_and_the_last_have_neighbours_on_one_side(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode(tokenizer, TEXTS, past=1, future=1)
    assert words(tokenizer, encoded[0]) == "*[CLS]* [SEP] *Ann* *:* *w1* *w2* *[SEP]* Bo : w3 [SEP]"
    assert words(tokenizer, encoded[4]) == "*[CLS]* Bo : w7 [SEP] *Ann* *:* *w8* *w9* *[SEP]* [SEP]"


@pytest.mark.parametrize("silence", [None, "", " \n\t"])
def test_who_says_nothing_has_no_text_and_is_no_neighbour(
    silence: str | None, tokenizer: PreTrainedTokenizerFast
) -> None:
    encoded = encode(tokenizer, ["w1", silence, "w2"], past=2, future=1)
    assert encoded[1] is None
    assert words(tokenizer, encoded[2]) == "*[CLS]* Ann : w1 [SEP] *Ann* *:* *w2* *[SEP]* [SEP]"
    assert words(tokenizer, encoded[0]) == "*[CLS]* [SEP] *Ann* *:* *w1* *[SEP]* [SEP]"


# Around "Ann : w4 w5 w6" and four special tokens there is this much room for "Ann : w1 w2 Bo : w3" (7) on the left
# and "Bo : w7 Ann : w8 w9" (7) on the right.
@pytest.mark.parametrize(
    ("room", "left", "right"),
    [
        (14, "Ann : w1 w2 Bo : w3", "Bo : w7 Ann : w8 w9"),
        (10, "w1 w2 Bo : w3", "Bo : w7 Ann :"),
        (6, "Bo : w3", "Bo : w7"),
        (3, "w3", "Bo :"),
        (1, "", "Bo"),
        (0, "", ""),
    ],
)
def test_of_the_neighbours_the_nearest_words_are_kept(
    room: int, left: str, right: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    text = encode(tokenizer, TEXTS, past=2, future=2, max_length=9 + room)[2]
    expected = f"*[CLS]* {left} [SEP] *Ann* *:* *w4* *w5* *w6* *[SEP]* {right} [SEP]"
    assert words(tokenizer, text) == " ".join(expected.split())


def test_room_that_one_side_does_not_need_goes_to_the_other(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode(tokenizer, TEXTS, past=4, future=4, max_length=17)
    last = "*[CLS]* w3 Ann : w4 w5 w6 Bo : w7 [SEP] *Ann* *:* *w8* *w9* *[SEP]* [SEP]"
    assert words(tokenizer, encoded[4]) == last
    for index, text in enumerate(encoded):
        assert text is not None and len(text.input_ids) == 17, index


@pytest.mark.parametrize("length", [12, 20, 128])
@pytest.mark.parametrize("neighbours", [0, 3])
def test_nothing_is_longer_than_allowed_and_own_words_go_last(
    length: int, neighbours: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    long = " ".join(["w1", *["w2"] * 5000])
    assert len(long) > 10_000
    encoded = encode(tokenizer, ["w3 w4", long, "w5"], neighbours, neighbours, max_length=length)
    for text in encoded:
        assert text is not None and len(text.input_ids) <= length
    special = 4 if neighbours else 2
    assert encoded[1] is not None and len(encoded[1].input_ids) == length
    assert sum(encoded[1].own) == length - special + 2
    assert words(tokenizer, encoded[1]).count("*w2*") == length - special - 1 - (2 if neighbours else 0)
    # The short ones keep all of theirs.
    assert "*w3* *w4* *[SEP]*" in words(tokenizer, encoded[0])


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (("cls_token",), "Bo : w3 [SEP] *Ann* *:* *w4* *w5* *w6* *[SEP]* [SEP]"),
        (("sep_token",), "*[CLS]* Bo : w3 *Ann* *:* *w4* *w5* *w6*"),
        (("cls_token", "sep_token"), "Bo : w3 *Ann* *:* *w4* *w5* *w6*"),
    ],
)
def test_special_tokens_that_there_are_not_are_left_out(
    missing: tuple[str, ...], expected: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    poor = copy.deepcopy(tokenizer)
    for name in missing:
        setattr(poor, name, None)
    assert words(poor, encode(poor, TEXTS, past=1)[2]) == expected


def test_begin_and_end_of_text_stand_in_for_missing_ones(tokenizer: PreTrainedTokenizerFast) -> None:
    generator: Any = copy.deepcopy(tokenizer)
    generator.cls_token = generator.sep_token = None
    generator.bos_token, generator.eos_token = "w38", "w39"
    assert words(generator, encode(generator, TEXTS)[3]) == "*w38* *w7* *w39*"


def test_text_of_which_the_tokenizer_leaves_nothing_is_no_text(tokenizer: PreTrainedTokenizerFast) -> None:
    poor: Any = copy.deepcopy(tokenizer)
    poor.cls_token = poor.sep_token = None
    poor.backend_tokenizer.normalizer = normalizers.Replace("w1", "")
    encoded = encode(poor, ["w1", "w2"])
    assert encoded[0] is None and words(poor, encoded[1]) == "*w2*"
