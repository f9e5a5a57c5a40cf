"""Arguments of a run: model, data and training, from a YAML file with every field overridable on the command line."""

import argparse
import difflib
import json
import shlex
import typing
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, NoReturn

import datasets
import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import HubStrategy, IntervalStrategy
from transformers.utils import logging

from ..configs import find_config, read_yaml
from ..hub.redaction import public
from ..program import program_name
from .command_help import grouped_help
from .model_arguments import BackboneArguments, FusionArguments, LossArguments, ModelArguments

logger = logging.get_logger(__name__)


@dataclass
class DataArguments:
    """Corpus and input settings."""

    dataset: str = field(default="demo", metadata={"help": "name of the corpus, such as demo or meld"})
    data_dir: str | None = field(default=None, metadata={"help": "folder of the raw corpus"})
    dataset_options: dict | str | None = field(
        default=None, metadata={"help": "options of the corpus as JSON, such as '{\"dev_seed\": 1}'; a mapping in YAML"}
    )
    folds: str | None = field(
        default=None,
        metadata={"help": "cross-validation over train and dev, by session, speaker, dialogue, or a number of folds"},
    )
    fold: int | None = field(
        default=None, metadata={"help": "number of the fold that is dev, from 0; default: train on all, score test"}
    )
    split_by: str | None = field(
        default=None,
        metadata={"help": "how a table's missing dev and test are drawn: auto, dialogue, speaker or none"},
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "train on this number of dialogues, drawn by the seed; default: all"}
    )
    clips_by_speaker: bool = field(
        default=False,
        metadata={"help": "single clips of a speaker form dialogues, for centered_modalities; needs context none"},
    )
    text_context: str = field(
        default="neighbours",
        metadata={
            "help": "neighbours (text_past, text_future), or dialogue: the text backbone reads all utterances at once"
        },
    )
    text_past: int = field(
        default=0, metadata={"help": "number of earlier utterances that the text backbone also reads"}
    )
    text_future: int = field(
        default=0, metadata={"help": "number of later utterances that the text backbone also reads"}
    )
    max_text_length: int | None = field(
        default=None,
        metadata={
            "help": "maximum number of tokens that the text backbone reads at once; default: 128, of a dialogue 512"
        },
    )
    max_audio_seconds: float = field(default=12.0, metadata={"help": "longer clips are truncated (seconds)"})
    num_frames: int = field(default=4, metadata={"help": "number of frames read from each video clip"})
    face_crop: bool = field(
        default=False, metadata={"help": "crop frames to the largest face (needs the extra 'faces')"}
    )
    unnamed_speakers: str = field(
        default="one", metadata={"help": "utterances without speaker are those of one person, or of each another one"}
    )
    decoded_cache_mb: int = field(
        default=256, metadata={"help": "memory for decoded clips of trained backbones (MB for each data-loader worker)"}
    )
    feature_cache: str | None = field(
        default=None,
        metadata={
            "help": "folder for the features of frozen backbones and for recognised words; default: in the Hugging "
            "Face cache"
        },
    )

    transcribe: str | None = field(
        default=None,
        metadata={
            "help": "speech recogniser, such as openai/whisper-small, for utterances that have a clip and no text"
        },
    )
    language: str | None = field(
        default=None,
        metadata={"help": "language of the clips to transcribe, such as en; default: the corpus', or recognised"},
    )

    def __post_init__(self) -> None:
        if self.max_train_samples is not None and self.max_train_samples < 1:
            raise ValueError(f"--max_train_samples {self.max_train_samples}: choose 1 or more, or leave it out")
        self.transcribe = self.transcribe or None  # `--transcribe=` switches off what a recipe has

    @property
    def corpus_options(self) -> dict[str, Any]:
        """Options of the corpus as keyword arguments.

        Raises:
            ValueError: the options are neither a mapping nor the JSON of one.
        """
        given = self.dataset_options or {}
        try:
            options = json.loads(given) if isinstance(given, str) else given
        except json.JSONDecodeError as error:
            raise ValueError(f"dataset_options: {given!r} is not JSON: {error}") from error
        if not isinstance(options, dict):
            raise ValueError(f'dataset_options: {given!r}: expected {{"option": value}}')
        return options if self.split_by is None else {**options, "split_by": self.split_by}

    @property
    def feature_folder(self) -> Path:
        """Folder of the caches of all frozen backbones and of recognised words."""
        return Path(self.feature_cache or datasets.config.HF_CACHE_HOME) / "erc-features"


# Options of the Trainer that this package does not use: the values that change nothing, and the remedy.
_WITHOUT_EFFECT: dict[str, tuple[tuple[Any, ...], str]] = {
    "label_smoothing_factor": ((0.0,), "the loss has its own, --label_smoothing"),
    "neftune_noise_alpha": ((None,), "it needs a model with one embedding; take --hidden_dropout_prob"),
    "batch_eval_metrics": ((False,), "metrics are computed over whole splits"),
    "prediction_loss_only": ((False,), "the report needs the predictions"),
    "train_sampling_strategy": (("random", "sequential"), "a row is a dialogue, without a length of its own"),
}


@dataclass
class ErcTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with defaults that suit ERC, and a few more settings."""

    resume: bool = field(default=False, metadata={"help": "continue the run in output_dir"})
    resume_anyway: bool = field(
        default=False, metadata={"help": "as resume, but with other settings or another corpus than the run's"}
    )
    overwrite: bool = field(default=False, metadata={"help": "delete the run in output_dir first"})
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "stop after this number of evaluations without a better dev score; 0: never"}
    )
    min_steps: int = field(
        default=0,
        metadata={"help": "train a small corpus for at least this number of optimizer steps"},
    )
    class_weighting: float = field(
        default=0.0, metadata={"help": "class weights are 1 / frequency ** class_weighting; 0 for none"}
    )
    refit_classifier: bool = field(
        default=False,
        metadata={
            "help": "after training, fit the joint classifier again on its features, for rare classes; needs "
            "modality_logit_weight 0"
        },
    )
    backbone_learning_rate: float | None = field(
        default=None, metadata={"help": "learning rate of the backbones; default: learning_rate"}
    )
    layer_decay: float = field(
        default=1.0,
        metadata={
            "help": "learning rate of a backbone's layer, divided by that of the layer above; 1: one rate for all"
        },
    )
    unfreeze_layers: int | None = field(
        default=None, metadata={"help": "number of upper layers of each backbone that are trained; default: all"}
    )
    speed_perturbation: float = field(
        default=0.0,
        metadata={"help": "in training, decoded audio is played up to this fraction faster or slower, such as 0.1"},
    )
    frame_shift: float = field(
        default=0.0,
        metadata={"help": "in training, decoded frames are flipped at random and shifted up to this fraction"},
    )
    gradient_cache: bool = field(
        default=False,
        metadata={
            "help": "with gradient accumulation, compute the contrastive loss over the whole step as one batch "
            "(GradCache): exact, at the cost of a second forward pass"
        },
    )
    report_to: list[str] = field(
        default_factory=lambda: ["none"],
        metadata={
            "help": "loggers of metrics, confusion matrices and sample predictions: tensorboard, trackio or none"
        },
    )
    # Logs stay on this machine: without this, a push would make trackio publish them in a Space.
    trackio_static_space_id: str | None | typing.Literal[False] = False  # noqa: RUF036 (the parser needs this order)
    project: str = "modeling-erc"
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_steps: float = 0.1
    lr_scheduler_type: str = "cosine"
    num_train_epochs: float = 10.0
    max_steps: int = -1
    per_device_train_batch_size: int = 16
    per_device_eval_batch_size: int = 32
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    logging_strategy: str = "epoch"
    save_total_limit: int | None = 1
    load_best_model_at_end: bool = True
    metric_for_best_model: str | None = "weighted_f1"
    # Pinned memory speeds up copies to an accelerator; without one it only causes a warning.
    dataloader_pin_memory: bool = torch.accelerator.is_available()
    # The collator reads every column of a row, also those that forward() does not name.
    remove_unused_columns: bool = False
    label_names: list[str] | None = field(default_factory=lambda: ["labels"])
    # A loss that is no number is logged as such; the filter would log 0.
    logging_nan_inf_filter: bool = False
    # A batch without audio leaves the audio encoder without gradient: DDP has to find the parameters that took part.
    ddp_find_unused_parameters: bool | None = True
    # The count of early stopping continues where it was.
    restore_callback_states_from_checkpoint: bool = True

    def __post_init__(self) -> None:
        # The values as given, before `TrainingArguments` fills in the rest.
        self.as_given = dict(vars(self))
        # Without this, several processes on a machine without accelerator would each train alone, with no warning.
        if not torch.accelerator.is_available():
            self.use_cpu = True
        super().__post_init__()
        if self.metric_for_best_model is not None and self.as_given["greater_is_better"] is None:
            self.greater_is_better = not self.metric_for_best_model.rpartition("eval_")[2].startswith(("loss", "mae"))
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"--layer_decay {self.layer_decay}: choose a number above 0, up to 1")
        if self.unfreeze_layers is not None and self.unfreeze_layers < 1:
            raise ValueError(
                f"--unfreeze_layers {self.unfreeze_layers}: choose 1 or more, or freeze with --frozen_modalities"
            )
        self.resume = self.resume or self.resume_anyway
        for option, (idle, remedy) in _WITHOUT_EFFECT.items():
            if getattr(self, option) not in idle:
                raise ValueError(f"--{option} {getattr(self, option)} has no effect here: {remedy}")
        for name in {"tensorboard", "trackio"} & set(self.report_to):
            if find_spec(name) is None:
                raise ImportError(f"--report_to {name} needs the extra 'logging': pip install {name}")
        if self.push_to_hub and self.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            raise ValueError(
                f"--hub_strategy {self.hub_strategy.value} would push the optimizer's state, a pickle: "
                "take every_save or end, and --resume from the run's folder"
            )

    def fit_to(self, dialogues: int) -> None:
        """Trains for `min_steps` steps where a corpus is so small that the epochs have fewer.

        The epochs of a recipe suit the corpus that it was made for: those for the 1,038 dialogues of MELD are far too
        few for a hundred. What happens at the end of an epoch, such as an evaluation, happens as often as before.

        Args:
            dialogues: number of training dialogues.
        """
        batches = ceil(dialogues / (self.train_batch_size * self.world_size))
        steps = ceil(batches / self.gradient_accumulation_steps)
        if self.max_steps > 0 or steps * self.num_train_epochs >= self.min_steps:
            return
        interval = ceil(self.min_steps / self.num_train_epochs)
        self.max_steps = ceil(interval * self.num_train_epochs)
        for event in ("eval", "save", "logging"):
            strategy = getattr(self, f"{event}_strategy")
            if strategy == IntervalStrategy.EPOCH:
                setattr(self, f"{event}_strategy", type(strategy)("steps"))
                setattr(self, f"{event}_steps", interval)
        if self.process_index == 0:
            logger.warning(
                f"training takes {self.max_steps} steps in place of {self.num_train_epochs:g} epochs: the {dialogues} "
                f"training dialogues make {steps} step(s) an epoch, and min_steps is {self.min_steps}"
            )


def _names(arguments: type) -> str:
    return " ".join(entry.name for entry in fields(arguments))


# Options of each group of `--help`.
GROUPS = {
    "run": "output_dir resume resume_anyway overwrite seed use_cpu bf16 dataloader_num_workers",
    "corpus": _names(DataArguments),
    "backbones": _names(BackboneArguments),
    "fusion and context": _names(FusionArguments),
    "losses": f"{_names(LossArguments)} class_weighting refit_classifier gradient_cache",
    "optimisation": "num_train_epochs min_steps max_steps per_device_train_batch_size gradient_accumulation_steps "
    "optim learning_rate backbone_learning_rate layer_decay unfreeze_layers lr_scheduler_type warmup_steps "
    "weight_decay max_grad_norm speed_perturbation frame_shift",
    "evaluation": "per_device_eval_batch_size eval_strategy eval_steps metric_for_best_model greater_is_better "
    "load_best_model_at_end early_stopping_patience save_strategy save_steps save_total_limit logging_strategy "
    "logging_steps report_to run_name",
    "Hub": "push_to_hub hub_model_id hub_private_repo hub_revision hub_strategy hub_always_push hub_token",
}


class ErcArgumentParser(HfArgumentParser):
    """Parses `[CONFIG] [--option value ...]` into model, data and training arguments.

    Args:
        command: command that takes the arguments; messages and `--help` name it.
        description: what the command does.
    """

    def __init__(
        self,
        command: str = "train",
        description: str = "Trains a model from a recipe (default: demo). Options override the recipe.",
    ) -> None:
        # Without abbreviations, since `shown_command` hides values by the full name of their option.
        super().__init__(
            (ModelArguments, DataArguments, ErcTrainingArguments),
            prog=program_name(command),
            description=description,
            allow_abbrev=False,
        )
        inherited = {entry.name: entry.metadata.get("help") for entry in fields(TrainingArguments)}
        for action in self._actions:
            action.help = action.help or inherited.get(action.dest)

    @property
    def options(self) -> dict[str, argparse.Action]:
        """Actions by name; of a switch the first one, since its second, `--no_<name>`, takes no value."""
        return {action.dest: action for action in reversed(self._actions)}

    def format_help(self) -> str:
        """Returns the help text with the options in groups."""
        return grouped_help(self.prog, self.description or "", self.options, GROUPS)

    def parse(
        self, argv: list[str], default_config: str | Path
    ) -> tuple[ModelArguments, DataArguments, ErcTrainingArguments, Path]:
        """Reads the YAML file, then the options that override it.

        Args:
            argv: command line without the program's name.
            default_config: recipe to use if `argv` names none: a ready name, or a YAML file.

        Returns:
            Model, data and training arguments, and the YAML file that was read.

        Raises:
            SystemExit: the file is missing, is no mapping or has an unknown key; the message names it.
            ValueError: an option of the command line is unknown or has no effect.
        """
        named = bool(argv) and not argv[0].startswith("-")
        try:
            config = find_config(argv[0] if named else default_config)
        except FileNotFoundError as error:
            self.error(str(error))
        self.set_defaults(**self._read(config))
        model, data, training, unknown = self.parse_args_into_dataclasses(
            argv[1:] if named else argv, return_remaining_strings=True, look_for_args_file=False
        )
        if unknown:
            # Without the values: that of a misspelt --hub_token must not appear in a log.
            options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            raise ValueError(f"unknown: {' '.join(options or unknown)}; see --help")
        _check_augmentation(model, training)
        if data.clips_by_speaker:
            _check_joined_clips(model, data)
        return model, data, training, config

    def _read(self, config: Path) -> dict[str, Any]:
        try:
            values = read_yaml(config) or {}
        except ValueError as error:
            self.error(str(error))
        if not isinstance(values, dict):
            self.error(f"{config}: expected lines of 'field: value', found a {type(values).__name__}")
        options = self.options
        for key, value in values.items():
            if key not in options:
                near = difflib.get_close_matches(str(key), options, n=1)
                self.error(f"{config}: unknown key {key!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
            try:
                values[key] = _as_typed(options[key], value)
            except (ValueError, argparse.ArgumentTypeError) as error:
                self.error(f"{config}: {key}: {value!r} does not fit: {error}")
        return values

    def error(self, message: str) -> NoReturn:
        """Ends the program with the message alone, since a long usage text would bury it."""
        raise SystemExit(f"{self.prog}: error: {message}")


def _check_augmentation(model: ModelArguments, training: ErcTrainingArguments) -> None:
    """Raises `ValueError` for an augmentation of a frozen backbone: its features are extracted once, without it."""
    for modality, option, value in (
        ("audio", "speed_perturbation", training.speed_perturbation),
        ("audio", "audio_masking", model.audio_masking),
        ("vision", "frame_shift", training.frame_shift),
    ):
        if value and modality in (model.frozen_modalities or []):
            raise ValueError(
                f"--{option} {value} has no effect, as {modality} is frozen: leave it out, or unfreeze {modality}"
            )


def _check_joined_clips(model: ModelArguments, data: DataArguments) -> None:
    """Raises `ValueError` where clips in a random order would be read as a conversation, or none is centered."""
    usual = {"context": "none", "text_context": "neighbours", "text_past": 0, "text_future": 0}
    for option, value in usual.items():
        given = getattr(model if option == "context" else data, option)
        if given != value:
            raise ValueError(
                f"--clips_by_speaker joins clips that are no conversation, and {option} {given} would read them as "
                f"one: add --{option} {value}, or --clips_by_speaker false"
            )
    if not set(model.centered_modalities or []) & set(model.modalities):
        raise ValueError(
            "--clips_by_speaker has no effect without --centered_modalities: name one, such as audio, or add "
            "--clips_by_speaker false"
        )


# How the names of the options end that take a mapping.
_MAPPINGS = ("_options", "_kwargs", "_config", "_args")


def _as_typed(action: argparse.Action, value: Any) -> Any:
    """Converts a value of the YAML file as on the command line: YAML reads 1e-3 as text and layer 6 as a number."""
    if isinstance(value, dict) and not action.dest.endswith(_MAPPINGS):
        raise ValueError("it takes no mapping")
    if value is None or isinstance(value, dict) or not callable(action.type):
        return value
    if isinstance(value, list):
        if action.nargs != "+" and action.type in (int, float):
            raise ValueError("it takes one value")
        return [action.type(str(item)) for item in value]
    typed = action.type(str(value))
    return [typed] if action.nargs == "+" else typed


# Settings that are not written down: a repeated run must neither delete nor continue the first one, and a token does
# not belong into a file beside the model.
_NOT_REPEATED = {"output_dir", "resume", "resume_anyway", "overwrite", "hub_token"}


def changed_settings(*arguments: Any) -> dict[str, Any]:
    """Returns the settings that differ from their defaults: the content of a YAML file that repeats the run."""
    given = {name: value for group in arguments for name, value in getattr(group, "as_given", vars(group)).items()}
    defaults = vars(ErcArgumentParser().parse_args([]))
    return {
        name: getattr(given[name], "value", given[name])
        for name, default in defaults.items()
        if given[name] != default and name not in _NOT_REPEATED
    }


# Placeholders for the values of these options in a card's command.
_HIDDEN = {"data_dir": "DIR", "feature_cache": "DIR", "output_dir": "DIR", "hub_token": "TOKEN"}


def shown_command(argv: list[str], token: str | None = None) -> str:
    """Returns the command of a run for its card, without folders of this machine and without tokens.

    Args:
        argv: arguments of `train_hf.py`.
        token: the Hub token of the run; it is removed from every option and value.

    Example:
        >>> shown_command(["--seed", "1", "--data_dir", "/home/me/MELD.Raw", "--hub-token=hf_secret"])
        'accelerate launch train_hf.py --seed 1 --data_dir DIR --hub-token=TOKEN'
    """
    shown, option = [], ""
    for word in argv:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if name:
            option = name[2:].replace("-", "_")
        # A value before any option is the recipe.
        public_value = _HIDDEN.get(option) or str(public(value)) if option else Path(value).name
        shown.append(name if name and not equals else name + equals + public_value)
    if token:
        shown = [word.replace(token, "TOKEN") for word in shown]
    return shlex.join(["accelerate", "launch", "train_hf.py", *shown])
