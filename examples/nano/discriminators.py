"""Judges of whether a sound is real: samples (B, N) → scores and features, of many judges.

A period discriminator looks at every p-th sample, which shows whether a voice is truly periodic
(Kong et al., "HiFi-GAN", 2020). A resolution discriminator looks at a spectrogram as an image,
which shows whether harmonics are sharp (Jang et al., "UnivNet", 2021). Both are small, and made of
one-dimensional convolutions, which a CPU trains at speed. They take no part in speaking. Targets
are the squares of LSGAN (Mao et al., 2017), as in HiFi-GAN.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from losses import FLOOR, magnitudes
from spark_mlx.model.layers import Conv1d

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = (1024, 2048)
# A judge's opinion: the score, and what each layer saw on the way.
Opinion = tuple[mx.array, list[mx.array]]


class PeriodDiscriminator(nn.Module):
    """Folds time into rows of `period` samples and convolves down each column."""

    def __init__(self, period: int, widths: tuple[int, ...] = (16, 32, 64, 64)) -> None:
        super().__init__()
        sizes = zip((1, *widths[:-1]), widths, strict=True)
        self.convs = [Conv1d(i, o, 5, stride=3, padding=2) for i, o in sizes]
        self.score = Conv1d(widths[-1], 1, 3, padding=1)
        self._period = period

    def __call__(self, samples: mx.array) -> Opinion:
        batch, length = samples.shape
        rows = length // self._period
        x = samples[:, : rows * self._period].reshape(batch, rows, self._period)
        x = x.transpose(0, 2, 1).reshape(batch * self._period, rows, 1)
        features = []
        for conv in self.convs:
            x = nn.leaky_relu(conv(x), 0.1)
            features.append(x)
        return self.score(x), features


class ResolutionDiscriminator(nn.Module):
    """Convolves a log spectrogram over 3 frames and some bins, with fewer bins each time.

    Nearly all the work is in the first layer, so that is where most bins are passed over.
    """

    STRIDES = (4, 2, 2)

    def __init__(self, n_fft: int, widths: tuple[int, ...] = (16, 24, 32)) -> None:
        super().__init__()
        sizes = zip((1, *widths[:-1]), widths, self.STRIDES, strict=True)
        # What each frame gives to the one before, itself and the one after, as channels.
        self.convs = [Conv1d(i, 3 * o, 2 * stride + 1, stride, stride) for i, o, stride in sizes]
        self.score = Conv1d(widths[-1], 3, 3, padding=1)
        self._n_fft = n_fft

    def __call__(self, samples: mx.array) -> Opinion:
        # Brought to about unit size. Without the top bin their number divides evenly.
        x = mx.log(mx.maximum(magnitudes(samples, self._n_fft, self._n_fft // 4), FLOOR))
        x = (x[:, :, :-1, None] + 6) / 3
        features = []
        for conv in self.convs:
            x = nn.leaky_relu(_over_frames(conv, x), 0.1)
            features.append(x)
        return _over_frames(self.score, x), features


class Discriminators(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.periods = [PeriodDiscriminator(period) for period in PERIODS]
        self.resolutions = [ResolutionDiscriminator(n_fft) for n_fft in RESOLUTIONS]

    def __call__(self, samples: mx.array) -> list[Opinion]:
        return [judge(samples) for judge in (*self.periods, *self.resolutions)]


def judges_loss(real: list[Opinion], made: list[Opinion]) -> mx.array:
    """What the judges learn by: a real sound scores one, a made one zero."""
    losses = [
        mx.square(r - 1).mean() + mx.square(m).mean() for (r, _), (m, _) in _pairs(real, made)
    ]
    return mx.stack(losses).mean()


def speaker_losses(real: list[Opinion], made: list[Opinion]) -> tuple[mx.array, mx.array]:
    """What the codec learns by: (to score one, to look the same to every layer of every judge).

    The second is relative to the size of what the layer sees in the real sound, so that no judge
    can make it smaller or larger than another's.
    """
    fooling, matching = [], []
    for (_, real_seen), (score, made_seen) in _pairs(real, made):
        fooling.append(mx.square(score - 1).mean())
        for r, m in zip(real_seen, made_seen, strict=True):
            r = mx.stop_gradient(r)
            matching.append(mx.abs(r - m).mean() / (mx.abs(r).mean() + 1e-6))
    return mx.stack(fooling).mean(), mx.stack(matching).mean()


def _pairs(real: list[Opinion], made: list[Opinion]) -> list[tuple[Opinion, Opinion]]:
    return list(zip(real, made, strict=True))


def _over_frames(conv: Conv1d, x: mx.array) -> mx.array:
    """x (B, frames, bins, C) → (B, frames, bins', C'), through a convolution to 3 C' channels.

    Frames are joined after it, where there is less to copy.
    """
    batch, frames, bins, channels = x.shape
    given = conv(x.reshape(batch * frames, bins, channels))
    given = given.reshape(batch, frames, given.shape[1], -1)
    given = mx.pad(given, [(0, 0), (1, 1), (0, 0), (0, 0)])
    before, own, after = mx.split(given, 3, axis=-1)
    return before[:, 2:] + own[:, 1:-1] + after[:, :frames]
