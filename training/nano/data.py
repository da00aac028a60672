"""Rendered sentences → batches for the codec. The files are those of `render.py`.

What a step draws depends on the seed and the step alone, so nothing random has to be saved.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

HOP = 320
RATE = 16_000
# The listener's last frame hears so many samples more than the frame's own.
AHEAD = 80

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Segments of T frames.

    Attributes:
        samples: (B, T · 320 + 80), levelled.
        references: (B, R), another sentence in the same voice, as the speaker encoder hears it.
        phonemes, f0, phase: (B, T), see `teacher.Utterance`.
        said: (B, T), 0 where the sentence has already ended.
        speaker: (B,).
        clips, starts: (B,), which sentences, and from which frame on.
    """

    samples: Tensor
    references: Tensor
    phonemes: Tensor
    f0: Tensor
    phase: Tensor
    said: Tensor
    speaker: Tensor
    clips: Tensor
    starts: Tensor

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, f.name).to(device) for f in dataclasses.fields(self)))


class Clips:
    """The sentences of a split, opened and not read."""

    def __init__(self, folder: Path, split: str) -> None:
        path = folder / split
        self.pcm: Any = np.memmap(path.with_suffix(".pcm"), dtype="<i2", mode="r")
        with np.load(path.with_suffix(".npz")) as columns:
            self.columns: dict[str, Any] = dict(columns)
        lines = path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
        self.meta: list[dict[str, str]] = [json.loads(line) for line in lines]
        self.offsets = self.columns["offsets"]
        self.speaker = self.columns["speaker"]
        self.good = np.flatnonzero(self.columns.get("good", np.ones(len(self.speaker))))
        self._of_speaker = {n: np.flatnonzero(self.speaker == n) for n in set(self.speaker)}

    def __len__(self) -> int:
        return len(self.meta)

    def frames(self, i: int) -> int:
        """How many frames of 20 ms sentence i has."""
        return int(self.offsets[i + 1] - self.offsets[i])

    def samples(self, i: int) -> Floats:
        """Sentence i, (N,), full scale one."""
        pcm = self.pcm[self.offsets[i] * HOP : self.offsets[i + 1] * HOP]
        return pcm.astype(np.float32) / 32767

    def labels(self, name: str, i: int) -> npt.NDArray[Any]:
        """A column of labels of sentence i, (T,)."""
        column: npt.NDArray[Any] = self.columns[name][self.offsets[i] : self.offsets[i + 1]]
        return column

    def words(self, i: int) -> Floats:
        """The seconds at which the words of sentence i begin, and all end."""
        first, last = self.columns["word_offsets"][i : i + 2]
        seconds: Floats = self.columns["seconds"][first:last]
        return seconds

    def reference(self, i: int, rng: np.random.Generator, length: int) -> Floats:
        """`length` samples of another sentence of the same speaker, repeated if it is shorter."""
        other = int(rng.choice(self._of_speaker[self.speaker[i]]))
        return np.resize(self.samples(other), length)

    def batch(
        self, size: int, frames: int, seed: tuple[int, ...], reference: int = 3 * RATE
    ) -> Batch:
        """Draws `size` segments of `frames` frames; a shorter sentence is followed by hiss."""
        rng = np.random.default_rng(seed)
        chosen = rng.choice(self.good, size)
        rows: dict[str, list[Any]] = {f.name: [] for f in dataclasses.fields(Batch)}
        for i in chosen:
            start = int(rng.integers(0, max(1, self.frames(i) - frames + 1)))
            there = min(frames, self.frames(i) - start)
            sound = self.samples(i)[start * HOP : (start + frames) * HOP + AHEAD]
            hiss = 1e-3 * rng.standard_normal(frames * HOP + AHEAD - len(sound))
            rows["samples"].append(np.concatenate([sound, hiss.astype(np.float32)]))
            rows["references"].append(self.reference(i, rng, reference))
            for name in ("phonemes", "f0", "phase"):
                label = self.labels(name, i)[start : start + frames]
                rows[name].append(np.pad(label, (0, frames - there)))
            rows["said"].append(np.arange(frames) < there)
            rows["speaker"].append(self.speaker[i])
            rows["clips"].append(i)
            rows["starts"].append(start)
        columns = {name: torch.from_numpy(np.stack(row)) for name, row in rows.items()}
        columns["phonemes"] = columns["phonemes"].long()
        return Batch(**columns)
