import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest

from datasets_scripts.demo_corpus.script import (
    CAST,
    EMOTION_WEIGHTS,
    EMOTIONS,
    MOOD_PAIRS,
    MOOD_RATE,
    PHRASES,
    SENTIMENT,
    WARNINGS,
    Line,
    write_dialogues,
)

View = Callable[[Line], Hashable]

WORDS: View = lambda line: line.cues.text  # noqa: E731
VOICE: View = lambda line: line.cues.audio  # noqa: E731
FACE: View = lambda line: line.cues.vision  # noqa: E731
CONTEXT: View = lambda line: line.context  # noqa: E731
OWN_WARNING: View = lambda line: line.warns  # noqa: E731


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return write_dialogues(3000, 8, random.Random(0))


def ceiling(lines: Sequence[Line], views: Sequence[View]) -> float:
    """The best weighted F1 of any rule, also one that draws lots, that sees nothing but these views of a line."""
    groups: dict[Hashable, np.ndarray] = defaultdict(lambda: np.zeros(len(EMOTIONS)))
    for line in lines:
        groups[tuple(view(line) for view in views)][EMOTIONS.index(line.emotion)] += 1 / len(lines)
    joint = np.array(list(groups.values()))
    size, support = joint.sum(1, keepdims=True), joint.sum(0)

    def weighted_f1(rule: np.ndarray) -> float:
        return float((support * 2 * (rule * joint).sum(0) / (support + (rule * size).sum(0))).sum())

    majority = np.eye(len(EMOTIONS))[joint.argmax(1)]
    rule = 0.5 * majority + 0.5 * joint / size
    for _ in range(3000):  # exponentiated gradient: each row of the rule stays a distribution
        hits, predicted = (rule * joint).sum(0), (rule * size).sum(0)
        slope = support * 2 * (joint * (support + predicted) - hits * size) / (support + predicted) ** 2
        rule = rule * np.exp(20 * slope)
        rule /= rule.sum(1, keepdims=True)
    return max(weighted_f1(majority), weighted_f1(rule))


def difference(lines: Sequence[Line], pair: tuple[str, str], views: Sequence[View]) -> float:
    """Total variation, 0 to 1, between what two emotions show in these views together."""
    counts = [Counter(tuple(view(line) for view in views) for line in lines if line.emotion == name) for name in pair]
    shares = [{key: count / counter.total() for key, count in counter.items()} for counter in counts]
    return sum(abs(shares[0].get(key, 0) - shares[1].get(key, 0)) for key in shares[0] | shares[1]) / 2


def test_the_same_state_of_chance_writes_the_same_lines() -> None:
    assert write_dialogues(5, 8, random.Random(3)) == write_dialogues(5, 8, random.Random(3))
    assert write_dialogues(5, 8, random.Random(3)) != write_dialogues(5, 8, random.Random(4))


def test_emotions_are_imbalanced_yet_none_is_too_rare_to_learn(lines: list[Line]) -> None:
    shares = {name: count / len(lines) for name, count in Counter(line.emotion for line in lines).items()}
    assert set(shares) == set(EMOTIONS) == set(SENTIMENT)
    assert max(shares, key=lambda name: shares[name]) == "neutral" and shares["neutral"] > 0.25
    assert sorted(shares, key=lambda name: shares[name])[:2] == ["fear", "disgust"] and shares["fear"] > 0.05


@pytest.mark.parametrize("views", [(WORDS, CONTEXT, OWN_WARNING), (VOICE,), (FACE,)], ids=["text", "audio", "vision"])
def test_no_modality_suffices_alone(lines: list[Line], views: tuple[View, ...]) -> None:
    assert 0.5 < ceiling(lines, views) <= 0.66


@pytest.mark.parametrize(
    "views",
    [(WORDS, VOICE, CONTEXT), (WORDS, FACE, CONTEXT), (VOICE, FACE, CONTEXT), (WORDS, VOICE, FACE)],
    ids=["no vision", "no audio", "no text", "no context"],
)
def test_every_channel_is_needed(lines: list[Line], views: tuple[View, ...]) -> None:
    assert ceiling(lines, views) < 0.93


def test_all_channels_together_suffice(lines: list[Line]) -> None:
    assert ceiling(lines, (WORDS, VOICE, FACE, CONTEXT)) >= 0.95


def test_context_alone_gives_next_to_nothing(lines: list[Line]) -> None:
    assert ceiling(lines, (CONTEXT,)) < 0.3


@pytest.mark.parametrize(
    ("pair", "channel"),
    [
        (("joy", "surprise"), WORDS),
        (("surprise", "fear"), CONTEXT),
        (("anger", "disgust"), FACE),
        (("sadness", "neutral"), VOICE),
    ],
)
def test_a_pair_differs_in_one_channel_and_in_no_other(lines: list[Line], pair: tuple[str, str], channel: View) -> None:
    others = [view for view in (WORDS, VOICE, FACE, CONTEXT, OWN_WARNING) if view is not channel]
    assert difference(lines, pair, [channel]) == pytest.approx(1)
    assert difference(lines, pair, others) < 0.05


@pytest.mark.parametrize("pair", MOOD_PAIRS)
def test_one_emotion_of_a_pair_prevails_in_a_conversation_and_none_over_all(
    lines: list[Line], pair: tuple[str, str]
) -> None:
    felt: dict[int, list[bool]] = defaultdict(list)
    for line in lines:
        if line.emotion in pair:
            felt[line.dialogue].append(line.emotion == pair[0])
    same = [first == second for those in felt.values() for first, second in pairwise(those)]
    assert np.mean(same) == pytest.approx(MOOD_RATE**2 + (1 - MOOD_RATE) ** 2, abs=0.02)
    usual = EMOTION_WEIGHTS["calm"]
    share = usual[pair[0]] / sum(usual[name] for name in pair)
    assert np.mean([first for those in felt.values() for first in those]) == pytest.approx(share, abs=0.02)


def test_what_prevails_in_one_pair_says_nothing_of_another(lines: list[Line]) -> None:
    moods: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for dialogue in range(lines[-1].dialogue + 1):
        felt = Counter(line.emotion for line in lines[dialogue * 8 : dialogue * 8 + 8])
        for pair in MOOD_PAIRS:
            if both := sum(felt[name] for name in pair):
                moods[dialogue][pair] = felt[pair[0]] / both
    for one, other in combinations(MOOD_PAIRS, 2):
        known = np.array([[mood[one], mood[other]] for mood in moods.values() if one in mood and other in mood])
        assert abs(np.corrcoef(known.T)[0, 1]) < 0.06


def test_anger_shows_in_the_words_or_in_the_voice(lines: list[Line]) -> None:
    ways = Counter((line.cues.text, line.cues.audio) for line in lines if line.emotion in ("anger", "disgust"))
    assert set(ways) == {("harsh", "calm"), ("plain", "loud")}
    assert not any(
        (line.cues.text, line.cues.audio) in ways for line in lines if line.emotion not in ("anger", "disgust")
    )


def test_words_follow_their_cue_and_not_the_emotion(lines: list[Line]) -> None:
    def words(name: str) -> Counter[str]:
        return Counter(word for line in lines if line.emotion == name for word in line.text.split())

    def apart(one: Counter[str], other: Counter[str]) -> float:
        return sum(abs(one[word] / one.total() - other[word] / other.total()) for word in one | other) / 2

    for pair in (("surprise", "fear"), ("anger", "disgust"), ("sadness", "neutral")):
        assert apart(words(pair[0]), words(pair[1])) < 0.08
    assert apart(words("joy"), words("surprise")) > 0.2


def test_only_another_speakers_warning_right_before_frightens(lines: list[Line]) -> None:
    warned = 0
    for previous, line in zip([None, *lines], lines, strict=False):
        before = previous if previous is not None and previous.dialogue == line.dialogue else None
        frightened = before is not None and before.warns and before.speaker != line.speaker
        assert (line.context == "warned") == frightened
        assert line.emotion != "fear" or frightened
        assert not (frightened and line.emotion in ("joy", "surprise"))
        warned += frightened
    calm = [line for line in lines if line.context == "warned" and line.emotion != "fear"]
    assert len(calm) > warned / 2  # a warning frightens now and then, not always
    assert any(line.emotion == "surprise" and line.context == "own_warning" for line in lines)


def test_a_warning_says_nothing_of_the_emotion_it_is_spoken_in(lines: list[Line]) -> None:
    for name in EMOTIONS:
        own = [line.warns for line in lines if line.emotion == name]
        assert np.mean(own) == pytest.approx(0.4, abs=0.05)
    heads = tuple(warning.split()[0].lower() for warning in WARNINGS)
    assert all(line.warns == any(head in line.text.lower() for head in heads) for line in lines)


def test_texts_read_as_sentences_from_a_small_vocabulary(lines: list[Line]) -> None:
    assert len({word.strip(",.!?").lower() for line in lines for word in line.text.split()}) < 400
    assert len({line.text for line in lines}) > len(lines) / 2
    assert all(line.text[0].isupper() and line.text[-1] in ".!?" and "{" not in line.text for line in lines)


def test_dialogues_have_two_or_three_people_who_also_speak_twice_in_a_row(lines: list[Line]) -> None:
    people = defaultdict(set)
    for line in lines:
        people[line.dialogue].add(line.speaker)
    assert {len(names) for names in people.values()} <= {1, 2, 3}
    assert set().union(*people.values()) == set(CAST)
    again = np.mean([a.speaker == b.speaker for a, b in pairwise(lines) if b.utterance])
    assert again == pytest.approx(0.35, abs=0.03)


def test_every_kind_of_words_has_phrases_of_its_own() -> None:
    phrases = [phrase for kind in PHRASES.values() for phrase in kind]
    assert len(phrases) == len(set(phrases))
