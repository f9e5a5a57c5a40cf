"""Corpora as feature pickles: CMU-MOSI, IEMOCAP and MELD in the form in which public ERC code distributes them."""

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
from safetensors import safe_open

from .builder import CorpusError, ErcBuilder, TextConfig, check_names, hold_out, warn_once
from .iemocap_files import scene_kind
from .labels import LABEL_SETS, LabelSet, shared_emotion
from .pickles.convert import FEATURES, MISSING, UTTERANCES, convert
from .schema import FEATURE_COLUMNS, Dialogue, Utterance
from .target_files import TargetTable, find_target_file

# In the order of the CMU Multimodal SDK.
MOSEI_EMOTIONS = LabelSet(
    "mosei6",
    ("happy", "sad", "anger", "surprise", "disgust", "fear"),
    {"happy": "joy", "sad": "sadness", "anger": "anger", "surprise": "surprise", "disgust": "disgust", "fear": "fear"},
)
SENTIMENT3 = LabelSet(
    "sentiment3", ("negative", "neutral", "positive"), dict.fromkeys(("negative", "neutral", "positive"))
)


def sentiment_class(strength: float, classes: int) -> int | None:
    """Returns the class of the strength of a sentiment: its sign.

    Args:
        strength: from -3 (negative) to 3 (positive).
        classes: 3 for negative, neutral (exactly 0) and positive; 2 for negative and positive, where a strength of 0
            has no label, as in the common accuracy over negative and positive segments.
    """
    if classes == 2:
        return None if strength == 0 else int(strength > 0)
    return 1 + int(strength > 0) - int(strength < 0)


@dataclass
class FeaturePickleConfig(TextConfig):
    """Options of a feature pickle.

    Args:
        dev_dialogues: number of training dialogues that become dev; ignored if the pickle has a dev split.
        dev_seed: seed of this draw.
        text_table: index (from 0) of the table of text features if there are several, such as four layers of RoBERTa.
        labels: class names in the order of their numbers in the pickle; None means those of the corpus. Strengths of a
            sentiment need two (negative, positive) or three names (negative, neutral, positive).
        targets: names of numbers to predict, such as ["valence", "activation"]: columns of a CSV file beside the
            pickle, with a row for each `utterance_id`. "strength" is that of a pickle with strengths.
        target_file: this file, if it is elsewhere or if several have these columns.

    Raises:
        ValueError: if `labels` is not a list of at least two different names.
    """

    dev_dialogues: int = 0
    dev_seed: int = 0
    text_table: int = 0
    labels: list[str] | None = None
    targets: list[str] | None = None
    target_file: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names("targets", self.targets)
        if self.target_file is not None and not self.targets:
            raise ValueError(
                f"target_file is {self.target_file!r}: name its columns that are to be predicted as targets"
            )
        names = self.labels
        valid = names is None or (isinstance(names, list | tuple) and all(isinstance(n, str) and n for n in names))
        if not valid or (names is not None and not 2 <= len(set(names)) == len(names)):
            raise ValueError(f"labels is {names!r}: give a list of at least two different class names")


@dataclass
class MosiFeaturesConfig(FeaturePickleConfig):
    """Options of `MosiFeatures`.

    Args:
        emotions: whether the labels are the six emotions of CMU-MOSEI, several at once, in place of the sentiment.
    """

    dev_dialogues: int = 10
    emotions: bool = False


@dataclass
class IemocapFeaturesConfig(FeaturePickleConfig):
    """Options of `IemocapFeatures`."""

    dev_dialogues: int = 12


@dataclass
class MeldFeaturesConfig(FeaturePickleConfig):
    """Options of `MeldFeatures`."""

    dev_dialogues: int = 114


class FeaturePickleBuilder(ErcBuilder):
    """Base class of the corpora that are one pickle of precomputed features: `data_dir` or the only `.pkl` in it.

    The pickle is converted on first use (see `convert`); the features are then read dialogue by dialogue. An utterance
    whose features of a modality are not finite lacks that modality, and one warning counts these. There are no raw
    media: `audio_path`, `video_path`, `start` and `end` are None.

    Raises:
        FileNotFoundError: if there is no pickle.
        CorpusError: if there are several, or the pickle is wrong.
    """

    MAY_BE_FILE: ClassVar[bool] = True
    GAPS: ClassVar[dict[str, str]] = {}
    # Classes in the order of their numbers in the pickle.
    LABELS: ClassVar[LabelSet]

    def __init__(self, data_dir: str | Path | None = None, cache_dir: str | Path | None = None, **options: Any) -> None:
        # Before the base class asks for the files.
        self.options = self.BUILDER_CONFIG_CLASS(**options)
        super().__init__(data_dir, cache_dir, **options)

    @classmethod
    def locate(cls, data_dir: str | Path | None, options: Mapping[str, Any]) -> Path:
        """Returns the absolute path of the pickle."""
        root = super().locate(data_dir, options)
        if root.is_file():
            return root
        # macOS leaves a `._name.pkl` beside `name.pkl`.
        pickles = sorted(path for path in root.glob("*.pkl") if path.is_file() and not path.name.startswith("."))
        if not pickles:
            raise FileNotFoundError(
                f"there is no .pkl in {root}: pass the folder of {cls.__name__}, or the file itself"
            )
        if len(pickles) > 1:
            names = ", ".join(path.name for path in pickles)
            raise CorpusError(f"{root} holds {names}: pass as data_dir the one of them that is {cls.__name__}")
        return pickles[0]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the pickle."""
        return [root]

    def files_behind(self) -> list[Path]:
        """Returns the pickle and the table of its targets."""
        return [*super().files_behind(), *([] if self.target_path is None else [self.target_path])]

    @functools.cached_property
    def target_path(self) -> Path | None:
        """The table of the targets; None if there are none, or the pickle has them."""
        targets, file = self.options.targets, self.options.target_file
        if file is not None:
            return Path(file).expanduser()
        if not targets or (list(targets) == ["strength"] and self.has_strengths):
            return None
        return find_target_file(self.root.parent, targets)

    @functools.cached_property
    def target_table(self) -> TargetTable | None:
        """The targets in `target_path`, after a check against the ids of the pickle."""
        if self.target_path is None:
            return None
        table = TargetTable(self.target_path, self.target_names)
        ids = pq.read_table(self.converted / UTTERANCES, columns=["dialogue_id", "utterance_id"]).to_pydict()
        table.check(self.root, list(zip(ids["dialogue_id"], ids["utterance_id"], strict=True)))
        return table

    @functools.cached_property
    def converted(self) -> Path:
        """Folder of the converted pickle."""
        folder = convert(self.root)
        with safe_open(folder / FEATURES, "np") as features:
            for warning in json.loads(features.metadata()["warnings"]):
                warn_once(f"{self.root}: {warning}")
        return folder

    @functools.cached_property
    def label_set(self) -> LabelSet:
        """Classes of the option `labels`, or else those of the corpus."""
        known = self.known_labels()
        if self.config.labels is not None:
            shared = {name: known.shared.get(name, shared_emotion(name)) for name in self.config.labels}
            known = LabelSet("labels", tuple(self.config.labels), shared)
        if self.has_strengths and not self.several_labels and len(known.names) not in (2, 3):
            raise CorpusError(
                f"{self.root} has strengths of a sentiment, not classes: pass labels, two names (negative, positive) "
                "or three (negative, neutral, positive)"
            )
        return known

    def known_labels(self) -> LabelSet:
        """Classes of the corpus."""
        return self.LABELS

    @functools.cached_property
    def has_strengths(self) -> bool:
        """Whether the labels of the pickle are strengths of a sentiment."""
        column = pq.read_table(self.converted / UTTERANCES, columns=["strength"])["strength"]
        return bool(column.null_count < len(column))

    @functools.cached_property
    def tables(self) -> dict[str, str]:
        """Name of the feature table of each modality in the pickle."""
        with safe_open(self.converted / FEATURES, "np") as features:
            names = [name for name in features.keys() if not name.endswith(MISSING)]  # noqa: SIM118
        texts = sorted(name for name in names if name.startswith("text_"))
        chosen = f"text_{self.config.text_table}"
        if texts and chosen not in texts:
            raise CorpusError(f"{self.root} has the text tables {', '.join(texts)}: text_table cannot be {chosen[5:]}")
        tables = {"text": chosen, "audio": "audio", "vision": "vision"}
        return {modality: name for modality, name in tables.items() if name in names}

    @property
    def feature_sizes(self) -> dict[str, int]:
        """Width of the features of each modality."""
        with safe_open(self.converted / FEATURES, "np") as features:
            return {modality: features.get_slice(name).get_shape()[1] for modality, name in self.tables.items()}

    @functools.cached_property
    def split_of(self) -> dict[str, str]:
        """Split of each dialogue, in the order of the pickle; dev is drawn from train if the pickle has none."""
        columns = pq.read_table(self.converted / UTTERANCES, columns=["dialogue_id", "split"]).to_pydict()
        splits = dict(zip(columns["dialogue_id"], columns["split"], strict=True))
        if "dev" not in splits.values():
            train = [dialogue for dialogue, split in splits.items() if split == "train"]
            count = self.config.dev_dialogues
            if not 0 < count < len(train):
                raise CorpusError(
                    f"{self.root} has {len(train)} training dialogues and no dev: dev_dialogues, the number of those "
                    f"that become dev, has to be 1 to {len(train) - 1}, not {count}"
                )
            splits.update(dict.fromkeys(hold_out(train, count, self.config.dev_seed), "dev"))
        return splits

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split in the order of the pickle."""
        batches = pq.ParquetFile(self.converted / UTTERANCES).iter_batches(batch_size=1024)
        rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
        first = 0
        with safe_open(self.converted / FEATURES, "np") as features:
            for dialogue_id, group in itertools.groupby(rows, key=lambda row: row["dialogue_id"]):
                utterances = [self._to_utterance(row) for row in group]
                if self.split_of[dialogue_id] == split:
                    for modality, name in self.tables.items():
                        span = slice(first, first + len(utterances))
                        vectors = features.get_slice(name)[span].tolist()
                        missing = features.get_slice(name + MISSING)[span].tolist()
                        for utterance, vector, absent in zip(utterances, vectors, missing, strict=True):
                            utterance[FEATURE_COLUMNS[modality]] = None if absent else vector  # type: ignore[literal-required]
                    yield Dialogue(dialogue_id=dialogue_id, utterances=utterances)
                first += len(utterances)

    def _to_utterance(self, row: dict[str, Any]) -> Utterance:
        names = self.label_set.names
        strengths = row["emotions"] if self.several_labels else None
        label = (
            None
            if self.several_labels
            else row["label"]
            if row["strength"] is None
            else sentiment_class(row["strength"], len(names))
        )
        if label is not None and not 0 <= label < len(names):
            raise CorpusError(
                f"{self.root}, dialogue {row['dialogue_id']}, utterance {row['utterance_id']}: label {label} is "
                f"none of 0 to {len(names) - 1} ({', '.join(names)}): is this the pickle of another corpus? If "
                "not, pass labels, the class names in the order of their numbers"
            )
        return Utterance(
            utterance_id=row["utterance_id"],
            speaker=row["speaker"],
            text=self.clean(row["text"] or "") or None,
            label=None if label is None else names[label],
            labels=None if strengths is None else [n for n, s in zip(names, strengths, strict=True) if s > 0],
            targets=self._targets(row),
        )

    def _targets(self, row: dict[str, Any]) -> dict[str, float | None]:
        if self.target_table is not None:
            return dict(self.target_table(row["dialogue_id"], row["utterance_id"]))
        return dict.fromkeys(self.target_names, row["strength"])


class MosiFeatures(FeaturePickleBuilder):
    """CMU-MOSI (Zadeh et al. 2016): opinions on films, one speaker per video, with features of text, audio and vision.

    Pickles of CMU-MOSEI and of MMSA and MulT (`aligned_50.pkl`) are read too. Strengths of the sentiment become classes
    by their sign, see `sentiment_class`, or are predicted with `targets=["strength"]`. With `emotions=True` a segment
    has each of six emotions whose strength is above 0, where the labels of the pickle have six columns or, with the
    sentiment before them, seven (the form of the CMU Multimodal SDK).

    The pickle is that of the repository declare-lab/multimodal-deep-learning. It does not define its labels 0 and 1;
    taking 1 for positive is this project's reading: "great" and "loved" occur with 1, "terrible" and "boring" with 0.
    """

    BUILDER_CONFIG_CLASS = MosiFeaturesConfig
    HOMEPAGE: ClassVar[str] = "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/"
    LICENSE: ClassVar[str] = "the repository of the pickle is MIT; the corpus has terms of its own, for research"

    @property
    def several_labels(self) -> bool:
        """Whether the labels are the emotions of CMU-MOSEI."""
        return bool(self.config.emotions)

    def known_labels(self) -> LabelSet:
        """Negative and positive; negative, neutral and positive where the pickle has strengths; or the emotions."""
        emotions = pq.read_table(self.converted / UTTERANCES, columns=["emotions"])["emotions"]
        has_emotions = emotions.null_count < len(emotions)
        if self.config.emotions != has_emotions and not (has_emotions and self.has_strengths):
            remedy = "pass emotions=True" if has_emotions else "leave out emotions"
            raise CorpusError(f"{self.root} has {'emotions only' if has_emotions else 'no emotions'}: {remedy}")
        if self.config.emotions:
            return MOSEI_EMOTIONS
        return SENTIMENT3 if self.has_strengths else LABEL_SETS["mosi2"]


class IemocapFeatures(FeaturePickleBuilder):
    """IEMOCAP (Busso et al. 2008), six emotions, as a pickle of the MMGCN and DialogueRNN family.

    Sessions 1 to 4 are train, session 5 is test. A pickle of 7,433 utterances and one of 7,380 differ in 53 happy turns
    whose majority is tied or secondary: report which one a result is for.
    """

    BUILDER_CONFIG_CLASS = IemocapFeaturesConfig
    HOMEPAGE: ClassVar[str] = "https://sail.usc.edu/iemocap/"
    LICENSE: ClassVar[str] = "derived from IEMOCAP, whose licence forbids passing it on"

    LABELS = LABEL_SETS["iemocap6"]
    dialogue_group = staticmethod(scene_kind)


class MeldFeatures(FeaturePickleBuilder):
    """MELD (Poria et al. 2019) as a pickle of the MMGCN, DialogueRNN, COSMIC or MM-DFN family.

    Most of them include MELD's dev dialogues in train; dev is then drawn anew and is not the official one.
    """

    BUILDER_CONFIG_CLASS = MeldFeaturesConfig
    HOMEPAGE: ClassVar[str] = "https://github.com/declare-lab/MELD"
    LICENSE: ClassVar[str] = "GPL-3.0 for the annotations; the clips are of a television series, whose owners hold them"

    LABELS = LABEL_SETS["meld"]


class EmoryNlpFeatures(FeaturePickleBuilder):
    """EmoryNLP (Zahiri and Choi 2018) as a pickle of the COSMIC form: four layers of RoBERTa and the sentences."""

    BUILDER_CONFIG_CLASS = FeaturePickleConfig
    HOMEPAGE: ClassVar[str] = "https://github.com/emorynlp/emotion-detection"
    LICENSE: ClassVar[str] = "unknown; the transcripts are of a television series, whose owners hold them"
    LABELS = LABEL_SETS["emorynlp"]


class DailyDialogFeatures(FeaturePickleBuilder):
    """DailyDialog (Li et al. 2017) as a pickle of the COSMIC form: four layers of RoBERTa and the sentences.

    The numbers of the classes differ from those of the release. They are not documented; this order follows from the
    counts of both (for instance, 11,182 training turns of happiness, 72,143 without emotion, 303 of disgust).
    """

    BUILDER_CONFIG_CLASS = FeaturePickleConfig
    HOMEPAGE: ClassVar[str] = "http://yanran.li/dailydialog"
    LICENSE: ClassVar[str] = "CC BY-NC-SA 4.0"
    LABELS = LabelSet(
        "dailydialog_features",
        ("happiness", "no emotion", "anger", "sadness", "fear", "surprise", "disgust"),
        LABEL_SETS["dailydialog"].shared,
    )
