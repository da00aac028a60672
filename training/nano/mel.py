"""Mel spectrograms in torch: the one that the speaker encoder hears, and logarithms for losses."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

# Slaney's mel scale is linear up to 1 kHz and logarithmic above it.
_LINEAR = 200.0 / 3
_BREAK = 1000.0
_STEP = math.log(6.4) / 27


def _to_mel(hertz: float) -> float:
    return (
        hertz / _LINEAR if hertz < _BREAK else _BREAK / _LINEAR + math.log(hertz / _BREAK) / _STEP
    )


def filters(rate: int, n_fft: int, mels: int, lowest: float, by_area: bool) -> Tensor:
    """Triangles up to half the rate, (n_fft // 2 + 1, mels): of equal area, or of height one."""
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    scale = np.linspace(_to_mel(lowest), _to_mel(rate / 2), mels + 2)
    linear, curved = scale * _LINEAR, _BREAK * np.exp(_STEP * (scale - _BREAK / _LINEAR))
    edges = np.where(scale < _BREAK / _LINEAR, linear, curved)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    height = 2 / (edges[2:] - edges[:-2]) if by_area else 1.0
    return torch.tensor(np.maximum(0, np.minimum(rising, falling)) * height, dtype=torch.float32)


class Magnitudes(nn.Module):
    """Samples (B, N) → magnitudes of their short-time spectra (B, 1 + N // hop, bins)."""

    window: Tensor

    def __init__(self, n_fft: int, hop: int, window: int) -> None:
        super().__init__()
        self.n_fft, self.hop, self._width = n_fft, hop, window
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def complex(self, samples: Tensor) -> Tensor:
        """The spectra themselves."""
        spectra = torch.stft(
            samples, self.n_fft, self.hop, self._width, self.window, return_complex=True
        )
        return spectra.transpose(1, 2)

    def forward(self, samples: Tensor) -> Tensor:
        spectra = self.complex(samples)
        # The small term keeps the gradient finite where a bin is empty.
        return torch.sqrt(spectra.real.square() + spectra.imag.square() + 1e-9)


class SpeakerMel(nn.Module):
    """What the speaker encoder hears: (B, N) → (B, frames, 80), magnitudes."""

    bank: Tensor

    def __init__(self, rate: int = 16_000, hop: int = 320) -> None:
        super().__init__()
        self._magnitudes = Magnitudes(1024, hop, 640)
        self.register_buffer("bank", filters(rate, 1024, 80, 10.0, True), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        return self._magnitudes(samples) @ self.bank


class LogMel(nn.Module):
    """(B, N) → the logarithm of mel magnitudes (B, 1 + N // hop, mels), with a floor."""

    bank: Tensor
    FLOOR = 0.1

    def __init__(self, n_fft: int, hop: int, window: int, mels: int, rate: int = 16_000) -> None:
        super().__init__()
        self.magnitudes = Magnitudes(n_fft, hop, window)
        self.register_buffer("bank", filters(rate, n_fft, mels, 40.0, False), persistent=False)
        # Noise grows with the root of the window's length.
        self.floor = self.FLOOR * math.sqrt(window / 400)

    def of(self, magnitudes: Tensor) -> Tensor:
        return torch.log(magnitudes @ self.bank + self.floor)

    def forward(self, samples: Tensor) -> Tensor:
        return self.of(self.magnitudes(samples))
