"""Arguments of a run: model, data and training, from a YAML file with any field overridable on the command line."""

import argparse
import difflib
import inspect
import json
import re
import shlex
import types
import typing
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import datasets
import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import HubStrategy

from ..configs import find_config
from ..configuration_erc import MODALITIES, ErcConfig
from ..hub.redaction import public


@dataclass
class DataArguments:
    """Which corpus, and how its utterances are read."""

    dataset: str = field(default="demo", metadata={"help": "name of the corpus: demo, meld, ..."})
    data_dir: str | None = field(default=None, metadata={"help": "folder of the raw corpus"})
    dataset_options: dict | str | None = field(
        default=None,
        metadata={
            "help": 'options of the corpus, as JSON: \'{"setting": "4way", "dev_seed": 1}\', or a mapping in YAML'
        },
    )
    text_past: int = field(default=0, metadata={"help": "utterances before it that the text backbone reads too"})
    text_future: int = field(default=0, metadata={"help": "utterances after it that the text backbone reads too"})
    max_text_length: int = field(default=128, metadata={"help": "tokens an utterance at most, neighbours included"})
    max_audio_seconds: float = field(default=12.0, metadata={"help": "longer clips are cut (seconds)"})
    num_frames: int = field(default=4, metadata={"help": "frames read of each video clip"})
    face_crop: bool = field(
        default=False, metadata={"help": "cut frames to the largest face (needs the extra 'faces')"}
    )
    decoded_cache_mb: int = field(
        default=256,
        metadata={"help": "memory for decoded clips of backbones that are trained (MB a data-loader worker)"},
    )
    feature_cache: str | None = field(
        default=None,
        metadata={"help": "folder for the features of frozen backbones; default: in the Hugging Face cache folder"},
    )

    @property
    def corpus_options(self) -> dict[str, Any]:
        """Options of the corpus as keyword arguments.

        Raises:
            ValueError: they are neither a mapping nor the JSON of one.
        """
        given = self.dataset_options or {}
        try:
            options = json.loads(given) if isinstance(given, str) else given
        except json.JSONDecodeError as error:
            raise ValueError(f"--dataset_options {given!r} is not JSON: {error}") from error
        if not isinstance(options, dict):
            raise ValueError(f'--dataset_options {given!r}: expected {{"option": value}}')
        return options

    @property
    def feature_folder(self) -> Path:
        """Folder of the caches of all frozen backbones."""
        return Path(self.feature_cache or datasets.config.HF_CACHE_HOME) / "erc-features"


@dataclass
class EncoderArguments:
    """Where the backbones come from."""

    modalities: list[str] = field(
        default_factory=lambda: list(MODALITIES), metadata={"help": "modalities to use: text audio vision"}
    )
    text_encoder: str | None = field(
        default=None, metadata={"help": "Hub id or local folder of a text model, or 'tiny' for a fresh small one"}
    )
    audio_encoder: str | None = field(default=None, metadata={"help": "likewise, of a speech model (or a ViT)"})
    vision_encoder: str | None = field(default=None, metadata={"help": "likewise, of an image model"})
    start_from: str | None = field(
        default=None, metadata={"help": "Hub id or folder of a trained checkpoint: its weights are used where they fit"}
    )
    trained_share: float = field(
        default=1.0,
        metadata={"help": "with start_from: the final weights lie so far from those to the trained ones; 1 are these"},
    )


@dataclass
class ErcTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with this field's defaults and a few settings of its own."""

    resume: bool = field(default=False, metadata={"help": "go on with the run in output_dir"})
    overwrite: bool = field(default=False, metadata={"help": "delete the run in output_dir first"})
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "stop after so many evaluations without a better dev score"}
    )
    class_weighting: float = field(
        default=0.0, metadata={"help": "class weights are 1 / frequency ** this: 0 is none, 1 is the full inverse"}
    )
    backbone_learning_rate: float | None = field(
        default=None, metadata={"help": "learning rate of the backbones; default: learning_rate"}
    )
    speed_perturbation: float = field(
        default=0.0, metadata={"help": "in training, decoded sound is played up to this share faster or slower"}
    )
    gradient_cache: bool = field(
        default=False,
        metadata={
            "help": "with gradient accumulation, contrast over the whole step as if it were one batch (GradCache): "
            "exact, for one more forward pass"
        },
    )
    report_to: list[str] = field(
        default_factory=lambda: ["none"],
        metadata={"help": "where metrics, confusion matrices and sample predictions go: tensorboard trackio, or none"},
    )
    # Logs stay on this machine: without it, a push would make trackio publish them in a Space.
    trackio_static_space_id: str | None | typing.Literal[False] = False  # noqa: RUF036 (the parser goes by the order)
    project: str = "modeling-erc"
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_steps: float = 0.1
    lr_scheduler_type: str = "cosine"
    num_train_epochs: float = 10.0
    per_device_train_batch_size: int = 16
    per_device_eval_batch_size: int = 32
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    logging_strategy: str = "epoch"
    save_total_limit: int | None = 1
    load_best_model_at_end: bool = True
    metric_for_best_model: str | None = "weighted_f1"
    # Pinned memory speeds copies to an accelerator; without one it is only warned about.
    dataloader_pin_memory: bool = torch.accelerator.is_available()
    # The collator reads every column of a row, which forward() does not name.
    remove_unused_columns: bool = False
    label_names: list[str] | None = field(default_factory=lambda: ["labels"])
    # A batch without sound leaves the audio encoder without gradient: DDP has to look which parameters took part.
    ddp_find_unused_parameters: bool | None = True
    # The patience of early stopping goes on where it was.
    restore_callback_states_from_checkpoint: bool = True

    def __post_init__(self) -> None:
        # What was asked for, before `TrainingArguments` fills in the rest.
        self.as_given = dict(vars(self))
        # Without it several processes on a machine without accelerator would each train alone, and say nothing.
        if not torch.accelerator.is_available():
            self.use_cpu = True
        super().__post_init__()
        for logger in {"tensorboard", "trackio"} & set(self.report_to):
            if find_spec(logger) is None:
                raise ImportError(f"--report_to {logger} needs the extra 'logging': pip install {logger}")
        whole = self.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS)
        if self.push_to_hub and whole:
            raise ValueError(
                f"--hub_strategy {self.hub_strategy.value} would push the optimizer's state, a pickle: "
                "take every_save or end, and --resume from the run's folder"
            )


def _config_fields() -> list[tuple[str, Any, Any]]:
    """The plain settings of `ErcConfig` as argument fields, with its docstring as help: said once, used twice."""
    documented = inspect.cleandoc(ErcConfig.__doc__ or "").partition("Args:")[2].partition("Example:")[0]
    told = dict(re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", documented, re.M | re.S))
    inherited = {f.name for f in fields(ErcConfig.__mro__[1])}
    computed = {"text_config", "audio_config", "vision_config", "feature_sizes", "class_weights"}
    entries = []
    for entry in fields(ErcConfig):
        if entry.name in inherited or entry.name in computed:
            continue
        help_text = " ".join(told.get(entry.name, "").split()).replace("`", "").replace("%", "%%")
        default = None if entry.default is MISSING else entry.default
        entries.append((entry.name, _argument_type(entry.type), field(default=default, metadata={"help": help_text})))
    return entries


def _argument_type(annotation: Any) -> Any:
    """`list[str] | None` is an option that takes several words: argparse knows it as `list[str]`."""
    if isinstance(annotation, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return kinds[0] if typing.get_origin(kinds[0]) is list else annotation
    return annotation


ModelArguments = make_dataclass("ModelArguments", _config_fields(), bases=(EncoderArguments,))
ModelArguments.__doc__ = "Backbones, and every plain setting of `ErcConfig`."


class ErcArgumentParser(HfArgumentParser):
    """Parses `[CONFIG.yaml] [--field value ...]` into model, data and training arguments."""

    def __init__(self) -> None:
        # What is an option for the parser must be one for `shown_command`, which hides values by its whole name.
        super().__init__((ModelArguments, DataArguments, ErcTrainingArguments), allow_abbrev=False)

    def parse(
        self, argv: list[str], default_config: str | Path
    ) -> tuple[Any, DataArguments, ErcTrainingArguments, Path]:
        """Reads the YAML file, then the overrides.

        Args:
            argv: the command line without the program's name.
            default_config: the recipe that is read if `argv` names none: a ready name, or a YAML file.

        Returns:
            model, data and training arguments, and the YAML file that was read.

        Raises:
            SystemExit: the file is missing, is no mapping or has a key that no argument has; the message says which.
            ValueError: no argument is called like one on the command line.
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
            # Without the values: a misspelt --hub_token has one that belongs in no log.
            options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            raise ValueError(f"unknown: {' '.join(options or unknown)}; see --help")
        return model, data, training, config

    def _read(self, config: Path) -> dict[str, Any]:
        try:
            values = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            self.error(f"{config}: not YAML: {error}")
        if not isinstance(values, dict):
            self.error(f"{config}: expected lines of 'field: value', found a {type(values).__name__}")
        # A switch has a second action, --no_<name>, that converts nothing; the first one counts.
        known = {action.dest: action for action in reversed(self._actions)}
        for key, value in values.items():
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                self.error(f"{config}: unknown key {key!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
            try:
                values[key] = _as_typed(known[key], value)
            except (ValueError, argparse.ArgumentTypeError) as error:
                self.error(f"{config}: {key}: {value!r} does not fit: {error}")
        return values

    def error(self, message: str) -> NoReturn:
        """Ends the program with the message alone: hundreds of lines of usage would bury it."""
        raise SystemExit(f"{self.prog}: error: {message}")


def _as_typed(action: argparse.Action, value: Any) -> Any:
    """A value of the YAML file as the command line would give it: YAML reads 1e-3 as text and a layer 6 as a number."""
    if value is None or isinstance(value, dict) or not callable(action.type):
        return value
    if isinstance(value, list):
        if action.nargs != "+" and action.type in (int, float):
            raise ValueError("it takes one value")
        return [action.type(str(item)) for item in value]
    typed = action.type(str(value))
    return [typed] if action.nargs == "+" else typed


# Where a run goes is no part of what it does: repeating it must neither delete nor continue the first one. And a file
# beside the model is no place for a password.
_NOT_REPEATED = {"output_dir", "resume", "overwrite", "hub_token"}


def changed_settings(*arguments: Any) -> dict[str, Any]:
    """Every field of the arguments that differs from its default: what a YAML file must say to repeat the run."""
    given = {name: value for group in arguments for name, value in getattr(group, "as_given", vars(group)).items()}
    defaults = vars(ErcArgumentParser().parse_args([]))
    return {
        name: getattr(given[name], "value", given[name])
        for name, default in defaults.items()
        if given[name] != default and name not in _NOT_REPEATED
    }


# What stands in a card's command in place of these options' values.
_HIDDEN = {"data_dir": "DIR", "feature_cache": "DIR", "output_dir": "DIR", "hub_token": "TOKEN"}


def shown_command(argv: list[str], token: str | None = None) -> str:
    """The command line of a run as its card shows it: without this machine's folders, and without a token.

    Args:
        argv: what followed `train_hf.py`.
        token: the Hub's as the run took it: it is shown nowhere, whatever option or value it stands in.

    Example:
        >>> shown_command(["--seed", "1", "--data_dir", "/home/me/MELD.Raw", "--hub-token=hf_secret"])
        'accelerate launch train_hf.py --seed 1 --data_dir DIR --hub-token=TOKEN'
    """
    shown, option = [], ""
    for word in argv:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if name:
            option = name[2:].replace("-", "_")
        if name and not equals:
            shown.append(name)
        else:
            shown.append(name + equals + _shown_value(option, value))
    if token:
        shown = [word.replace(token, "TOKEN") for word in shown]
    return shlex.join(["accelerate", "launch", "train_hf.py", *shown])


def _shown_value(option: str, value: str) -> str:
    """A word of the command without folders; before any option it is the config."""
    if not option:
        return Path(value).name
    return _HIDDEN.get(option) or str(public(value))
