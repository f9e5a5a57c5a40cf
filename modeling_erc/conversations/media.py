"""Joins a conversation with a recording of the whole conversation."""

from pathlib import Path

from .conversation import Conversation


def with_media(conversation: Conversation, media: str | Path) -> Conversation:
    """Adds a recording to each utterance, as `audio`, `video` or both, depending on its streams.

    Media that an utterance names itself are kept. Nothing is decoded here: the processor cuts by `start` and `end`.

    Args:
        conversation: a conversation with times, in seconds from the beginning of the recording.
        media: video or audio file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an utterance has no times, the file cannot be read, or it ends before the conversation starts.
    """
    media = Path(media)
    if not media.is_file():
        raise FileNotFoundError(f"{media}: no such file")
    if not conversation.timed:
        raise ValueError(
            f"the conversation has no times, so {media} cannot be cut: give start and end (seconds) of all utterances"
        )
    from ..media_erc import probe_media  # which loads torch

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
            f"{beyond} utterance(s) begin after {media.name} ends ({info.duration:.1f} s): only their text is used"
        )
    streams = {"audio": info.has_audio, "video": info.has_video}
    recording = {name: str(media) for name, present in streams.items() if present}
    joined = [
        {**recording, **u} if info.duration is None or u["start"] < info.duration else u
        for u in conversation.utterances
    ]
    return Conversation(joined, notes, conversation.language)
