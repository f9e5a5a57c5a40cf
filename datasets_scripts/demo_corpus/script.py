"""Script of the demo corpus: generated dialogues in which no single channel suffices to identify the emotion.

Every emotion is expressed by three cues, words (T), voice (A) and face (V), and depends on the previous utterance (C):

============  =====  =====  ====  ===================================================
emotion       T      A      V     C
============  =====  =====  ====  ===================================================
joy           glad   high   open  no warning by someone else
surprise      awe    high   open  no warning by someone else
fear          awe    high   open  someone else has just given a warning
anger (hot)   plain  loud   frown any
anger (cold)  harsh  calm   frown any
disgust       as anger, with the face ``grimace`` in place of ``frown``
sadness       plain  dull   still any
neutral       plain  calm   still any
============  =====  =====  ====  ===================================================

Joy and surprise differ in the words alone, surprise and fear in the context alone, anger and disgust in the face alone,
sadness and neutral in the voice alone. A warning, like a harmless remark, is an extra clause, equally frequent in
every emotion. It frightens only the *other* speakers, and only in the next utterance.

Moods persist: of each of the pairs joy and surprise, anger and disgust, sadness and neutral, one emotion prevails in a
conversation.
"""

import random
from dataclasses import dataclass

SENTIMENT = {
    "neutral": "neutral",
    "surprise": "positive",
    "fear": "negative",
    "sadness": "negative",
    "joy": "positive",
    "disgust": "negative",
    "anger": "negative",
}
EMOTIONS = tuple(SENTIMENT)

# fmt: off
CAST = (
    "Abrin", "Belka", "Corvo", "Dessa", "Elun", "Fenja", "Gorvin", "Hilka",
    "Ivano", "Jorun", "Kestra", "Lumo", "Mirel", "Nando", "Oriel", "Pavla",
    "Quillo", "Runa", "Sorin", "Tamsa", "Ulvar", "Vesna", "Wilmo", "Yorka",
)
# fmt: on


@dataclass(frozen=True)
class Cues:
    """One way to express an emotion."""

    text: str  # kind of words, a key of `PHRASES`
    audio: str  # kind of voice, a key of `voice.VOICES`
    vision: str  # kind of face, a key of `face.FACES`


# Anger and disgust are expressed in two ways: in the voice (hot) or in the words (cold).
CUES: dict[str, tuple[Cues, ...]] = {
    "neutral": (Cues("plain", "calm", "still"),),
    "surprise": (Cues("awe", "high", "open"),),
    "fear": (Cues("awe", "high", "open"),),
    "sadness": (Cues("plain", "dull", "still"),),
    "joy": (Cues("glad", "high", "open"),),
    "disgust": (Cues("plain", "loud", "grimace"), Cues("harsh", "calm", "grimace")),
    "anger": (Cues("plain", "loud", "frown"), Cues("harsh", "calm", "frown")),
}

# Weights of the emotions after each context. A pair that shares C has the same ratio in every row, so that the context
# does not separate its members. Fear replaces joy and surprise after a warning by someone else.
EMOTION_WEIGHTS: dict[str, dict[str, float]] = {
    "calm": {"neutral": 28, "sadness": 14, "anger": 14, "disgust": 11, "joy": 18, "surprise": 15},
    "own_warning": {"neutral": 20, "sadness": 10, "anger": 11.2, "disgust": 8.8, "joy": 27, "surprise": 22.5},
    "warned": {"neutral": 28, "sadness": 14, "anger": 14, "disgust": 11, "fear": 33},
}

# Of each pair that a single channel separates, one member prevails in a conversation. If that channel is missing in an
# utterance, the other utterances give a hint; if it is missing in all of them, there is none.
MOOD_PAIRS = (("neutral", "sadness"), ("anger", "disgust"), ("joy", "surprise"))
MOOD_RATE = 0.95

WARNING_RATE = 0.4
REMARK_RATE = 0.4
SAME_SPEAKER_RATE = 0.35
THREE_SPEAKERS_RATE = 0.25

PHRASES = {
    "glad": (
        "I love this {thing}!",
        "This is the best {thing} ever!",
        "What a lovely {thing}!",
        "Hooray, the {thing} is perfect!",
        "I am so glad about the {thing}!",
        "The {thing} turned out great!",
        "How wonderful, we got the {thing}!",
        "Great, the {thing} makes me so happy!",
    ),
    "awe": (
        "Oh my, what is that {thing}?",
        "Wait, what happened to the {thing}?",
        "Did you see that {thing}?",
        "I never expected the {thing}!",
        "Where did the {thing} come from?",
        "Oh, the {thing} just moved!",
        "I cannot believe the {thing} did that!",
        "What, is that really the {thing}?",
    ),
    "harsh": (
        "I cannot stand this {thing}!",
        "Take that awful {thing} away!",
        "I hate the {thing}!",
        "Not the stupid {thing} again!",
        "Who ruined the {thing}?",
        "Enough, I want no {thing}!",
        "Keep that terrible {thing} away from me!",
        "This {thing} is a mess!",
    ),
    "plain": (
        "I put the {thing} in the {place}.",
        "We still have the {thing}.",
        "They called about the {thing}.",
        "I will be in the {place} with the {thing}.",
        "Maybe we take the {thing} tomorrow.",
        "The {thing} is the one from last year.",
        "I looked for the {thing} in the {place}.",
        "You can leave the {thing} in the {place}.",
    ),
}

# Warnings and remarks share most of their words. Two alarm words per warning make it stand out in the utterance.
WARNINGS = (
    "Careful, watch out, something is moving in the {place}.",
    "Watch out, danger, the wall of the {place} is falling.",
    "Danger, be careful, someone is hiding in the {place}.",
    "Careful, danger, do not go into the {place}, it is not safe.",
    "Watch out, be careful, there is smoke near the {thing}.",
    "Danger, watch out, stay away from the {place}.",
)
REMARKS = (
    "By the way, someone is waiting in the {place}.",
    "I think the wall of the {place} is new.",
    "By the way, something is written on the {thing}.",
    "I think we can go into the {place}, it is open.",
    "They say there is a cat near the {thing}.",
    "They say you can stay in the {place}.",
)
OPENERS = ("Well,", "So,", "You know,", "Listen,", "Okay,", "Honestly,", "{other},", "Hey {other},")

TOPICS = (
    (("cake", "soup", "table", "candle"), ("kitchen", "garden", "cellar")),
    (("tent", "boat", "fire", "map"), ("forest", "cabin", "cave")),
    (("train", "ticket", "suitcase", "bench"), ("station", "tunnel", "waiting room")),
    (("printer", "report", "lamp", "elevator"), ("office", "hallway", "basement")),
    (("piano", "mask", "curtain", "costume"), ("theater", "attic", "dressing room")),
    (("tractor", "fence", "goat", "basket"), ("barn", "field", "mill")),
    (("statue", "painting", "clock", "mirror"), ("museum", "tower", "library")),
    (("bicycle", "parcel", "ladder", "radio"), ("garage", "yard", "shed")),
)


@dataclass(frozen=True)
class Line:
    """One utterance of the script."""

    dialogue: int  # index of the dialogue in its split
    utterance: int  # index of the utterance in its dialogue
    speaker: str  # a name of `CAST`
    text: str
    emotion: str  # one of `EMOTIONS`
    cues: Cues
    context: str  # effect of the previous utterance, a key of `EMOTION_WEIGHTS`
    warns: bool  # whether the text contains a warning


def write_dialogues(count: int, utterances: int, rng: random.Random) -> list[Line]:
    """Generates dialogues in order.

    Args:
        count: number of dialogues.
        utterances: number of utterances in each dialogue.
        rng: the only source of variation; equal states give equal lines.

    Example:
        >>> import random
        >>> lines = write_dialogues(2, 8, random.Random(0))
        >>> len(lines), lines[0].dialogue, lines[-1].utterance
        (16, 0, 7)
    """
    return [line for dialogue in range(count) for line in _write_dialogue(dialogue, utterances, rng)]


def _write_dialogue(dialogue: int, utterances: int, rng: random.Random) -> list[Line]:
    people = rng.sample(CAST, 3 if rng.random() < THREE_SPEAKERS_RATE else 2)
    things, places = rng.choice(TOPICS)
    mood = _mood(rng)
    lines: list[Line] = []
    speaker = people[0]
    for utterance in range(utterances):
        others = [name for name in people if name != speaker]
        if lines and rng.random() >= SAME_SPEAKER_RATE:
            speaker = rng.choice(others)
            others = [name for name in people if name != speaker]
        context = _context_of(lines[-1] if lines else None, speaker)
        weights = {name: weight * mood.get(name, 1) for name, weight in EMOTION_WEIGHTS[context].items()}
        emotion = rng.choices(list(weights), list(weights.values()))[0]
        cues = rng.choice(CUES[emotion])
        clauses, warns = _extra_clauses(rng)
        # The words depend on the cue and not on the emotion: they cannot separate two emotions with the same cue.
        sentences = [rng.choice(PHRASES[cues.text]), *clauses]
        rng.shuffle(sentences)
        text = _say(sentences, things, places, rng.choice(others), rng)
        lines.append(Line(dialogue, utterance, speaker, text, emotion, cues, context, warns))
    return lines


def _mood(rng: random.Random) -> dict[str, float]:
    """Draws factors on the emotion weights for one conversation; their mean over conversations is 1."""
    usual = EMOTION_WEIGHTS["calm"]
    factors: dict[str, float] = {}
    for first, second in MOOD_PAIRS:
        share = usual[first] / (usual[first] + usual[second])
        # With this probability, each emotion keeps its share over many conversations.
        first_prevails = rng.random() < (share - (1 - MOOD_RATE)) / (2 * MOOD_RATE - 1)
        now = MOOD_RATE if first_prevails else 1 - MOOD_RATE
        factors[first], factors[second] = now / share, (1 - now) / (1 - share)
    return factors


def _context_of(previous: Line | None, speaker: str) -> str:
    if previous is None or not previous.warns:
        return "calm"
    return "own_warning" if previous.speaker == speaker else "warned"


def _extra_clauses(rng: random.Random) -> tuple[list[str], bool]:
    draw = rng.random()
    if draw < WARNING_RATE:
        return [rng.choice(WARNINGS)], True
    if draw < WARNING_RATE + REMARK_RATE:
        return [rng.choice(REMARKS)], False
    return [], False


def _say(sentences: list[str], things: tuple[str, ...], places: tuple[str, ...], other: str, rng: random.Random) -> str:
    filled = [sentence.format(thing=rng.choice(things), place=rng.choice(places)) for sentence in sentences]
    if rng.random() < 0.4:
        first = filled[0] if filled[0].startswith("I ") else filled[0][0].lower() + filled[0][1:]
        filled[0] = f"{rng.choice(OPENERS).format(other=other)} {first}"
    return " ".join(filled)
