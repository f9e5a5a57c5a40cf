"""Uploaded files: a conversation, or its recording."""

from dataclasses import dataclass
from pathlib import Path

from ..conversations import READERS, Conversation, read_conversation, with_media
from ..transcription import transcribe
from .limits import Limits, PageError, without_folder
from .script import write_script

SUFFIXES = tuple(READERS)


def open_conversation(path: Path, limits: Limits) -> tuple[str, list[str]]:
    """Converts a file to lines for the page, and returns them with the guesses and omissions while reading.

    Recordings named in the file are never opened.

    Raises:
        PageError: the file is too large, of an unknown kind, or cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise PageError(f"“{path.name}” is of an unknown kind: open one of {', '.join(SUFFIXES)}.")
    if path.stat().st_size > limits.conversation_bytes:
        raise PageError(f"“{path.name}” is too large: at most {limits.conversation_bytes // 1000} kB of text.")
    try:
        conversation = read_conversation(path)
    except (ValueError, OSError) as error:
        raise PageError(f"The file cannot be read: {without_folder(error, path)}") from error
    notes = list(conversation.notes)
    named = sum(bool(turn.get("audio") or turn.get("video")) for turn in conversation.utterances)
    if named:
        notes.append(f"{named} turn(s) name a recording, which this page does not open: attach one recording of all.")
    limits.check_conversation(conversation)
    return write_script(conversation.utterances), notes


@dataclass(frozen=True)
class Transcriber:
    """Makes a conversation of a recording alone.

    Args:
        recogniser: folder or Hub id of a speech recogniser.
        speaker_model: folder or Hub id of a model that tells speakers apart, if any.
        device: device such as `cpu` or `cuda:0`; default: the first accelerator.
    """

    recogniser: str
    speaker_model: str | None = None
    device: str | None = None

    def lines(self, path: Path, speakers: int | None, limits: Limits) -> tuple[str, list[str]]:
        """Returns lines for the page, and notes, as `open_conversation`.

        Args:
            path: audio or video file.
            speakers: number of speakers; None where it is unknown.
            limits: limits of the page.

        Raises:
            PageError: the recording is too large, cannot be read, has no speech, or takes too long.
        """
        limits.check_recording(path)
        try:
            with limits.computing():
                conversation = transcribe(
                    path, self.recogniser, speakers=speakers, speaker_model=self.speaker_model, device=self.device
                )
        except PageError:
            raise
        except (ValueError, ImportError) as error:
            raise PageError(f"The recording cannot be transcribed: {without_folder(error, path)}") from error
        limits.check_conversation(conversation)
        return write_script(conversation.utterances), conversation.notes


def with_recording(conversation: Conversation, path: Path, limits: Limits) -> Conversation:
    """Assigns every turn its part of a recording; a single turn without times gets all of it.

    Raises:
        PageError: the recording cannot be used, or several turns have no times.
    """
    info = limits.check_recording(path)
    if len(conversation.utterances) > 1 and not conversation.timed:
        raise PageError(
            "The recording cannot be cut: begin every line with its times, such as [0:01.0 - 0:02.5], "
            "or open the subtitles of the recording."
        )
    if not conversation.timed:
        streams = {"audio": info.has_audio, "video": info.has_video}
        whole = {name: str(path) for name, here in streams.items() if here}
        return Conversation([{**conversation.utterances[0], **whole}], conversation.notes)
    try:
        return with_media(conversation, path)
    except ValueError as error:
        raise PageError(f"The recording does not fit: {without_folder(error, path)}") from error
