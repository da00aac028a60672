"""A corpus as tokens: each sentence's semantic and global tokens, as the oracle makes them.

`encode` writes them beside the checkpoint; `Encoded` reads them back, and gives the wave generator
its batches.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data import HOP, Clips
from train_tokens import TokenModel

REFERENCE = 48_000  # samples that the speaker encoder hears


@torch.no_grad()
def encode(model: TokenModel, clips: Clips, path: Path, device: str = "cpu") -> None:
    """Writes `semantic` (all frames of all clips) and `speakers` (clips, G), int16."""
    model.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a sentence is too little work to share
    semantic, speakers = [], []
    for i in range(len(clips)):
        sound = clips.samples(i)
        samples = torch.from_numpy(sound)[None].to(device)
        labels = [
            torch.from_numpy(clips.labels(name, i))[None].to(device)
            for name in ("phonemes", "f0", "phase")
        ]
        semantic.append(model.known(samples, *labels)[0].cpu().numpy().astype(np.int16))
        clip = torch.from_numpy(np.resize(sound, REFERENCE))[None].to(device)
        _, codes = model.speaker_encoder(model.speaker_mel(clip))
        speakers.append(codes[0].cpu().numpy().astype(np.int16))
    torch.set_num_threads(threads)
    np.savez(path, semantic=np.concatenate(semantic), speakers=np.stack(speakers))


@dataclasses.dataclass(frozen=True)
class Segments:
    """
    Attributes:
        tokens: (B, W), a window of semantic tokens, more than is heard.
        voices: (B, G), global tokens of another sentence of the same speaker.
        samples: (B, T · 320), of the frames from `first` on.
    """

    tokens: Tensor
    voices: Tensor
    samples: Tensor
    first: int


class Encoded:
    """The clips of a split with their tokens."""

    def __init__(self, clips: Clips, path: Path) -> None:
        self.clips = clips
        with np.load(path) as columns:
            self.semantic, self.speakers = columns["semantic"], columns["speakers"]
        if len(self.semantic) != clips.offsets[-1]:
            raise ValueError(f"{path} is of another corpus; delete it")
        self._lengths = np.diff(clips.offsets)
        self._of = {n: np.flatnonzero(clips.speaker == n) for n in set(clips.speaker)}

    def tokens(self, i: int) -> np.ndarray:
        return self.semantic[self.clips.offsets[i] : self.clips.offsets[i + 1]].astype(np.int64)

    def batch(self, size: int, frames: int, context: int, seed: tuple[int, ...]) -> Segments:
        """Segments from inside of sentences, or all from their beginnings, or their ends."""
        rng = np.random.default_rng(seed)
        window = frames + 2 * context
        where = rng.choice(["begin", "inside", "end"], p=[0.2, 0.6, 0.2])
        first = {"begin": 0, "inside": context, "end": 2 * context}[str(where)]
        long = self.clips.good[self._lengths[self.clips.good] >= window]
        tokens, voices, samples = [], [], []
        speaker = self.clips.speaker
        for i in rng.choice(long, size):
            spare = int(self._lengths[i]) - window
            start = {"begin": 0, "end": spare}.get(str(where), int(rng.integers(0, spare + 1)))
            tokens.append(self.tokens(i)[start : start + window])
            voices.append(self.speakers[rng.choice(self._of[speaker[i]])].astype(np.int64))
            sound = self.clips.samples(i)
            samples.append(sound[(start + first) * HOP : (start + first + frames) * HOP])
        stacks = (torch.from_numpy(np.stack(rows)) for rows in (tokens, voices, samples))
        return Segments(*stacks, first)
