"""A corpus as tokens: each sentence's semantic and global tokens, as the oracle makes them.

`encode` writes them beside the checkpoint; `Encoded` reads them back, and gives the wave generator
its batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data import HOP, Clips
from token_model import TokenModel

REFERENCE = 48_000  # samples that the speaker encoder hears


@torch.no_grad()
def encode(model: TokenModel, clips: Clips, path: Path, device: str = "cpu") -> None:
    """Writes `semantic` (all frames of all clips) and `speakers` (clips, G), int16."""
    model.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so few sentences at once are too little work to share
    semantic = np.zeros(clips.offsets[-1], np.int16)
    speakers = np.zeros((len(clips), model.speaker_encoder.tokens), np.int16)
    for group in alike(clips):
        # Sentences of one length, so that nothing has to be filled up.
        sounds = [clips.samples(i) for i in group]
        samples = torch.from_numpy(np.stack(sounds)).to(device)
        labels = [
            torch.from_numpy(np.stack([clips.labels(name, i) for i in group])).to(device)
            for name in ("phonemes", "f0", "phase")
        ]
        known = model.known(samples, *labels).cpu().numpy()
        heard = torch.from_numpy(np.stack([np.resize(sound, REFERENCE) for sound in sounds]))
        _, codes = model.speaker_encoder(model.speaker_mel(heard.to(device)))
        speakers[group] = codes.cpu().numpy()
        for i, tokens in zip(group, known, strict=True):
            semantic[clips.offsets[i] : clips.offsets[i + 1]] = tokens
    torch.set_num_threads(threads)
    np.savez(path, semantic=semantic, speakers=speakers)


def alike(clips: Clips, most: int = 32) -> Iterator[list[int]]:
    """The sentences in groups of equal length."""
    lengths = np.diff(clips.offsets)
    order = np.argsort(lengths, kind="stable")
    group: list[int] = []
    for i in order.tolist():
        if group and (lengths[i] != lengths[group[0]] or len(group) == most):
            yield group
            group = []
        group.append(i)
    yield group


@dataclasses.dataclass(frozen=True)
class Segments:
    """
    Attributes:
        tokens: (B, W), a window of semantic tokens, more than is heard.
        voices: (B, G), global tokens of another sentence of the same speaker.
        samples: (B, W · 320), of the window.
        first: the frame of the window from which on it is heard.
    """

    tokens: Tensor
    voices: Tensor
    samples: Tensor
    first: int


class Encoded:
    """The clips of a split with their tokens; all of it lies on the device that trains."""

    def __init__(self, clips: Clips, path: Path, device: str = "cpu") -> None:
        self.clips = clips
        with np.load(path) as columns:
            self.semantic, self.speakers = columns["semantic"], columns["speakers"]
        if len(self.semantic) != clips.offsets[-1]:
            raise ValueError(f"{path} is of another corpus; delete it")
        self._lengths = np.diff(clips.offsets)
        self._of = {n: np.flatnonzero(clips.speaker == n) for n in set(clips.speaker)}
        self._pcm = torch.from_numpy(np.array(clips.pcm)).to(device)
        self._tokens = torch.from_numpy(self.semantic).to(device)
        self._voices = torch.from_numpy(self.speakers).to(device)

    def tokens(self, i: int) -> npt.NDArray[np.int64]:
        return self.semantic[self.clips.offsets[i] : self.clips.offsets[i + 1]].astype(np.int64)

    def batch(self, size: int, frames: int, context: int, seed: tuple[int, ...]) -> Segments:
        """Segments from inside of sentences, or all from their beginnings, or their ends."""
        rng = np.random.default_rng(seed)
        window = frames + 2 * context
        where = str(rng.choice(["begin", "inside", "end"], p=[0.2, 0.6, 0.2]))
        first = {"begin": 0, "inside": context, "end": 2 * context}[where]
        long = self.clips.good[self._lengths[self.clips.good] >= window]
        chosen = rng.choice(long, size)
        spare = self._lengths[chosen] - window
        inside = (rng.random(size) * (spare + 1)).astype(np.int64)
        starts = self.clips.offsets[chosen] + {"begin": 0, "end": spare}.get(where, inside)
        others = [rng.choice(self._of[self.clips.speaker[i]]) for i in chosen]
        device = self._pcm.device
        begin = torch.from_numpy(starts).to(device)[:, None]
        sound = begin * HOP + torch.arange(window * HOP, device=device)
        return Segments(
            self._tokens[begin + torch.arange(window, device=device)].long(),
            self._voices[torch.tensor(np.array(others), device=device)].long(),
            self._pcm[sound].float() / 32767,
            first,
        )
