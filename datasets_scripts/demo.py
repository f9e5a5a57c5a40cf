"""The demo corpus: generated on first use, in MELD's layout, small enough to train on a laptop."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from .meld import Meld, MeldConfig


@dataclass
class DemoConfig(MeldConfig):
    """Options of the demo corpus.

    Args:
        seed: seed of what is generated; every seed has a folder of its own.
    """

    seed: int = 0


class Demo(Meld):
    """Reads the demo corpus, and writes it first where it is not there.

    Without `data_dir` it lives under the Hugging Face cache (`HF_HOME`), in `erc/demo-<seed>`.
    """

    BUILDER_CONFIG_CLASS = DemoConfig
    HOMEPAGE: ClassVar[str] = ""
    LICENSE: ClassVar[str] = "Apache-2.0, as this package, which writes it"
    REDISTRIBUTABLE: ClassVar[bool] = True

    @classmethod
    def locate(cls, data_dir: str | Path | None, options: Mapping[str, Any]) -> Path:
        """Absolute folder of the demo corpus, with the corpus in it."""
        # Imported here: only the demo needs what writes media.
        from .demo_corpus.writer import ensure_demo_corpus

        seed = options.get("seed", DemoConfig.seed)
        root = Path(datasets.config.HF_CACHE_HOME) / "erc" / f"demo-{seed}" if data_dir is None else Path(data_dir)
        return ensure_demo_corpus(root.expanduser().absolute(), seed=seed)
