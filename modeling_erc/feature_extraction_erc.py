"""Log-mel images of audio, so that an image backbone such as ViT can be the audio encoder."""

from typing import Any, ClassVar

import numpy as np
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.audio_utils import mel_filter_bank, optimal_fft_length, spectrogram, window_function

MIN_FREQUENCY = 20.0
# Decibels below the peak of a clip that are black.
DYNAMIC_RANGE = 80.0
# Smallest peak of the mel power, so that an all-zero clip is black.
SILENCE_POWER = 1e-6


class LogMelImageFeatureExtractor(SequenceFeatureExtractor):
    """Converts clips to square images of their log-mel spectrogram, with low frequencies at the bottom.

    The width stands for `max_seconds`: shorter clips are padded with silence (black), longer ones are cut. Grey values
    range from 80 dB below the peak of a clip to its peak, so that loudness does not matter. Spectrogram images as input
    of a pretrained ViT follow AST (Gong et al. 2021, arXiv 2104.01778).

    Args:
        sampling_rate: Sampling rate in Hz.
        num_mel_bins: Mel bands from 20 Hz to half the sampling rate.
        image_size: Height and width in pixels.
        num_channels: Colour channels of the backbone; all are equal.
        hop_seconds: Hop between spectra, in seconds.
        window_seconds: Length of the window of a spectrum, in seconds.
        max_seconds: Duration of the width of an image, in seconds.
        image_mean: Subtracted from the grey values (0..1).
        image_std: Divides the grey values afterwards.

    Example:
        >>> extractor = LogMelImageFeatureExtractor()
        >>> extractor(np.random.randn(16000), sampling_rate=16000, return_tensors="pt")["pixel_values"].shape
        torch.Size([1, 3, 224, 224])
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def __init__(
        self,
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        image_size: int = 224,
        num_channels: int = 3,
        hop_seconds: float = 0.010,
        window_seconds: float = 0.025,
        max_seconds: float = 10.0,
        image_mean: float = 0.5,
        image_std: float = 0.5,
        **kwargs: Any,
    ) -> None:
        # A saved extractor has feature_size and padding_value, which follow from the other settings.
        kwargs |= {"feature_size": num_mel_bins, "sampling_rate": sampling_rate, "padding_value": 0.0}
        super().__init__(**kwargs)
        self.num_mel_bins = num_mel_bins
        self.image_size = image_size
        self.num_channels = num_channels
        self.hop_seconds = hop_seconds
        self.window_seconds = window_seconds
        self.max_seconds = max_seconds
        self.image_mean = image_mean
        self.image_std = image_std
        # transformers does not save attributes with these two names.
        self.window = window_function(round(window_seconds * sampling_rate), "hann")
        self.mel_filters = mel_filter_bank(
            num_frequency_bins=self._fft_length // 2 + 1,
            num_mel_filters=num_mel_bins,
            min_frequency=MIN_FREQUENCY,
            max_frequency=sampling_rate / 2,
            sampling_rate=sampling_rate,
        )

    def __call__(
        self,
        raw_speech: np.ndarray | list[np.ndarray],
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Converts each clip to an image.

        Args:
            raw_speech: One clip `(samples,)`, or several as a list or as rows `(batch, samples)`.
            sampling_rate: Sampling rate of the clips in Hz; must be that of the extractor.
            return_tensors: "pt" for torch tensors; numpy by default.
            kwargs: Padding options of other extractors, ignored because all images have one size.

        Returns:
            `pixel_values` `(batch, num_channels, image_size, image_size)`, float32.

        Raises:
            ValueError: The sampling rate differs, or a clip is empty or not `(samples,)`.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(f"sound at {sampling_rate} Hz, expected {self.sampling_rate} Hz: resample it first")
        single = isinstance(raw_speech, np.ndarray) and raw_speech.ndim == 1
        clips = [raw_speech] if single else list(raw_speech)
        images = np.stack([self._image(np.asarray(clip), row) for row, clip in enumerate(clips)])
        return BatchFeature({"pixel_values": images}, tensor_type=return_tensors)

    @property
    def _fft_length(self) -> int:
        """Twice the length for the window, because the lowest mel bands would otherwise be empty."""
        return 2 * optimal_fft_length(len(self.window))

    def _image(self, clip: np.ndarray, row: int) -> np.ndarray:
        if clip.ndim != 1 or not clip.size:
            raise ValueError(
                f"clip {row} has shape {clip.shape}: give one channel, (samples,), with at least one sample"
            )
        hop = round(self.hop_seconds * self.sampling_rate)
        width = round(self.max_seconds * self.sampling_rate)
        power = spectrogram(
            np.pad(clip[:width], (0, max(len(self.window) - len(clip), 0))).astype(np.float64),
            window=self.window,
            frame_length=len(self.window),
            hop_length=hop,
            fft_length=self._fft_length,
            power=2.0,
            mel_filters=self.mel_filters,
            mel_floor=SILENCE_POWER * 10 ** (-DYNAMIC_RANGE / 10),
            remove_dc_offset=True,
        )
        decibels = 10 * np.log10(power / max(power.max(), SILENCE_POWER))
        grey = np.zeros((self.num_mel_bins, 1 + width // hop), dtype=np.float32)
        grey[::-1, : power.shape[1]] = np.maximum(1 + decibels / DYNAMIC_RANGE, 0)
        # Antialiased, because plain bilinear scaling skips spectra when the image gets narrower.
        pixels = torch.nn.functional.interpolate(
            torch.from_numpy(grey)[None, None],
            size=(self.image_size, self.image_size),
            mode="bilinear",
            antialias=True,
        )[0, 0].numpy()
        pixels = (pixels - self.image_mean) / self.image_std
        return np.repeat(pixels[None], self.num_channels, axis=0)


LogMelImageFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
