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

from spark_mlx.model.mel import MelConfig, mel_filters

# The window's length and how many mel bands its spectrum is gathered in.
RESOLUTIONS = ((256, 20), (512, 40), (1024, 80), (2048, 120), (4096, 160))
# A frame of codes lasts 20 ms. If codes said nothing of where in its period a voice is, the decoder
# could only repeat itself every 20 ms: a buzz of 50 Hz whatever the pitch. So low harmonics, which
# give a voice its pitch, are compared with their phases, in windows of 16 and 32 ms.
PHASES = (256, 512)
PHASE_BELOW = 1000  # Hz
# Magnitudes below this share of full scale count as silence: −80 dB.
FLOOR = 1e-4


def magnitudes(samples: mx.array, n_fft: int, hop: int) -> mx.array:
    """Magnitudes of `spectra`, of the same shape."""
    return _size(spectra(samples, n_fft, hop))


def spectra(samples: mx.array, n_fft: int, hop: int) -> mx.array:
    """Spectra of Hann-windowed frames: (B, N) → complex (B, frames, n_fft // 2 + 1).

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
    return mx.fft.rfft(windows * _hann(n_fft), axis=-1)


def _size(spectrum: mx.array) -> mx.array:
    # The root has no gradient at zero, hence the small term.
    return mx.sqrt(mx.square(mx.real(spectrum)) + mx.square(mx.imag(spectrum)) + 1e-12)


@dataclasses.dataclass(frozen=True)
class _Resolution:
    n_fft: int
    filters: mx.array  # (n_fft // 2 + 1, mels), each band's sum one


class SpectralLoss:
    """Compares sounds at `RESOLUTIONS`; it has no weights of its own."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._resolutions = []
        for n_fft, mels in RESOLUTIONS:
            config = MelConfig(sample_rate, n_fft, n_fft, n_fft // 4, 20, None, mels)
            filters = mel_filters(config)
            filters /= np.maximum(filters.sum(axis=0), 1e-9)
            self._resolutions.append(_Resolution(n_fft, mx.array(filters.astype(np.float32))))

    def __call__(self, said: mx.array, meant: mx.array) -> dict[str, mx.array]:
        """Two sounds (B, N) → the terms by name, each a mean over the resolutions.

        mel: mean difference of log-mel magnitudes. log: of log magnitudes. linear: difference of
        magnitudes as a share of what was meant. phase: how little the sounds go together below
        `PHASE_BELOW`, at the resolutions `PHASES`: 0 in phase, 1 by chance, 2 turned round.
        """
        terms: dict[str, list[mx.array]] = {"mel": [], "log": [], "linear": [], "phase": []}
        for resolution in self._resolutions:
            n_fft = resolution.n_fft
            complex_a, complex_b = (spectra(x, n_fft, n_fft // 4) for x in (said, meant))
            a, b = _size(complex_a), _size(complex_b)
            if n_fft in PHASES:
                low = slice(0, round(PHASE_BELOW * n_fft / self._sample_rate))
                terms["phase"].append(_out_of_phase(complex_a[..., low], complex_b[..., low]))
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


def _out_of_phase(said: mx.array, meant: mx.array) -> mx.array:
    """One less the correlation of each frame's spectra, as a mean weighted by loudness.

    A plain difference would be smallest for silence, as long as no phase is right.
    """
    together = (mx.real(said) * mx.real(meant) + mx.imag(said) * mx.imag(meant)).sum(axis=-1)
    loud = mx.sqrt(mx.square(_size(meant)).sum(axis=-1))
    made = mx.sqrt(mx.square(_size(said)).sum(axis=-1))
    correlation = together / mx.maximum(made * loud, 1e-6)
    return ((1 - correlation) * loud).sum() / mx.maximum(loud.sum(), 1e-3)


def _hann(n_fft: int) -> mx.array:
    """A periodic Hann window whose sum is two, so that a sine's peak is its amplitude."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return mx.array((window * 2 / window.sum()).astype(np.float32))
