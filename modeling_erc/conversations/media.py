"""Joins a conversation with the one recording of all of it."""

from pathlib import Path
from typing import Any

from ..media_erc import probe_media
from .conversation import Conversation


def with_media(conversation: Conversation, media: str | Path) -> Conversation:
    """Gives each utterance its part of a recording: its sound, its picture, or both, as the file has them.

    What an utterance names itself stays. Nothing is decoded here: the processor cuts by `start` and `end`.

    Args:
        conversation: with times.
        media: a video or sound file, from whose beginning the times are counted (seconds).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an utterance has no times, the file cannot be read, or it ends before the conversation begins.
    """
    media = Path(media)
    if not media.is_file():
        raise FileNotFoundError(f"{media}: no such file")
    if not conversation.timed:
        raise ValueError(
            f"the conversation has no times, so {media} cannot be cut: give start and end (seconds) of all"
        )
    info = probe_media(str(media))
    first = min(u["start"] for u in conversation.utterances)
    if info.duration is not None and first >= info.duration:
        raise ValueError(
            f"{media} lasts {info.duration:.1f} s, but the first utterance begins at {first:.1f} s: "
            "is it the file of another conversation?"
        )
    notes = list(conversation.notes)
    beyond = sum(info.duration is not None and u["start"] >= info.duration for u in conversation.utterances)
    if beyond:
        notes.append(
            f"{beyond} utterance(s) begin after {media.name} ends ({info.duration:.1f} s): they have words only"
        )
    streams = {"audio": info.has_audio, "video": info.has_video}
    given = {name: str(media) for name, here in streams.items() if here}

    def joined(utterance: dict[str, Any]) -> dict[str, Any]:
        inside = info.duration is None or utterance["start"] < info.duration
        return {**given, **utterance} if inside else utterance

    return Conversation([joined(utterance) for utterance in conversation.utterances], notes)
