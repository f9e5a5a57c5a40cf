"""Corruptions of an utterance: a missing modality, lost words, noise, blur. Registry: `CORRUPTIONS`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageFilter

from ..configuration_erc import MODALITIES
from ..modeling_erc import ErcPreTrainedModel
from ..registry_erc import Registry

Utterance = Mapping[str, Any]

ANY = "any"


@dataclass(frozen=True)
class Corruption(ABC):
    """Changes one modality of an utterance before it is encoded.

    Args:
        modality: text, audio, vision, or any.
        strength: in the unit of the corruption.
    """

    # Inputs that it applies to: text, audio, vision (raw inputs) or features (precomputed ones).
    inputs: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    strengths: ClassVar[tuple[float, ...]]
    unit: ClassVar[str] = ""
    # Whether it needs samples or frames and is therefore applied when the clip is encoded.
    decodes: ClassVar[bool] = False

    modality: str
    strength: float

    @abstractmethod
    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        """Returns a corrupted copy; an utterance without the modality stays unchanged.

        Args:
            utterance: of the schema; where `decodes`, with `audio` as `(samples, rate)` or `video` as frames.
            random: source of randomness.
        """

    @property
    def label(self) -> str:
        """The strength with its unit; empty where there is only one strength."""
        return self.unit.format(self.strength)

    @classmethod
    def for_model(cls, modality: str, strength: float, model: ErcPreTrainedModel) -> "Corruption":
        """Returns the corruption of a modality of a model."""
        return cls(modality, strength)


CORRUPTIONS: Registry[type[Corruption]] = Registry("corruption")


def corruptions_of(model: ErcPreTrainedModel, modalities: list[str] | None = None) -> dict[str, list[Corruption]]:
    """Returns the corruptions that fit a model's inputs, by `modality/name`, at each of their strengths.

    Args:
        model: its config determines which modalities are raw and which are precomputed features.
        modalities: restricts them to these; `any` drops one random modality of an utterance. Default: all, and `any`
            where the model has several.

    Raises:
        ValueError: the model lacks one of `modalities`.
    """
    known = list(model.config.modalities)
    allowed = [*known, ANY] if len(known) > 1 else known
    unknown = set(modalities or []) - set(allowed)
    if unknown:
        raise ValueError(f"--modality {' '.join(sorted(unknown))}: the model has {', '.join(allowed)}")
    result: dict[str, list[Corruption]] = {}
    for modality in modalities or allowed:
        if modality == ANY:
            result[f"{ANY}/drop"] = [Drop(ANY, 1.0, tuple(known))]
            continue
        given = "features" if modality in (model.config.feature_sizes or {}) else modality
        for name, kind in CORRUPTIONS.items():
            if given in kind.inputs:
                result[f"{modality}/{name}"] = [kind.for_model(modality, s, model) for s in kind.strengths]
    return result


@CORRUPTIONS.register("drop")
@dataclass(frozen=True)
class Drop(Corruption):
    """The modality is missing.

    Args:
        choices: one of these modalities, drawn at random among those that the utterance has, is dropped; default:
            `modality`.
    """

    inputs = ("text", "audio", "vision", "features")
    title = "missing"
    strengths = (1.0,)

    choices: tuple[str, ...] = ()

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        choices = self.choices or (self.modality,)
        present = [m for m in choices if any(utterance.get(name) is not None for name in MODALITIES[m].keys)]
        if not present:
            return dict(utterance)
        return {**utterance, **dict.fromkeys(MODALITIES[present[random.integers(len(present))]].keys)}


class _WordCorruption(Corruption):
    inputs = ("text",)
    strengths = (0.1, 0.3, 0.5)
    unit = "{:.0%} of words"

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        words = (utterance.get("text") or "").split()
        if not words:
            return dict(utterance)
        return {**utterance, "text": " ".join(self.change(words, random.random(len(words)), random)) or None}

    @abstractmethod
    def change(self, words: list[str], chance: np.ndarray, random: np.random.Generator) -> list[str]:
        """Corrupts the words of an utterance; `chance` is uniform in 0..1 for each word."""


@CORRUPTIONS.register("word_drop")
class WordDrop(_WordCorruption):
    """Each word is lost with probability `strength`, as by a speech recogniser; without words there is no text."""

    title = "words lost"

    def change(self, words: list[str], chance: np.ndarray, random: np.random.Generator) -> list[str]:
        return [word for word, draw in zip(words, chance, strict=True) if draw >= self.strength]


@CORRUPTIONS.register("word_swap")
class WordSwap(_WordCorruption):
    """Each word is selected with probability `strength`; the selected words exchange their places."""

    title = "words swapped"

    def change(self, words: list[str], chance: np.ndarray, random: np.random.Generator) -> list[str]:
        taken = random.permutation(np.flatnonzero(chance < self.strength))
        changed = list(words)
        # One cycle, so that none keeps its place.
        for place, origin in zip(taken, np.roll(taken, 1), strict=True):
            changed[place] = words[origin]
        return changed


@CORRUPTIONS.register("noise")
class WhiteNoise(Corruption):
    """White noise is added to the sound; `strength` is the signal-to-noise ratio of the clip in dB."""

    inputs = ("audio",)
    title = "white noise"
    strengths = (20.0, 10.0, 0.0)
    unit = "{:g} dB"
    decodes = True

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        if not isinstance(utterance.get("audio"), tuple):
            return dict(utterance)
        wave, rate = utterance["audio"]
        noise = random.standard_normal(len(wave))
        power = np.square(wave, dtype=np.float64).mean() / 10 ** (self.strength / 10)
        noise *= np.sqrt(power / np.square(noise).mean())
        return {**utterance, "audio": ((wave + noise).astype(np.float32), rate)}


class _FrameCorruption(Corruption):
    inputs = ("vision",)
    decodes = True

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        frames = utterance.get("video")
        return {**utterance, "video": self.change(frames)} if isinstance(frames, np.ndarray) else dict(utterance)

    @abstractmethod
    def change(self, frames: np.ndarray) -> np.ndarray:
        """Corrupts frames, uint8 `(frames, height, width, 3)`."""


@CORRUPTIONS.register("blur")
class Blur(_FrameCorruption):
    """Gaussian blur; `strength` is its standard deviation in pixels of the stored frames."""

    title = "blur"
    strengths = (2.0, 4.0, 8.0)
    unit = "sigma {:g} px"

    def change(self, frames: np.ndarray) -> np.ndarray:
        blur = ImageFilter.GaussianBlur(self.strength)
        return np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in frames])


@CORRUPTIONS.register("black")
class BlackFrames(_FrameCorruption):
    """All frames are black, but the modality mask still marks them as present."""

    title = "black frames"
    strengths = (1.0,)

    def change(self, frames: np.ndarray) -> np.ndarray:
        return np.zeros_like(frames)


@CORRUPTIONS.register("gaussian")
@dataclass(frozen=True)
class FeatureNoise(Corruption):
    """Gaussian noise is added to precomputed features.

    Args:
        strength: ratio of the noise's standard deviation to that of the feature over the training split.
        scale: `(width,)`, the standard deviation of the feature over the training split.
    """

    inputs = ("features",)
    title = "Gaussian noise"
    strengths = (0.5, 1.0, 2.0)
    unit = "{:g} x std"

    scale: np.ndarray = field(repr=False, compare=False, default_factory=lambda: np.ones(1))

    @classmethod
    def for_model(cls, modality: str, strength: float, model: ErcPreTrainedModel) -> "FeatureNoise":
        """Returns the corruption with the standard deviations that the model was trained with."""
        scale = model.erc_model.projection(modality).feature_scale.float().cpu().numpy()
        # The model ignores constant features, whose scale is not finite.
        return cls(modality, strength, np.where(np.isfinite(scale), scale, 0.0))

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        name = MODALITIES[self.modality].features
        if utterance.get(name) is None:
            return dict(utterance)
        values = np.asarray(utterance[name], dtype=np.float32)
        noise = self.strength * self.scale * random.standard_normal(values.shape)
        return {**utterance, name: values + noise.astype(np.float32)}
