"""Names and colours of speakers in figures."""

from modeling_erc.timelines import Turn, voices
from modeling_erc.timelines.speakers import SPEAKERS, short_names


def said_by(*names: str | None) -> list[Turn]:
    return [Turn(None, None, name, "Hi", "", 0.0, {}, ("text",), targets={"valence": 1.0}) for name in names]


def test_every_turn_belongs_to_one_voice_and_the_rarest_speakers_share_one() -> None:
    few = voices(said_by("Ann", None, "Ann", "Bo"))
    assert [(voice.name, voice.places) for voice in few] == [("Ann", [0, 2]), ("?", [1]), ("Bo", [3])]
    many = voices(said_by(*(f"guest {number}" for number in range(20)), "Bo", "Bo"))
    assert len(many) == len(SPEAKERS) == len({voice.colour for voice in many})
    assert many[0].places == [20, 21]
    assert (many[-1].name, len(many[-1].places)) == ("others", 20 - 5)
    assert sorted(place for voice in many for place in voice.places) == list(range(22))


def test_long_names_are_cut_and_still_differ() -> None:
    long = [f"Doctor of Philosophy {name}" for name in ("Ann Arbour", "Bo Boulder")]
    short = short_names(said_by(*long), 9)
    assert [len(name) for name in short.values()] == [18, 18]
    assert len(set(short.values())) == 2
    assert short_names(said_by(long[0]), 9) == {long[0]: "Doctor of Philoso…"}
