"""A finished run, opened again: its corpus, its model, and what the model says of dialogues."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from datasets_scripts import DialogueRows, label_names

from ..features.feature_cache import cache_frozen_features
from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import ErcProcessor
from ..training.arguments import DataArguments, ErcArgumentParser, ErcTrainingArguments
from ..training.data import DialogueTransform, ErcCollator, load_corpus


@dataclass
class Run:
    """A finished run.

    Args:
        folder: where it is.
        model: the checkpoint that dev chose, in eval mode, on the device of `args`.
        processor: made for the model.
        splits: the corpus that it was trained on, with the same dev dialogues.
        label_names: the corpus' classes, in the order of the rows' label indices.
        data_args: the run's, or with the folder that was given instead.
        args: the run's.
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
        return [self.model.config.id2label[i] for i in range(self.model.config.num_labels)]


@dataclass
class Prediction:
    """What a model says of n utterances: all of the rows' dialogues, in their order, none padded.

    Args:
        logits: `(n, classes)`, in the order of the model's classes.
        labels: `(n,)` indices of the model's classes, -100 where an utterance has none.
        dialogue: `(n,)`, the number of its row.
        position: `(n,)`, its place in the dialogue, from 0.
        hidden: `(n, hidden)`, the joint feature that the classifier reads.
        embeddings: `(n, contrastive_size)`, unit norm; `None` without a contrastive loss.
        modality_logits: `(n, modalities, classes)`, each modality's own head; zero where the modality is absent.
        modality_mask: boolean `(n, modalities)`.
        problems: a line for each clip that could not be used; it was masked.
    """

    logits: np.ndarray
    labels: np.ndarray
    dialogue: np.ndarray
    position: np.ndarray
    hidden: np.ndarray
    embeddings: np.ndarray | None
    modality_logits: np.ndarray
    modality_mask: np.ndarray
    problems: list[str]


def load_run(folder: str | Path, *, data_dir: str | Path | None = None) -> Run:
    """Opens the folder that `train_hf.py` left.

    Args:
        folder: of the run.
        data_dir: where the corpus is now; default: where it was when the run was made.

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
    missing = [name for name in (settings.name, "config.json", "model.safetensors") if not (folder / name).is_file()]
    # A large model is saved in several files and an index.
    if missing == ["model.safetensors"] and (folder / "model.safetensors.index.json").is_file():
        missing = []
    if missing:
        hint = f"did you mean {folder.parent}?" if (folder.parent / settings.name).is_file() else "let the run finish"
        raise FileNotFoundError(f"{folder} is no finished run: it has no {', '.join(missing)}; {hint}")
    override = [] if data_dir is None else ["--data_dir", str(data_dir)]
    _, data_args, args, _ = ErcArgumentParser().parse([str(settings), *override], default_config=settings)
    try:
        splits = load_corpus(data_args, args.seed)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}\n{settings} says where the corpus was: --data_dir says where it is"
        ) from error
    model = ErcForSequenceClassification.from_pretrained(folder)
    processor = ErcProcessor.from_pretrained(folder)
    return Run(folder, model.to(args.device).eval(), processor, splits, label_names(splits), data_args, args)


def frozen_features(run: Run, rows: Any) -> tuple[list[DialogueTransform], list[str]]:
    """What frozen backbones say of rows, from the feature cache; what it lacks is computed and put there.

    Args:
        run: whose model and cache.
        rows: dialogues.

    Returns:
        transforms for [`predict`], one for each frozen backbone, and a line for each clip that could not be used.
    """
    transforms, problems = cache_frozen_features(
        {"rows": rows}, run.model, run.processor, run.data_args.feature_folder, run.args.dataloader_num_workers
    )
    return list(transforms), problems


@torch.inference_mode()
def predict(
    run: Run,
    rows: Any,
    *,
    transforms: Sequence[DialogueTransform] | None = None,
    corpus_labels: Sequence[str] | None = None,
) -> Prediction:
    """Runs the model over dialogues.

    Args:
        run: the model, and with it the batch size and the processes that decode.
        rows: dialogues of the schema: a dataset, or a list of rows.
        transforms: applied to each dialogue's utterances in turn before they are encoded; default: those of
            [`frozen_features`].
        corpus_labels: the classes of the rows' label indices; default: the run's.

    Raises:
        ValueError: a class of the rows is none of the model's, or there is no row.
    """
    if not len(rows):
        raise ValueError("no dialogue to predict: is the split empty?")
    broken: list[str] = []
    if transforms is None:
        transforms, broken = frozen_features(run, rows)
    names = run.label_names if corpus_labels is None else corpus_labels
    collator = ErcCollator(run.processor, names, run.model.config.label2id, transforms)
    loader: DataLoader[Any] = DataLoader(
        rows,
        batch_size=run.args.per_device_eval_batch_size,
        collate_fn=collator,
        num_workers=run.args.dataloader_num_workers,
    )
    parts: dict[str, list[np.ndarray]] = {}
    problems = list(broken)
    first = 0
    for batch in loader:
        problems += batch.pop("media_problems")
        labels, mask = batch.pop("labels"), batch["utterance_mask"]
        output = run.model(**{name: value.to(run.model.device) for name, value in batch.items()})
        tensors = {
            "logits": output.logits,
            "hidden": output.last_hidden_state,
            "embeddings": output.embeddings,
            "modality_logits": output.modality_logits,
        }
        # NumPy has no bfloat16.
        found = {name: value.cpu()[mask].float().numpy() for name, value in tensors.items() if value is not None}
        found["modality_mask"] = output.modality_mask.cpu()[mask].numpy()
        dialogue, position = mask.nonzero(as_tuple=True)
        found |= {"labels": labels[mask].numpy(), "dialogue": dialogue.numpy() + first, "position": position.numpy()}
        for name, array in found.items():
            parts.setdefault(name, []).append(array)
        first += len(mask)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Prediction(**{"embeddings": None, **joined}, problems=problems)  # type: ignore[arg-type]
