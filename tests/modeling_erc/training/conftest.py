"""Fixtures of the training tests: small corpora, small settings, and trainers made from both."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import evaluate
import pytest
from transformers import set_seed

from datasets_scripts import dialogue_features, label_names, load_erc_dataset
from datasets_scripts.demo_corpus.writer import DemoRecipe, ensure_demo_corpus
from modeling_erc import ErcForSequenceClassification
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.training import ErcArgumentParser, ErcCollator, ErcTrainer, ErcTrainingArguments, build
from modeling_erc.training.arguments import DataArguments

SMALL = {
    "modalities": ["text"],
    "text_encoder": "tiny",
    "audio_encoder": "tiny",
    "vision_encoder": "tiny",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_fusion_layers": 1,
    "audio_token_stride": 8,
    "num_frames": 1,
    "max_audio_seconds": 1.0,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 4,
    "use_cpu": True,
    "disable_tqdm": True,
}
LABELS = ["neutral", "joy", "anger"]


class Parts(NamedTuple):
    """A run that is built but not started."""

    model: ErcForSequenceClassification
    processor: ErcProcessor
    data_args: DataArguments
    args: ErcTrainingArguments
    settings: dict[str, Any]


MakeParts = Callable[..., Parts]
MakeTrainer = Callable[..., ErcTrainer]


@pytest.fixture(scope="session", autouse=True)
def own_metrics_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the folder of `evaluate`, made even for metrics in memory, out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path_factory.mktemp("metrics"))
        yield


@pytest.fixture(scope="session")
def corpus_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo corpus of a dozen dialogues, in MELD's layout."""
    return ensure_demo_corpus(tmp_path_factory.mktemp("corpus") / "demo", recipe=DemoRecipe(6, 3, 3, utterances=4))


@pytest.fixture(scope="session")
def splits(corpus_root: Path, tmp_path_factory: pytest.TempPathFactory) -> datasets.DatasetDict:
    loaded = load_erc_dataset("meld", corpus_root, cache_dir=tmp_path_factory.mktemp("prepared"))
    assert isinstance(loaded, datasets.DatasetDict)
    return loaded


@pytest.fixture(scope="session")
def make_splits() -> Callable[..., datasets.DatasetDict]:
    """Makes a corpus from `{split: [[utterance, ...], ...]}`; columns that an utterance lacks are null."""

    def make(
        content: dict[str, list[list[dict[str, Any]]]], labels: list[str] = LABELS, **feature_sizes: int
    ) -> datasets.DatasetDict:
        features = dialogue_features(labels, feature_sizes)
        columns = list(features["utterances"].feature)
        return datasets.DatasetDict(
            {
                split: datasets.Dataset.from_list(
                    [
                        {
                            "dialogue_id": f"{split}_{number}",
                            "utterances": [
                                {**dict.fromkeys(columns), "utterance_id": str(i), "speaker": "AB"[i % 2], **utterance}
                                for i, utterance in enumerate(dialogue)
                            ],
                        }
                        for number, dialogue in enumerate(dialogues)
                    ],
                    features=features,
                )
                for split, dialogues in content.items()
            }
        )

    return make


@pytest.fixture
def make_parts(tmp_path: Path) -> MakeParts:
    """Builds a small run on a corpus; settings are those of the command line."""

    def make(splits: datasets.DatasetDict, **settings: Any) -> Parts:
        values = {**SMALL, "output_dir": str(tmp_path / "run"), **settings}
        model_args, data_args, args = ErcArgumentParser().parse_dict(values)
        set_seed(args.seed)
        model, processor = build(model_args, data_args, splits, label_names(splits["train"]))
        return Parts(model, processor, data_args, args, values)

    return make


@pytest.fixture
def make_trainer(make_parts: MakeParts) -> MakeTrainer:
    """Makes a trainer on `train` and, if there is one, `dev`; `trainer_options` are arguments of `ErcTrainer`."""

    def make(
        splits: datasets.DatasetDict, trainer_options: dict[str, Any] | None = None, **settings: Any
    ) -> ErcTrainer:
        parts = make_parts(splits, **settings)
        collator = ErcCollator(parts.processor, label_names(splits["train"]), parts.model.config.label2id)
        return ErcTrainer(
            model=parts.model,
            args=parts.args,
            data_collator=collator,
            train_dataset=splits["train"],
            eval_dataset=splits.get("dev"),
            processing_class=parts.processor,
            **(trainer_options or {}),
        )

    return make
