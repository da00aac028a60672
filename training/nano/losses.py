"""How far one sound is from another, as the wave generator learns it: two of (B, N) → scalars.

Logarithmic mel spectra at several resolutions say what is heard. In the low band the sounds should
also go together, since the tokens tell where in its period a voice is: without that a decoder of
frames of 20 ms can only repeat itself every 20 ms, a buzz of 50 Hz whatever the pitch.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from mel import LogMel

# The window's length in samples, and how many mel bands its spectrum is gathered in. Short windows
# show where something happens; the longest part the harmonics of a low voice.
RESOLUTIONS = ((160, 24), (400, 48), (800, 80), (1600, 120))
_FFT = {160: 256, 400: 512, 800: 1024, 1600: 2048}
# The windows that are compared with their phases, and the borders of the bands, each compared for
# itself: the higher the harmonic, the less exactly a token tells its phase.
PHASES = (400, 800)
BORDERS = (0.0, 500.0, 1000.0, 2000.0)  # Hz


class SpectralLoss(nn.Module):
    """Compares sounds at `RESOLUTIONS`; it has no weights of its own."""

    def __init__(self, rate: int = 16_000) -> None:
        super().__init__()
        self._rate = rate
        self.mels = nn.ModuleList(
            LogMel(_FFT[window], window // 4, window, mels, rate) for window, mels in RESOLUTIONS
        )

    def forward(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The terms by name: `mel`, the mean difference of log-mel spectra, and `phase`."""
        apart, phase = [], []
        for mel, (window, _) in zip(self.mels, RESOLUTIONS, strict=True):
            assert isinstance(mel, LogMel)
            a, b = mel.magnitudes.complex(made), mel.magnitudes.complex(real)
            apart.append((mel.of(_size(a)) - mel.of(_size(b))).abs().mean())
            if window in PHASES:
                bins = [round(hertz * _FFT[window] / self._rate) for hertz in BORDERS]
                phase += [
                    out_of_phase(a[..., low:high], b[..., low:high])
                    for low, high in itertools.pairwise(bins)
                ]
        return {"mel": torch.stack(apart).mean(), "phase": torch.stack(phase).mean()}


def out_of_phase(made: Tensor, real: Tensor) -> Tensor:
    """One less the correlation of each frame's spectra, as a mean weighted by loudness.

    0 in phase, 1 by chance. A plain difference would be smallest for silence, as long as no phase
    is right.
    """
    together = (made.real * real.real + made.imag * real.imag).sum(-1)
    loud = _size(real).square().sum(-1).sqrt()
    own = _size(made).square().sum(-1).sqrt()
    correlation = together / (own * loud + 1e-4)
    return ((1 - correlation) * loud).sum() / (loud.sum() + 1e-3)


def _size(spectrum: Tensor) -> Tensor:
    # The small term keeps the gradient finite where a bin is empty.
    return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-9)
