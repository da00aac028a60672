"""What makes tokens of what the teacher tells, and what training asks of them, in torch.

Phonemes, F0 and phase (B, T) and samples (B, N) → latents → codes (B, T). From each code by itself
a phoneme, the F0 and the phase are told; from all of them, with who speaks, the spectrum.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mel import LogMel, SpeakerMel
from sizes import Sizes
from speaking import Prenet
from tokens import SemanticQuantizer
from vocos import VocosBackbone
from voice_encoder import SpeakerEncoder

PHONEMES = 178  # of the teacher's alphabet
SPEAKERS = 64
MELS, STEPS = 64, 4  # bands of the spectrum, and how often in a frame it is taken
HERTZ = 200.0  # F0 is told in octaves from here


class Oracle(nn.Module):
    """What the teacher knows of each frame → latents (B, T, codebook_dim).

    Phonemes, F0, phase (B, T) and log-mel spectra (B, T · STEPS, MELS).
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        dim = sizes.width
        self.phoneme = nn.Embedding(PHONEMES, dim)
        self.mel = nn.Linear(MELS * STEPS, dim)
        self.voice = nn.Linear(4, dim)
        self.backbone = VocosBackbone(dim, dim, 3 * dim, 3)
        self.project = nn.Linear(dim, sizes.codebook_dim)

    def forward(self, phonemes: Tensor, f0: Tensor, phase: Tensor, mel: Tensor) -> Tensor:
        voiced = f0 > 0
        turn = 2 * math.pi * phase
        curve = torch.stack([voiced, octaves(f0), turn.cos(), turn.sin()], dim=-1)
        x = self.phoneme(phonemes) + self.voice(curve * voiced[..., None])
        x = x + self.mel(mel.reshape(*phonemes.shape, -1))
        return self.project(self.backbone(x.transpose(1, 2)))


def octaves(f0: Tensor) -> Tensor:
    """F0 in octaves from a place in the middle; where there is no voice it means nothing."""
    return torch.log2(f0.clamp(min=30.0) / HERTZ)


class TokenModel(nn.Module):
    """All that makes tokens, with the prenet and the heads that training asks."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.oracle = Oracle(sizes)
        self.quantizer = SemanticQuantizer(sizes.codebook_size, sizes.codebook_dim, sizes.width)
        self.speaker_encoder = SpeakerEncoder(sizes.voice)
        self.prenet = Prenet(sizes)
        wide = 2 * sizes.width
        # For one token: a phoneme; voiced or not, octaves, and the phase's cosine and sine.
        self.tell = nn.Sequential(
            nn.Linear(sizes.width, wide), nn.GELU(), nn.Linear(wide, PHONEMES + 4)
        )
        self.spectrum = nn.Conv1d(sizes.speaking.out_channels, MELS * STEPS, 1)
        # For a voice: its mean F0 in octaves, and which it is.
        self.who = nn.Linear(sizes.voice.out_dim, 1 + SPEAKERS)
        self.speaker_mel = SpeakerMel(sizes.sample_rate, sizes.hop)
        self.log_mel = LogMel(512, sizes.hop // STEPS, 400, MELS)

    def known(self, samples: Tensor, phonemes: Tensor, f0: Tensor, phase: Tensor) -> Tensor:
        """A sentence (B, N) and the teacher's labels (B, T) → the oracle's tokens (B, T)."""
        mel = self.log_mel(samples)[:, : phonemes.shape[1] * STEPS]
        return self.quantizer.nearest(self.oracle(phonemes.long(), f0, phase, mel))
