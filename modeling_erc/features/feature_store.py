"""Store of token features by key: safetensors shards on disk, memory-mapped for reading."""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import logging

logger = logging.get_logger(__name__)


class FeatureStore(Mapping[str, Tensor]):
    """Maps keys to features in a folder of shards.

    A shard is written to a temporary file and then renamed, so an interrupted or concurrent process never leaves an
    incomplete shard.

    Args:
        folder: folder of the shards; created if it does not exist.

    Example:
        >>> store = FeatureStore(tmp_path)  # doctest: +SKIP
        >>> store.write({"a": torch.zeros(3, 8)})  # doctest: +SKIP
        >>> store["a"].shape  # doctest: +SKIP
        torch.Size([3, 8])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._shards: list[str] = []
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self._tokens: dict[int, Tensor] = {}
        for left in folder.glob("*.writing"):
            # Writing a shard takes seconds, so its writer was killed.
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink(missing_ok=True)
        self.refresh()

    def refresh(self) -> None:
        """Adds the shards that other processes have written."""
        for shard in sorted(self.folder.glob("*.safetensors")):
            if shard.name not in self._shards:
                self._index(shard.name)

    def _index(self, shard: str) -> None:
        path = self.folder / shard
        try:
            with safe_open(path, framework="pt") as file:
                keys = json.loads(file.metadata()["keys"])
                ends = file.get_tensor("ends").tolist()
        # A shard of a foreign writer may have no keys.
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            # Its features can be extracted again, whatever damaged it.
            logger.warning_once(f"{path} is damaged ({error}): its features are extracted again. Delete it.")
            return
        number = len(self._shards)
        self._shards.append(shard)
        for key, start, end in zip(keys, [0, *ends], ends, strict=False):
            self._places[key.encode()] = (number, start, end)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.encode() in self._places

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: str) -> Tensor:
        """Returns features `(tokens, width)` or `(layers, tokens, width)`."""
        shard, start, end = self._places[key.encode()]
        if shard not in self._tokens:
            with safe_open(self.folder / self._shards[shard], framework="pt") as file:
                # A view of the mapped file, loaded page by page.
                self._tokens[shard] = file.get_tensor("tokens")
        return self._tokens[shard][start:end].movedim(0, -2)

    def write(self, features: dict[str, Tensor]) -> None:
        """Adds a shard of features, each `([layers,] tokens, width)`."""
        lengths = torch.tensor([value.shape[-2] for value in features.values()])
        # Tokens first, so that an utterance is one slice of the file.
        tokens = torch.cat([value.movedim(-2, 0) for value in features.values()]).contiguous()
        name = hashlib.sha256("".join(features).encode()).hexdigest()[:16] + ".safetensors"
        temporary = self.folder / f"{uuid.uuid4().hex}.writing"
        try:
            temporary.touch()
            mode = temporary.stat().st_mode
            save_file(
                {"tokens": tokens, "ends": lengths.cumsum(0)}, temporary, metadata={"keys": json.dumps([*features])}
            )
            temporary.chmod(mode)  # safetensors makes files that only their owner can read
            os.replace(temporary, self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        self._index(name)

    def __getstate__(self) -> dict[str, Any]:
        # Each data-loader worker maps the files itself.
        return {**self.__dict__, "_tokens": {}}
