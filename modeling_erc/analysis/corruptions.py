"""What goes wrong with an utterance: missing, misheard, noisy, blurred. One registry: `CORRUPTIONS`."""

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
        strength: how much, in the unit of the corruption.
    """

    # What it acts on: text, audio, vision (raw inputs) or features (precomputed ones).
    inputs: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    strengths: ClassVar[tuple[float, ...]]
    # It needs samples or frames, not a file's path: it is applied when the clip is encoded.
    decodes: ClassVar[bool] = False

    modality: str
    strength: float

    @abstractmethod
    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        """A corrupted copy; an utterance without the modality stays as it is.

        Args:
            utterance: of the schema; for one that `decodes`, with `audio` as `(samples, rate)` or `video` as frames.
            random: where chance comes from.
        """

    @property
    @abstractmethod
    def label(self) -> str:
        """The strength with its unit; empty where there is only one."""

    @classmethod
    def for_model(cls, modality: str, strength: float, model: ErcPreTrainedModel) -> "Corruption":
        """The corruption of a modality of a model."""
        return cls(modality, strength)


CORRUPTIONS: Registry[type[Corruption]] = Registry("corruption")


def corruptions_of(model: ErcPreTrainedModel, modalities: list[str] | None = None) -> dict[str, list[Corruption]]:
    """Every corruption that fits a model's inputs, at each of its strengths, by `modality/name`.

    Args:
        model: its config says which modalities come raw and which as features.
        modalities: of these; `any` stands for one of them at a time. Default: all, and `any` where there are several.

    Raises:
        ValueError: the model lacks one of `modalities`.
    """
    known = list(model.config.modalities)
    allowed = [*known, ANY] if len(known) > 1 else known
    unknown = set(modalities or []) - set(allowed)
    if unknown:
        raise ValueError(f"--modality {' '.join(sorted(unknown))}: the model has {', '.join(allowed)}")
    found: dict[str, list[Corruption]] = {}
    for modality in modalities or allowed:
        if modality == ANY:
            found[f"{ANY}/drop"] = [Drop(ANY, 1.0, tuple(known))]
            continue
        given = "features" if modality in (model.config.feature_sizes or {}) else modality
        for name, kind in CORRUPTIONS.items():
            if given in kind.inputs:
                found[f"{modality}/{name}"] = [kind.for_model(modality, s, model) for s in kind.strengths]
    return found


@CORRUPTIONS.register("drop")
@dataclass(frozen=True)
class Drop(Corruption):
    """The modality is missing.

    Args:
        choices: the modalities of which one that the utterance has is dropped, drawn at random; default: `modality`.
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

    @property
    def label(self) -> str:
        return ""


class _WordCorruption(Corruption):
    inputs = ("text",)
    strengths = (0.1, 0.3, 0.5)

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        words = (utterance.get("text") or "").split()
        if not words:
            return dict(utterance)
        return {**utterance, "text": " ".join(self.change(words, random.random(len(words)), random)) or None}

    @abstractmethod
    def change(self, words: list[str], chance: np.ndarray, random: np.random.Generator) -> list[str]:
        """The words of an utterance, corrupted; `chance` is uniform in 0..1 for each of them."""

    @property
    def label(self) -> str:
        return f"{self.strength:.0%} of words"


@CORRUPTIONS.register("word_drop")
class WordDrop(_WordCorruption):
    """Each word is lost with the probability `strength`, as by a recogniser; without any word there is no text."""

    title = "words lost"

    def change(self, words: list[str], chance: np.ndarray, random: np.random.Generator) -> list[str]:
        return [word for word, draw in zip(words, chance, strict=True) if draw >= self.strength]


@CORRUPTIONS.register("word_swap")
class WordSwap(_WordCorruption):
    """Each word is taken with the probability `strength`; those that are taken go to one another's places."""

    title = "words swapped"

    def change(self, words: list[str], chance: np.ndarray, random: np.random.Generator) -> list[str]:
        taken = random.permutation(np.flatnonzero(chance < self.strength))
        changed = list(words)
        # One cycle, so that none stays where it was.
        for place, origin in zip(taken, np.roll(taken, 1), strict=True):
            changed[place] = words[origin]
        return changed


@CORRUPTIONS.register("noise")
class WhiteNoise(Corruption):
    """White noise is added to the sound; `strength` is the signal-to-noise ratio in dB over the clip."""

    inputs = ("audio",)
    title = "white noise"
    strengths = (20.0, 10.0, 0.0)
    decodes = True

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        if not isinstance(utterance.get("audio"), tuple):
            return dict(utterance)
        wave, rate = utterance["audio"]
        noise = random.standard_normal(len(wave))
        power = np.square(wave, dtype=np.float64).mean() / 10 ** (self.strength / 10)
        noise *= np.sqrt(power / np.square(noise).mean())
        return {**utterance, "audio": ((wave + noise).astype(np.float32), rate)}

    @property
    def label(self) -> str:
        return f"{self.strength:g} dB"


class _FrameCorruption(Corruption):
    inputs = ("vision",)
    decodes = True

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        frames = utterance.get("video")
        if not isinstance(frames, np.ndarray):
            return dict(utterance)
        return {**utterance, "video": self.change(frames)}

    @abstractmethod
    def change(self, frames: np.ndarray) -> np.ndarray:
        """Corrupts frames, uint8 `(frames, height, width, 3)`."""


@CORRUPTIONS.register("blur")
class Blur(_FrameCorruption):
    """Gaussian blur; `strength` is its standard deviation in pixels of the frames as they are stored."""

    title = "blur"
    strengths = (2.0, 4.0, 8.0)

    def change(self, frames: np.ndarray) -> np.ndarray:
        blur = ImageFilter.GaussianBlur(self.strength)
        return np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in frames])

    @property
    def label(self) -> str:
        return f"sigma {self.strength:g} px"


@CORRUPTIONS.register("black")
class BlackFrames(_FrameCorruption):
    """The picture is black, and the model is not told."""

    title = "black frames"
    strengths = (1.0,)

    def change(self, frames: np.ndarray) -> np.ndarray:
        return np.zeros_like(frames)

    @property
    def label(self) -> str:
        return ""


@CORRUPTIONS.register("gaussian")
@dataclass(frozen=True)
class FeatureNoise(Corruption):
    """Gaussian noise on precomputed features.

    Args:
        strength: ratio of the noise's standard deviation to the feature's own over the training split.
        scale: the latter, `(width,)`.
    """

    inputs = ("features",)
    title = "Gaussian noise"
    strengths = (0.5, 1.0, 2.0)

    scale: np.ndarray = field(repr=False, compare=False, default_factory=lambda: np.ones(1))

    @classmethod
    def for_model(cls, modality: str, strength: float, model: ErcPreTrainedModel) -> "FeatureNoise":
        """With the deviations that the model was trained with."""
        scale = model.erc_model.projection(modality).feature_scale.float().cpu().numpy()
        # The model ignores a feature that was constant, and its scale is no number.
        return cls(modality, strength, np.where(np.isfinite(scale), scale, 0.0))

    def __call__(self, utterance: Utterance, random: np.random.Generator) -> dict[str, Any]:
        name = MODALITIES[self.modality].features
        if utterance.get(name) is None:
            return dict(utterance)
        values = np.asarray(utterance[name], dtype=np.float32)
        noise = self.strength * self.scale * random.standard_normal(values.shape)
        return {**utterance, name: values + noise.astype(np.float32)}

    @property
    def label(self) -> str:
        return f"{self.strength:g} x std"
