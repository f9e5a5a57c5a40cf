"""A checkpoint on its way to the Hub: what of it is sent, and what is said when the Hub does not take it."""

import json
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import get_token, httpx  # type: ignore[attr-defined]  # theirs for us: it may be httpx2
from transformers import TrainingArguments
from transformers.utils import logging

from .model_card import checkpoint_card, refresh_limits
from .redaction import public_settings

logger = logging.get_logger(__name__)
T = TypeVar("T")

# All that a user of the model needs, and nothing else: no pickles (optimizer.pt, training_args.bin), and no
# predictions, logs or reports, which hold the words of a corpus that may not be passed on.
PUSHED = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "*_erc.py"),
    *("processor_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.model"),
    *("README.md", "metrics.json", "confusion_matrix.png", "robustness/curves.png"),
    "run_config.yaml",
)
# Seconds before each further try. Uploads are retried by `huggingface_hub` as well; creating and committing are not.
WAITS = (1, 2, 4)
# A Hub that asks for a longer pause is taken for one that refuses.
LONGEST_WAIT = 300
TRANSIENT = {408, 409, 412, 425, 429, 500, 502, 503, 504}
REMEDIES = {
    401: "Log in with `hf auth login`, or set HF_TOKEN to a token of yours",
    403: "The name before the slash must be yours or your organisation's, and the token one that may write",
    404: "There is no such repository, or the token may not see it: check the name",
    409: "Somebody else writes to it at this moment: try again in a minute",
    413: "A file is larger than the Hub takes",
    429: "The Hub asks for patience: try again later",
}


class PushError(ConnectionError):
    """The Hub was not reached or refused; the message says why, and what to do."""


class HubRepository:
    """A model repository that checkpoints are pushed to.

    Args:
        repo_id: `user/name`; without a user it is the token's.
        private: whether it is private when it is made; `True` also refuses one that is there and public.
        revision: branch to push to, made where there is none; default: main.
        token: default: that of `hf auth login` or `HF_TOKEN`.

    Raises:
        ValueError: the token holds what no token holds.

    Example:
        >>> HubRepository("me/erc-demo", private=True).push("runs/demo-001")  # doctest: +SKIP
        'https://huggingface.co/me/erc-demo/commit/...'
    """

    def __init__(
        self, repo_id: str, *, private: bool | None = None, revision: str | None = None, token: str | None = None
    ) -> None:
        self.repo_id = repo_id
        self.private = private
        self.revision = revision
        self.api = HfApi(token=token)
        self._token = token or get_token() or ""
        # The error that this would give on its way out repeats the token.
        if not re.fullmatch(r"[!-~]*", self._token):
            raise ValueError("the Hub's token holds a space, a line break or a letter that no token has: copy it anew")

    @classmethod
    def of_run(
        cls, args: TrainingArguments, *, token: str | None = None, private: bool | None = None
    ) -> "HubRepository":
        """The one that a run's arguments name; without `hub_model_id` it is called like the run's folder.

        Args:
            args: of the run.
            token: in place of theirs.
            private: in place of theirs.
        """
        return cls(
            args.hub_model_id or Path(str(args.output_dir)).absolute().name,
            private=args.hub_private_repo if private is None else private,
            revision=args.hub_revision,
            token=args.hub_token if token is None else token,
        )

    def prepare(self) -> None:
        """Makes the repository and the branch where there are none.

        Raises:
            PushError: the Hub was not reached or refused.
            ValueError: the name is none, or a private repository is asked for and a public one is there.
        """
        address = self._patiently(
            lambda: self.api.create_repo(self.repo_id, private=self.private or None, exist_ok=True)
        )
        self.repo_id = address.repo_id
        if self.private and not self._patiently(lambda: self.api.model_info(self.repo_id)).private:
            raise ValueError(f"{self.repo_id} exists and is public: make it private on the Hub first, or name another")
        if self.revision not in (None, "main"):
            branch = str(self.revision)
            self._patiently(lambda: self.api.create_branch(self.repo_id, branch=branch, exist_ok=True))

    def push(self, folder: str | Path, message: str = "Upload the model") -> str:
        """Makes the repository hold what a user needs of a checkpoint; the checkpoint stays as it is.

        Args:
            folder: of a run, or of a checkpoint inside it.
            message: of the commit.

        Returns:
            the commit's address.

        Raises:
            FileNotFoundError: the folder is no checkpoint.
            PushError: the Hub was not reached or refused; the message holds the command that pushes again.
            ValueError: as [`prepare`].
        """
        folder = Path(folder)
        with staged(folder) as stage:
            try:
                self.prepare()
                return self.upload(stage, message)
            except PushError as error:
                raise PushError(f"{error}\n{self.again(folder)}") from error

    def upload(self, stage: Path, message: str) -> str:
        """Commits a folder that [`staged`] made, and deletes what an earlier push left; returns the commit's address.

        Raises:
            PushError: the Hub was not reached or refused.
        """

        def commit() -> str:
            there = self.api.list_repo_files(self.repo_id, revision=self.revision)
            # Its own shards, code and pictures alone: what somebody else put there stays.
            stale = [name for name in there if is_pushed(name) and not (stage / name).is_file()]
            info = self.api.upload_folder(
                repo_id=self.repo_id,
                folder_path=stage,
                delete_patterns=stale or None,
                commit_message=message,
                revision=self.revision,
            )
            return str(info.commit_url)

        return self._patiently(commit)

    def again(self, folder: Path) -> str:
        """Says that the checkpoint is whole, and how to push it another time."""
        words = ["python", "-m", "modeling_erc", "push", str(folder), self.repo_id]
        words += ["--private"] * bool(self.private) + (["--revision", self.revision] if self.revision else [])
        return f"The checkpoint in {folder} is whole. To push it again:\n  {shlex.join(words)}"

    def _patiently(self, step: Callable[[], T]) -> T:
        """Does a step, once more after each of `WAITS` where the failure may pass. What was uploaded is not again."""
        for wait in (*WAITS, None):
            try:
                return step()
            except (httpx.HTTPError, OfflineModeIsEnabled, LocalTokenNotFoundError, json.JSONDecodeError) as error:
                pause = None if wait is None else _pause(error, wait)
                if pause is None:
                    self._refuse(error)
                logger.warning(f"{self.repo_id}: {self._told(error)}; trying again in {pause:g} s")
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _refuse(self, error: Exception) -> NoReturn:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status is None:
            remedy = f"Is {self.api.endpoint} the Hub (HF_ENDPOINT), and can this machine reach it?"
        else:
            remedy = REMEDIES.get(status, "Try again later" if status >= 500 else "")
        raise PushError(f"{self.repo_id} was not pushed: {self._told(error)}. {remedy}".strip()) from error

    def _told(self, error: Exception) -> str:
        """What went wrong, on one line; a token that a library repeats is left out."""
        if isinstance(error, HfHubHTTPError):
            said = error.server_message or error.response.reason_phrase
            text = f"the Hub answered {error.response.status_code} ({said})"
        elif isinstance(error, json.JSONDecodeError):
            text = "the answer was no JSON"
        else:
            text = f"{type(error).__name__}: {error}"
        return " ".join((text.replace(self._token, "[token]") if self._token else text).split())


def is_pushed(name: str) -> bool:
    """Whether a file of this name, relative to the checkpoint, is one that is pushed."""
    # To fnmatch a slash is a letter like any other.
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in PUSHED)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder with just what is pushed of a checkpoint, as it is now: the Trainer may delete the checkpoint meanwhile.

    A checkpoint inside a run has no card yet and gets one that says where in its training it is. `run_config.yaml` goes
    without the folders of this machine.

    Args:
        folder: of a run or of a checkpoint.

    Raises:
        FileNotFoundError: it is no checkpoint; the message names what is missing.
    """
    check_checkpoint(folder)
    refresh_limits(folder)
    with tempfile.TemporaryDirectory(prefix="erc-push-") as temporary:
        stage = Path(temporary)
        for file in (file for pattern in PUSHED for file in folder.glob(pattern)):
            _link(file, stage / file.relative_to(folder))
        settings = folder / "run_config.yaml"
        if settings.is_file():
            public = public_settings(yaml.safe_load(settings.read_text(encoding="utf-8")))
            (stage / settings.name).unlink()  # a link: the run's own file must not change
            (stage / settings.name).write_text(yaml.safe_dump(public), encoding="utf-8")
        if not (stage / "README.md").exists():
            (stage / "README.md").write_text(checkpoint_card(folder), encoding="utf-8")
        yield stage


def check_checkpoint(folder: Path) -> None:
    """Refuses a folder that no one could load from.

    Raises:
        FileNotFoundError: naming what is missing.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected one that train_hf.py wrote, such as runs/demo-001")
    index = folder / "model.safetensors.index.json"
    weights = ["model.safetensors"]
    if index.is_file():
        weights = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    needed = ["config.json", "modeling_erc.py", "processor_config.json", "processing_erc.py", *weights]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is no whole checkpoint: it has no {', '.join(missing)}; let the run finish, or name one of its "
            "checkpoint-<step> folders"
        )


def _link(file: Path, target: Path) -> None:
    """The file once more, without a copy where the file system allows that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _pause(error: Exception, wait: float) -> float | None:
    """Seconds until another try makes sense, or `None`."""
    if isinstance(error, json.JSONDecodeError):  # a gateway's page in place of the Hub's answer
        return wait
    if isinstance(error, HfHubHTTPError):
        asked = error.response.headers.get("retry-after", "")
        pause = float(asked) if asked.isdecimal() else wait
        return pause if error.response.status_code in TRANSIENT and pause <= LONGEST_WAIT else None
    passing = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
    return wait if isinstance(error, passing) else None
