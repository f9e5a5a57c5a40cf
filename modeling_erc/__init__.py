"""Emotion recognition in conversation as a Hugging Face model package, after Shi et al. 2024 (arXiv 2405.17900).

Importing it makes config, models, processor, feature extractor and pipeline known to transformers, so that the auto
classes and `pipeline` load a checkpoint without `trust_remote_code`. Nothing is loaded before it is used.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from os import PathLike
from pathlib import Path
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


def _register_config() -> None:
    from transformers import AutoConfig

    from .configuration_erc import ErcConfig

    AutoConfig.register("erc", ErcConfig, exist_ok=True)


def _register_models() -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification

    from .configuration_erc import ErcConfig
    from .modeling_erc import ErcForSequenceClassification, ErcModel

    AutoModel.register(ErcConfig, ErcModel, exist_ok=True)
    AutoModelForSequenceClassification.register(ErcConfig, ErcForSequenceClassification, exist_ok=True)


def _register_processor() -> None:
    from transformers import AutoProcessor

    from .configuration_erc import ErcConfig
    from .processing_erc import ErcProcessor

    AutoProcessor.register(ErcConfig, ErcProcessor, exist_ok=True)


def _register_feature_extractor() -> None:
    from transformers import AutoFeatureExtractor

    from .configuration_erc import ErcConfig
    from .feature_extraction_erc import LogMelImageFeatureExtractor

    AutoFeatureExtractor.register(ErcConfig, LogMelImageFeatureExtractor, exist_ok=True)


def _register_pipeline() -> None:
    from transformers import AutoModelForSequenceClassification
    from transformers.pipelines import PIPELINE_REGISTRY

    from .pipeline_erc import TASK, EmotionRecognitionPipeline

    EmotionRecognitionPipeline.read_file = staticmethod(_read_file)
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=EmotionRecognitionPipeline, pt_model=AutoModelForSequenceClassification, type="multimodal"
    )


def _read_file(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """Reads a conversation file for the pipeline."""
    from .conversations import read_conversation

    return read_conversation(Path(path)).utterances


# What follows the import of a module: one of transformers brings ours, and ours is registered.
_THEN: dict[str, Callable[[], object]] = {
    "transformers.models.auto.configuration_auto": partial(import_module, "modeling_erc.configuration_erc"),
    "transformers.models.auto.modeling_auto": partial(import_module, "modeling_erc.modeling_erc"),
    "transformers.models.auto.processing_auto": partial(import_module, "modeling_erc.processing_erc"),
    "transformers.models.auto.feature_extraction_auto": partial(import_module, "modeling_erc.feature_extraction_erc"),
    "transformers.pipelines": partial(import_module, "modeling_erc.pipeline_erc"),
    "modeling_erc.configuration_erc": _register_config,
    "modeling_erc.modeling_erc": _register_models,
    "modeling_erc.processing_erc": _register_processor,
    "modeling_erc.feature_extraction_erc": _register_feature_extractor,
    "modeling_erc.pipeline_erc": _register_pipeline,
}


class _AfterImport(MetaPathFinder):
    """Does what follows the import of a module of `_THEN`; importing transformers here would take seconds.

    It waits until no module of the Hub code is still being imported, which would close a circle.
    """

    def __init__(self) -> None:
        self.running = 0
        self.waiting: list[Callable[[], object]] = []

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """Finds a module of `_THEN` or of the Hub code."""
        own = name.startswith("modeling_erc.") and name.endswith("_erc")
        spec = PathFinder.find_spec(name, path) if own or name in _THEN else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_follow(module: ModuleType) -> None:
            self.running += own
            try:
                execute(module)
            finally:
                self.running -= own
            self.waiting += [_THEN[name]] if name in _THEN else []
            while self.waiting and not self.running:
                self.waiting.pop(0)()

        spec.loader.exec_module = execute_and_follow  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _AfterImport())
for _name in _THEN.keys() & sys.modules.keys():
    _THEN[_name]()
