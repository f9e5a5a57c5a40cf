"""Limits on the input of a visitor, so that no upload exhausts memory, disk or computing time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch.nn.modules.module import register_module_forward_pre_hook

from ..containers_erc import MediaError, decoding_limits
from ..conversations import Conversation
from ..media_erc import MediaInfo, probe_media


class PageError(ValueError):
    """An error whose message is shown to the visitor."""


@dataclass(frozen=True)
class Limits:
    """Maximum sizes of the input, and the computing time.

    Args:
        turns: utterances in a conversation.
        characters: characters in one utterance or one speaker's name.
        seconds: length of a recording, and latest time of a conversation.
        pixels: pixels in a video frame (width x height).
        upload_bytes: size of any file.
        computing_seconds: time in which one request is decoded and predicted.
    """

    turns: int = 200
    characters: int = 1000
    seconds: float = 900.0
    pixels: int = 4096 * 2304
    upload_bytes: int = 50 * 2**20
    computing_seconds: float = 300.0

    @property
    def script_characters(self) -> int:
        """Characters in the text box: `turns` turns of `characters`, with their times."""
        return self.turns * (self.characters + 250)

    @property
    def conversation_bytes(self) -> int:
        """Size of a file with a conversation, which may list every word with its times."""
        return 5 * self.turns * self.characters

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Limits the time and the size of frames while recordings are decoded and a model runs; one at a time.

        What a file declares is not relied upon: every decoded frame and every call of a layer is checked.

        Raises:
            PageError: the time is over.
        """
        until = time.monotonic() + self.computing_seconds

        def check(*_: object) -> None:
            if time.monotonic() > until:
                raise TimeoutError

        hook = register_module_forward_pre_hook(check)
        try:
            with decoding_limits(self.pixels, until):
                yield
        except TimeoutError as error:
            raise PageError(
                f"This takes longer than {self.computing_seconds:g} s, the limit of this page: "
                "shorten the conversation or its recording."
            ) from error
        finally:
            hook.remove()

    def check_script(self, script: str) -> None:
        """Checks the length of a text before it is parsed.

        Raises:
            PageError: the text is too long.
        """
        if len(script) > self.script_characters:
            raise PageError(
                f"{len(script)} characters are too many for this page: leave at most {self.script_characters}."
            )

    def check_conversation(self, conversation: Conversation) -> None:
        """Checks the number, length and times of turns.

        Raises:
            PageError: a limit is exceeded; the message names it.
        """
        utterances = conversation.utterances
        if len(utterances) > self.turns:
            raise PageError(f"{len(utterances)} turns are too many for this page: leave at most {self.turns}.")
        for number, utterance in enumerate(utterances, start=1):
            for name in ("speaker", "text"):
                length = len(utterance.get(name) or "")
                if length > self.characters:
                    raise PageError(
                        f"Turn {number} has a {name} of {length} characters: shorten it to {self.characters}."
                    )
            if (utterance.get("end") or 0.0) > self.seconds:
                raise PageError(f"Turn {number} ends at {utterance['end']:.6g} s: {self._longest()}")

    def check_recording(self, path: Path) -> MediaInfo:
        """Checks the length and frame size of a recording, and returns its properties; gradio checks the file size.

        Raises:
            PageError: a limit is exceeded, or the file cannot be read as a recording.
        """
        try:
            info = probe_media(str(path))
        except MediaError as error:
            raise PageError(
                f"The recording cannot be read: {without_folder(error, path)}. Try wav, mp3 or mp4."
            ) from error
        if info.duration is not None and info.duration > self.seconds:
            raise PageError(f"The recording lasts {info.duration:.0f} s: {self._longest()}")
        if (info.width or 0) * (info.height or 0) > self.pixels:
            raise PageError(f"Frames of {info.width} x {info.height} pixels are too large: scale the video down.")
        return info

    def _longest(self) -> str:
        return f"this page takes at most {self.seconds / 60:g} minutes. Cut it into parts."


def without_folder(error: Exception, path: Path) -> str:
    """Returns an error message without the folder in which this machine stores the visitor's file."""
    return str(error).replace(str(path), path.name).replace(f"{path.parent}/", "")


LIMITS = Limits()
