"""How far one sound is from another, as training measures it: two of (B, N) → scalars.

Spectra at several resolutions. Short windows show where something happens; the longest, of a
quarter of a second at 16 kHz, part the harmonics of a low voice, without which they may smear into
noise unpunished. Each spectrum is compared as magnitudes, as their logarithms, and as log-mel.

Sources: Yamamoto et al., "Parallel WaveGAN" (2020), for the STFT terms; Kumar et al.,
"High-Fidelity Audio Compression with Improved RVQGAN" (2023), for mel terms at many resolutions.
"""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import numpy as np

from spark_mlx.mel import MelConfig, mel_filters

# The window's length and how many mel bands its spectrum is gathered in.
RESOLUTIONS = ((256, 20), (512, 40), (1024, 80), (2048, 120), (4096, 160))
# Magnitudes below this share of full scale count as silence: −80 dB.
FLOOR = 1e-4


def magnitudes(samples: mx.array, n_fft: int, hop: int) -> mx.array:
    """Magnitudes of Hann-windowed frames: (B, N) → (B, frames, n_fft // 2 + 1).

    A sine of full scale has magnitude one at any resolution. `hop` divides `n_fft`. Edges are
    padded with silence, half a window on each side.
    """
    batch, length = samples.shape
    frames = -(-length // hop) + 1
    right = (frames - 1) * hop + n_fft - n_fft // 2 - length
    padded = mx.pad(samples, [(0, 0), (n_fft // 2, right)])
    # Frames put together from whole hops: gathering single samples has a slow gradient.
    hops = padded.reshape(batch, -1, hop)
    windows = mx.concatenate([hops[:, i : i + frames] for i in range(n_fft // hop)], axis=-1)
    spectrum = mx.fft.rfft(windows * _hann(n_fft), axis=-1)
    # The root has no gradient at zero, hence the small term.
    return mx.sqrt(mx.square(mx.real(spectrum)) + mx.square(mx.imag(spectrum)) + 1e-12)


@dataclasses.dataclass(frozen=True)
class _Resolution:
    n_fft: int
    filters: mx.array  # (n_fft // 2 + 1, mels), each band's sum one


class SpectralLoss:
    """Compares sounds at `RESOLUTIONS`; it has no weights of its own."""

    def __init__(self, sample_rate: int) -> None:
        self._resolutions = []
        for n_fft, mels in RESOLUTIONS:
            config = MelConfig(sample_rate, n_fft, n_fft, n_fft // 4, 20, None, mels)
            filters = mel_filters(config)
            filters /= np.maximum(filters.sum(axis=0), 1e-9)
            self._resolutions.append(_Resolution(n_fft, mx.array(filters.astype(np.float32))))

    def __call__(self, said: mx.array, meant: mx.array) -> dict[str, mx.array]:
        """Two sounds (B, N) → the terms by name, each a mean over the resolutions.

        mel: mean difference of log-mel magnitudes. log: of log magnitudes. linear: difference of
        magnitudes as a share of what was meant.
        """
        terms: dict[str, list[mx.array]] = {"mel": [], "log": [], "linear": []}
        for resolution in self._resolutions:
            n_fft = resolution.n_fft
            a, b = (magnitudes(x, n_fft, n_fft // 4) for x in (said, meant))
            logs = [mx.log(mx.maximum(x, FLOOR)) for x in (a, b)]
            mels = [mx.log(mx.maximum(x @ resolution.filters, FLOOR)) for x in (a, b)]
            terms["mel"].append(mx.abs(mels[0] - mels[1]).mean())
            terms["log"].append(mx.abs(logs[0] - logs[1]).mean())
            share = mx.abs(a - b).sum() / mx.maximum(b.sum(), 1e-3)
            terms["linear"].append(share)
        return {name: mx.stack(values).mean() for name, values in terms.items()}


def waveform(said: mx.array, meant: mx.array) -> mx.array:
    """Mean difference of samples. A small weight is enough: codes do not hold a sound's phases."""
    return mx.abs(said - meant).mean()


def _hann(n_fft: int) -> mx.array:
    """A periodic Hann window whose sum is two, so that a sine's peak is its amplitude."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return mx.array((window * 2 / window.sum()).astype(np.float32))
