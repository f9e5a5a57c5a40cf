"""The demo corpus: generated on first use, in the layout of MELD, small enough to train on a laptop."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from .builder import TextConfig
from .meld import Meld


@dataclass
class DemoConfig(TextConfig):
    """Options of the demo corpus.

    Args:
        seed: seed of the generated corpus; each seed has its own folder.
    """

    seed: int = 0


class Demo(Meld):
    """The demo corpus, generated unless it exists.

    Without `data_dir` it is in the Hugging Face cache (`HF_HOME`), in `erc/demo-<seed>`.
    """

    BUILDER_CONFIG_CLASS = DemoConfig
    HOMEPAGE: ClassVar[str] = ""
    LICENSE: ClassVar[str] = "Apache-2.0, as this package, which writes it"
    REDISTRIBUTABLE: ClassVar[bool] = True
    SYNTHETIC: ClassVar[bool] = True

    @classmethod
    def locate(cls, data_dir: str | Path | None, options: Mapping[str, Any]) -> Path:
        """Returns the absolute folder of the demo corpus, after generating it if needed."""
        # Imported here: only the demo writes media.
        from .demo_corpus.writer import ensure_demo_corpus

        seed = options.get("seed", DemoConfig.seed)
        root = Path(datasets.config.HF_CACHE_HOME) / "erc" / f"demo-{seed}" if data_dir is None else Path(data_dir)
        return ensure_demo_corpus(root.expanduser().absolute(), seed=seed)
