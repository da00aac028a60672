"""The mel spectrogram that the speaker encoder hears: samples (B, N) → (B, frames, mels).

Follows torchaudio's `MelSpectrogram` as BiCodec's `init_mel_transformer` sets it up: magnitudes,
Slaney's scale and norm, frames centred with reflected edges, a periodic Hann window shorter than
the FFT.
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from spark_mlx.model.config import Config

FloatArray = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class MelConfig(Config):
    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    mel_fmin: float
    mel_fmax: float | None
    num_mels: int


# Slaney's mel scale is linear up to 1 kHz and logarithmic above it.
_LINEAR_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def mel_to_hz(mel: FloatArray) -> FloatArray:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)


def mel_filters(config: MelConfig) -> FloatArray:
    """Triangular filters of equal area: (n_fft // 2 + 1, num_mels)."""
    nyquist = config.sample_rate / 2
    bins = np.linspace(0, nyquist, config.n_fft // 2 + 1)
    low, high = hz_to_mel(config.mel_fmin), hz_to_mel(config.mel_fmax or nyquist)
    edges = mel_to_hz(np.linspace(low, high, config.num_mels + 2))
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))


class MelSpectrogram:
    """Computes mel spectrograms; it has no weights of its own."""

    def __init__(self, config: MelConfig) -> None:
        self.config = config
        position = np.arange(config.win_length) / config.win_length
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * position)
        side = (config.n_fft - config.win_length) // 2
        window = np.pad(hann, (side, config.n_fft - config.win_length - side))
        self._window = mx.array(window.astype(np.float32))
        self._filters = mx.array(mel_filters(config).astype(np.float32))

    def __call__(self, samples: mx.array) -> mx.array:
        """samples (B, N), N above n_fft // 2 → (B, 1 + N // hop_length, num_mels)."""
        n_fft, hop = self.config.n_fft, self.config.hop_length
        edge = n_fft // 2
        left = samples[:, edge:0:-1]
        right = samples[:, -2 : -edge - 2 : -1]
        padded = mx.concatenate([left, samples, right], axis=1)
        starts = mx.arange(1 + samples.shape[1] // hop) * hop
        frames = padded[:, starts[:, None] + mx.arange(n_fft)]
        spectrum = mx.fft.rfft(frames * self._window, axis=-1)
        return mx.abs(spectrum) @ self._filters
