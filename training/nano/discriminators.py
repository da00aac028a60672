"""Judges of whether a sound is real: samples (B, N) → scores and features, of many judges.

A period discriminator looks at every p-th sample, which shows whether a voice is truly periodic
(Kong et al., "HiFi-GAN", 2020). A resolution discriminator looks at a spectrogram as an image,
which shows whether harmonics are sharp (Jang et al., "UnivNet", 2021). They are small, and take no
part in speaking. Targets are the squares of LSGAN (Mao et al., 2017), as in HiFi-GAN.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from mel import Magnitudes

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = (512, 1024, 2048)
# A judge's opinion: the score, and what each layer saw on the way.
Opinion = tuple[Tensor, list[Tensor]]


class PeriodDiscriminator(nn.Module):
    """Folds time into rows of `period` samples and convolves down each column."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 4 * width, 4 * width)
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(i, o, 5, stride=3, padding=2))
            for i, o in itertools.pairwise(widths)
        )
        self.score = weight_norm(nn.Conv1d(widths[-1], 1, 3, padding=1))
        self._period = period

    def forward(self, samples: Tensor) -> Opinion:
        batch, length = samples.shape
        rows = length // self._period
        x = samples[:, : rows * self._period].view(batch, rows, self._period)
        x = x.transpose(1, 2).reshape(batch * self._period, 1, rows)
        features = []
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), 0.1)
            features.append(x)
        return self.score(x), features


class ResolutionDiscriminator(nn.Module):
    """Convolves a log spectrogram over 3 frames and some bins, with fewer bins each time."""

    STRIDES = (4, 2, 2)

    def __init__(self, window: int, width: int) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 2 * width)
        self._magnitudes = Magnitudes(window, window // 4, window)
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(i, o, (3, 2 * s + 1), stride=(1, s), padding=(1, s)))
            for i, o, s in zip(widths[:-1], widths[1:], self.STRIDES, strict=True)
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, samples: Tensor) -> Opinion:
        x = (torch.log(self._magnitudes(samples)[:, None] + 1e-2) + 1.5) / 2
        features = []
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), 0.1)
            features.append(x)
        return self.score(x), features


class Discriminators(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, width) for period in PERIODS),
                *(ResolutionDiscriminator(window, width) for window in RESOLUTIONS),
            ]
        )

    def forward(self, samples: Tensor) -> list[Opinion]:
        return [judge(samples) for judge in self.judges]


def judges_loss(real: list[Opinion], made: list[Opinion]) -> Tensor:
    """What the judges learn by: a real sound scores one, a made one zero."""
    pairs = zip(real, made, strict=True)
    losses = [
        (r.float() - 1).square().mean() + m.float().square().mean() for (r, _), (m, _) in pairs
    ]
    return torch.stack(losses).mean()


def speaker_losses(real: list[Opinion], made: list[Opinion]) -> tuple[Tensor, Tensor]:
    """What the decoder learns by: (to score one, to look the same to every layer of every judge).

    The second is relative to the size of what the layer sees in the real sound, so that no judge
    can make it smaller or larger than another's.
    """
    fooling, matching = [], []
    for (_, real_seen), (score, made_seen) in zip(real, made, strict=True):
        fooling.append((score.float() - 1).square().mean())
        for r, m in zip(real_seen, made_seen, strict=True):
            r = r.detach().float()
            matching.append((r - m.float()).abs().mean() / (r.abs().mean() + 1e-6))
    return torch.stack(fooling).mean(), torch.stack(matching).mean()
