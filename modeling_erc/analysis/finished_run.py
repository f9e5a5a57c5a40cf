"""Reopens a finished run: its corpus, its model, and the model's predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from datasets_scripts import DialogueRows, label_names

from ..features.feature_cache import CachedFeatures, cache_frozen_features
from ..losses_erc import IGNORE_INDEX
from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import ErcProcessor
from ..training.arguments import DataArguments, ErcArgumentParser, ErcTrainingArguments
from ..training.data import DialogueTransform, ErcCollator, load_corpus
from ..training.target_metrics import columns_of
from ..training.transcripts import transcribe_missing


@dataclass
class Run:
    """A finished run.

    Args:
        folder: the run's folder.
        model: the checkpoint with the best dev score, in eval mode, on the device of `args`.
        processor: the model's processor.
        splits: the corpus that it was trained on, with the same dev dialogues.
        label_names: classes of the corpus, in the order of the rows' label indices.
        data_args: the run's data arguments, with the corpus folder in use now.
        args: the run's training arguments.
    """

    folder: Path
    model: ErcForSequenceClassification
    processor: ErcProcessor
    splits: dict[str, DialogueRows]
    label_names: list[str]
    data_args: DataArguments
    args: ErcTrainingArguments

    @property
    def model_labels(self) -> list[str]:
        """The model's classes, in the order of its logits."""
        return [self.model.config.id2label[i] for i in range(self.model.config.num_classes)]

    def require_single_labels(self, command: str) -> None:
        """Raises `ValueError` where the model does not predict one label of each utterance."""
        problem = self.model.config.problem_type
        if problem in ("multi_label_classification", "regression"):
            what = "several labels" if problem == "multi_label_classification" else "numbers"
            raise ValueError(
                f"{command} compares single labels, and {self.folder} predicts {what} ({problem}): `analyse` reports "
                "its scores"
            )


@dataclass
class Prediction:
    """The model's output for the n utterances of all dialogues, in order and without padding.

    Args:
        logits: `(n, classes)`, in the order of the model's classes.
        labels: `(n,)` indices of the model's classes, -100 where an utterance has none; of several labels `(n,
            classes)`, 1, 0, or NaN where a label is unknown.
        dialogue: `(n,)` index of the utterance's dialogue.
        position: `(n,)` index of the utterance in its dialogue, from 0.
        hidden: `(n, hidden)`, the joint feature that the classifier reads.
        embeddings: `(n, contrastive_size)`, unit norm; `None` without a contrastive loss.
        modality_logits: `(n, modalities, classes)` of each modality's own head; zero where the modality is absent.
        modality_mask: boolean `(n, modalities)`.
        targets: `(n, targets)`, NaN where an utterance has none.
        predicted_targets: `(n, targets)`.
        problems: a line for each clip that could not be read and was masked.
    """

    logits: np.ndarray
    labels: np.ndarray
    dialogue: np.ndarray
    position: np.ndarray
    hidden: np.ndarray
    embeddings: np.ndarray | None
    modality_logits: np.ndarray
    modality_mask: np.ndarray
    targets: np.ndarray
    predicted_targets: np.ndarray
    problems: list[str]


def load_run(folder: str | Path, *, data_dir: str | Path | None = None) -> Run:
    """Opens a folder that `train_hf.py` wrote.

    Raises:
        FileNotFoundError: the folder is not that of a finished run, or the corpus is not there.
        ValueError: the corpus is not the one that the model was trained on.

    Example:
        >>> run = load_run("runs/demo-001")  # doctest: +SKIP
        >>> predict(run, run.splits["test"]).logits.shape  # doctest: +SKIP
        (480, 7)
    """
    folder = Path(folder)
    settings = folder / "run_config.yaml"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected one that train_hf.py wrote, such as runs/demo-001")
    needed = (settings.name, "config.json", "model*.safetensors")
    if missing := [name for name in needed if not any(folder.glob(name))]:
        hint = f"did you mean {folder.parent}?" if (folder.parent / settings.name).is_file() else "let the run finish"
        raise FileNotFoundError(f"{folder} is no finished run: it has no {', '.join(missing)}; {hint}")
    override = [] if data_dir is None else ["--data_dir", str(data_dir)]
    model_args, data_args, args, _ = ErcArgumentParser().parse([str(settings), *override], default_config=settings)
    try:
        splits = load_corpus(data_args, args.seed)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}\n{settings} records where the corpus was: give its folder with --data_dir"
        ) from error
    transcribe_missing(splits, model_args.modalities, data_args, str(args.device))
    model = ErcForSequenceClassification.from_pretrained(folder)
    processor = ErcProcessor.from_pretrained(folder)
    return Run(folder, model.to(args.device).eval(), processor, splits, label_names(splits), data_args, args)


def frozen_features(run: Run, rows: Any) -> tuple[list[CachedFeatures], list[str]]:
    """Applies [`cache_frozen_features`] to dialogues, with the model and the cache of a run."""
    workers = run.args.dataloader_num_workers
    return cache_frozen_features({"rows": rows}, run.model, run.processor, run.data_args.feature_folder, workers)


@torch.inference_mode()
def predict(run: Run, rows: Any, *, transforms: Sequence[DialogueTransform] | None = None) -> Prediction:
    """Runs the model over dialogues.

    Args:
        run: its model, batch size and number of data workers are used.
        rows: dialogues of the schema: a dataset, or a list of rows.
        transforms: applied in turn to the utterances of each dialogue before they are encoded; default: those of
            [`frozen_features`].

    Raises:
        ValueError: the model lacks one of the corpus' classes, or there is no row.
    """
    if not len(rows):
        raise ValueError("no dialogue to predict: is the split empty?")
    problems: list[str] = []
    if transforms is None:
        transforms, problems = frozen_features(run, rows)
    config, count = run.model.config, run.model.config.num_classes
    loader: DataLoader[Any] = DataLoader(
        rows,
        batch_size=run.args.per_device_eval_batch_size,
        collate_fn=ErcCollator(run.processor, run.label_names, config.label2id, transforms, config),
        num_workers=run.args.dataloader_num_workers,
    )
    parts: dict[str, list[np.ndarray]] = {}
    first = 0
    for batch in loader:
        problems += batch.pop("media_problems")
        batch.pop("dialogue_ids")
        labels, mask = batch.pop("labels"), batch["utterance_mask"]
        output = run.model(**{name: value.to(run.model.device) for name, value in batch.items()})
        tensors = {
            "logits": output.logits,
            "hidden": output.last_hidden_state,
            "embeddings": output.embeddings,
            "modality_logits": output.modality_logits,
        }
        # NumPy has no bfloat16.
        arrays = {name: value.cpu()[mask].float().numpy() for name, value in tensors.items() if value is not None}
        arrays["modality_mask"] = output.modality_mask.cpu()[mask].numpy()
        arrays["predicted_targets"] = arrays["logits"][:, count:]
        arrays |= {"logits": arrays["logits"][:, :count], "modality_logits": arrays["modality_logits"][..., :count]}
        classes, arrays["targets"] = columns_of(config, labels[mask].numpy())
        classes = classes if len(classes) else np.full(len(labels[mask]), IGNORE_INDEX)
        dialogue, position = mask.nonzero(as_tuple=True)
        arrays |= {"labels": classes, "dialogue": dialogue.numpy() + first, "position": position.numpy()}
        for name, array in arrays.items():
            parts.setdefault(name, []).append(array)
        first += len(mask)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Prediction(**{"embeddings": None, **joined}, problems=problems)  # type: ignore[arg-type]
