"""Emotion recognition in conversation as a Hugging Face model package, after Shi et al. 2024 (arXiv 2405.17900).

Importing it makes config, models, processor, feature extractor and pipeline known to transformers, so that the auto
classes and `pipeline` load a checkpoint without `trust_remote_code`. Nothing is loaded before it is used.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets_scripts import load_erc_dataset

    from .configuration_erc import MODALITIES, ErcConfig
    from .feature_extraction_erc import LogMelImageFeatureExtractor
    from .modeling_erc import ErcForSequenceClassification, ErcModel, ErcPreTrainedModel
    from .pipeline_erc import EmotionRecognitionPipeline
    from .processing_erc import ErcProcessor
    from .training import ErcTrainer

__version__ = "0.2.0.dev0"

__all__ = [
    "MODALITIES",
    "EmotionRecognitionPipeline",
    "ErcConfig",
    "ErcForSequenceClassification",
    "ErcModel",
    "ErcPreTrainedModel",
    "ErcProcessor",
    "ErcTrainer",
    "LogMelImageFeatureExtractor",
    "load_erc_dataset",
]

# Module of each public name; it is imported on first use (PEP 562).
_MODULES = {
    "MODALITIES": "modeling_erc.configuration_erc",
    "EmotionRecognitionPipeline": "modeling_erc.pipeline_erc",
    "ErcConfig": "modeling_erc.configuration_erc",
    "ErcForSequenceClassification": "modeling_erc.modeling_erc",
    "ErcModel": "modeling_erc.modeling_erc",
    "ErcPreTrainedModel": "modeling_erc.modeling_erc",
    "ErcProcessor": "modeling_erc.processing_erc",
    "ErcTrainer": "modeling_erc.training",
    "LogMelImageFeatureExtractor": "modeling_erc.feature_extraction_erc",
    "load_erc_dataset": "datasets_scripts",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


class _Registration(MetaPathFinder):
    """Imports `registration` as soon as transformers' auto classes are there; loading them here would take seconds.

    It waits for the end of the outermost import of transformers or of this package, which would otherwise import
    itself in a circle.
    """

    auto_classes = "transformers.models.auto.configuration_auto"
    depth = 0

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """Finds a module of transformers or of this package."""
        spec = PathFinder.find_spec(name, path) if name.startswith(("transformers.", "modeling_erc.")) else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            self.depth += 1
            try:
                execute(module)
            finally:
                self.depth -= 1
            if not self.depth and self.auto_classes in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                import_module("modeling_erc.registration")

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


if _Registration.auto_classes in sys.modules:
    import_module("modeling_erc.registration")
else:
    sys.meta_path.insert(0, _Registration())
