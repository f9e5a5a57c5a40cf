"""Pushes checkpoints to the Hub: which files are sent, retries, and error messages with a remedy."""

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
from typing import TypeVar

import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import get_token, httpx  # type: ignore[attr-defined]  # which may be httpx2
from transformers import TrainingArguments
from transformers.utils import logging

from .model_card import checkpoint_card, refresh_limits
from .redaction import public_settings

logger = logging.get_logger(__name__)
T = TypeVar("T")

# The files that a user of the model needs. Pickles (optimizer.pt, training_args.bin) are never pushed, nor are
# predictions, logs and reports, since they contain text of a corpus that may not be redistributed.
PUSHED = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "*_erc.py"),
    *("processor_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.spm"),
    *("bpe.codes", "dict.txt", "byte_maps.json", "emoji.json", "entity_vocab.json", "prophetnet.tokenizer"),
    *(
        "vocab-src.json",
        "vocab-tgt.json",
        "target_vocab.json",
        "normalizer.json",
        "word_shape.json",
        "word_pronunciation.json",
    ),
    *("README.md", "metrics.json", "confusion_matrix.png", "robustness/curves.png"),
    *("run_config.yaml", ".eval_results/erc-*.yaml"),
)
# Seconds before each retry. `huggingface_hub` retries uploads itself, but not the creation of repositories and commits.
WAITS = (1, 2, 4)
# A longer pause that the Hub asks for, in seconds, counts as a refusal.
LONGEST_WAIT = 300
TRANSIENT = {408, 409, 412, 425, 429, 500, 502, 503, 504}
REMEDIES = {
    401: "Log in with `hf auth login`, or set HF_TOKEN to your token",
    403: "The name before the slash must be yours or your organisation's, and the token needs write permission",
    404: "The repository does not exist, or the token cannot see it: check the name",
    409: "Another commit is in progress: try again in a minute",
    413: "A file is larger than the Hub accepts",
    429: "Too many requests: try again later",
}


class PushError(ConnectionError):
    """The Hub was not reached or refused; the message names the reason and the remedy."""


class HubRepository:
    """A model repository that checkpoints are pushed to.

    Args:
        repo_id: `user/name`, or `name` for a repository of the token's user.
        private: whether a new repository is private; with `True` an existing public one is refused.
        revision: branch to push to, created if it does not exist; default: main.
        token: token of the Hub; default: that of `hf auth login` or `HF_TOKEN`.

    Raises:
        ValueError: the token contains a character that no token has.

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
        # Checked here, since the HTTP library's own error would repeat the token.
        if not re.fullmatch(r"[!-~]*", self._token):
            raise ValueError(
                "the Hub token contains a space, a line break or a letter that no token has: copy it again"
            )

    @classmethod
    def of_run(
        cls, args: TrainingArguments, *, token: str | None = None, private: bool | None = None
    ) -> "HubRepository":
        """Returns the repository that the arguments of a run name; its default name is that of the run's folder."""
        return cls(
            args.hub_model_id or Path(str(args.output_dir)).absolute().name,
            private=args.hub_private_repo if private is None else private,
            revision=args.hub_revision,
            token=args.hub_token if token is None else token,
        )

    def prepare(self) -> None:
        """Creates the repository and the branch if they do not exist.

        Raises:
            PushError: the Hub was not reached or refused.
            ValueError: the name is invalid, or the repository should be private but exists and is public.
        """
        address = self._retry(lambda: self.api.create_repo(self.repo_id, private=self.private or None, exist_ok=True))
        self.repo_id = address.repo_id
        if self.private and not self._retry(lambda: self.api.model_info(self.repo_id)).private:
            raise ValueError(f"{self.repo_id} exists and is public: make it private on the Hub first, or name another")
        if self.revision not in (None, "main"):
            branch = str(self.revision)
            self._retry(lambda: self.api.create_branch(self.repo_id, branch=branch, exist_ok=True))

    def push(self, folder: str | Path, message: str = "Upload the model") -> str:
        """Pushes the files of a checkpoint that a user needs; the checkpoint itself is not changed.

        Args:
            folder: folder of a run, or of a checkpoint inside it.
            message: commit message.

        Returns:
            URL of the commit.

        Raises:
            FileNotFoundError: the folder is not a checkpoint.
            PushError: the Hub was not reached or refused; the message contains the command that retries.
            ValueError: as for [`prepare`].
        """
        folder = Path(folder)
        with staged(folder) as stage:
            try:
                self.prepare()
                return self.upload(stage, message)
            except PushError as error:
                command = ["python", "-m", "modeling_erc", "push", str(folder), self.repo_id]
                command += ["--private"] * bool(self.private)
                command += ["--revision", self.revision] if self.revision else []
                again = f"The checkpoint in {folder} is complete. To push it again:\n  {shlex.join(command)}"
                raise PushError(f"{error}\n{again}") from error

    def upload(self, stage: Path, message: str) -> str:
        """Commits a folder made by [`staged`], deletes outdated files of earlier pushes, and returns the URL."""

        def commit() -> str:
            remote = self.api.list_repo_files(self.repo_id, revision=self.revision)
            # Only files that a push can have written: files that somebody else added stay.
            stale = [name for name in remote if is_pushed(name) and not (stage / name).is_file()]
            info = self.api.upload_folder(
                repo_id=self.repo_id,
                folder_path=stage,
                delete_patterns=stale or None,
                commit_message=message,
                revision=self.revision,
            )
            return str(info.commit_url)

        return self._retry(commit)

    def _retry(self, step: Callable[[], T]) -> T:
        """Runs a step, and again after each of `WAITS` if the failure may be temporary."""
        for wait in (*WAITS, None):
            try:
                return step()
            except (httpx.HTTPError, OfflineModeIsEnabled, LocalTokenNotFoundError, json.JSONDecodeError) as error:
                pause = None if wait is None else _pause(error, wait)
                if pause is None:
                    raise PushError(
                        f"{self.repo_id} was not pushed: {self._describe(error)}. {self._remedy(error)}".strip()
                    ) from error
                logger.warning(f"{self.repo_id}: {self._describe(error)}; trying again in {pause:g} s")
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _remedy(self, error: Exception) -> str:
        if not isinstance(error, HfHubHTTPError):
            return f"Is {self.api.endpoint} the Hub (HF_ENDPOINT), and can this machine reach it?"
        status = error.response.status_code
        return REMEDIES.get(status, "Try again later" if status >= 500 else "")

    def _describe(self, error: Exception) -> str:
        """Returns an error on one line, without the token, which a library or the Hub may repeat."""
        if isinstance(error, HfHubHTTPError):
            reason = error.server_message or error.response.reason_phrase
            text = f"the Hub answered {error.response.status_code} ({reason})"
        elif isinstance(error, json.JSONDecodeError):
            text = "the answer was not JSON"
        else:
            text = f"{type(error).__name__}: {error}"
        return " ".join((text.replace(self._token, "[token]") if self._token else text).split())


def is_pushed(name: str) -> bool:
    """Returns whether a file is pushed, by its path relative to the checkpoint."""
    # A `*` of fnmatch matches slashes as well.
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in PUSHED)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder with the files to push, so that the Trainer may delete the checkpoint meanwhile.

    A checkpoint inside a run has no card yet and gets one with its step and its dev scores. `run_config.yaml` is
    redacted.

    Raises:
        FileNotFoundError: the folder is not a checkpoint; the message names the missing files.
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
            (stage / settings.name).unlink()  # it is a hard link to the run's own file, which must not change
            (stage / settings.name).write_text(yaml.safe_dump(public), encoding="utf-8")
        if not (stage / "README.md").exists():
            (stage / "README.md").write_text(checkpoint_card(folder), encoding="utf-8")
        yield stage


def check_checkpoint(folder: Path) -> None:
    """Checks that a model and its processor can be loaded from a folder."""
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
            f"{folder} is not a complete checkpoint: it has no {', '.join(missing)}; let the run finish, or name one "
            "of its checkpoint-<step> folders"
        )


def _link(file: Path, target: Path) -> None:
    """Creates a hard link to a file, or a copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _pause(error: Exception, wait: float) -> float | None:
    """Returns the seconds to wait before a retry, or `None` if a retry makes no sense."""
    if isinstance(error, HfHubHTTPError):
        requested = error.response.headers.get("retry-after", "")
        pause = float(requested) if requested.isdecimal() else wait
        return pause if error.response.status_code in TRANSIENT and pause <= LONGEST_WAIT else None
    # No JSON: the error page of a gateway instead of the Hub's answer.
    temporary = (json.JSONDecodeError, httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
    return wait if isinstance(error, temporary) else None
