"""Shards of rendered sentences → batches of segments for the codec.

A shard is `SPLIT-00000.npz`: `samples`, int16 at 16 kHz, all its sentences one after another;
`offsets` (n + 1,), where each begins and the last ends; `meta` (n,), a string of JSON each.
What a step draws depends on the seed and the step alone, so nothing random has to be saved.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from spark_mlx.audio import files
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.model.mel import MelSpectrogram

Samples = npt.NDArray[np.float32]
Meta = dict[str, Any]

# A shorter rest of a sentence says too little about its voice: then all of it is the reference.
SHORTEST_REFERENCE = 0.5  # seconds


def shards(folder: Path, split: str) -> list[Path]:
    """The shards of a split, in order.

    Raises:
        FileNotFoundError: there are none.
    """
    found = sorted(folder.glob(f"{split}-*.npz"))
    if not found:
        raise FileNotFoundError(f"{folder} holds no {split}-*.npz; make the corpus first")
    return found


class Corpus:
    """The sentences of some shards, as int16 in memory, levelled as they are asked for."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self._sounds: list[npt.NDArray[np.int16]] = []
        self.meta: list[Meta] = []
        for path in shards:
            with np.load(path, allow_pickle=False) as shard:
                self._sounds += np.split(shard["samples"], shard["offsets"][1:-1])
                self.meta += [json.loads(text) for text in shard["meta"].tolist()]
        self._gains: dict[int, tuple[float, float, float]] = {}

    def __len__(self) -> int:
        return len(self._sounds)

    def __getitem__(self, i: int) -> Samples:
        """Sentence i as the codec hears it: levelled, (N,), full scale one."""
        return self._scaled(i) * np.float32(self._measured(i)[0])

    def statistics(self, i: int) -> tuple[float, float]:
        """The mean and the deviation that the encoder normalises sentence i by."""
        return self._measured(i)[1:]

    def _scaled(self, i: int) -> Samples:
        return self._sounds[i].astype(np.float32) / 32768

    def _measured(self, i: int) -> tuple[float, float, float]:
        if i not in self._gains:  # levelling sorts all samples, which is worth doing once
            samples = self._scaled(i).astype(np.float64)
            peak = max(float(np.abs(samples).max()), files.SILENT_PEAK)
            gain = float(np.abs(files.level(samples)).max()) / peak
            deviation = float(np.sqrt(samples.var() * gain**2 + 1e-7))
            self._gains[i] = gain, float(samples.mean()) * gain, deviation
        return self._gains[i]


@dataclasses.dataclass(frozen=True)
class Segments:
    """What the codec is trained on in one step.

    Attributes:
        samples: what it should say, (B, T · hop).
        heard: what it hears, normalised, (B, a little more).
        mel: of each speaker's reference clip, (B, frames, mels).
    """

    samples: mx.array
    heard: mx.array
    mel: mx.array


class SegmentBatches:
    """Random segments of random sentences.

    A segment's reference is the rest of its sentence: the same voice in other words, so that the
    global tokens cannot carry what is said.
    """

    def __init__(
        self, corpus: Corpus, config: ModelConfig, batch: int, seconds: float, seed: int
    ) -> None:
        self._corpus, self._config = corpus, config
        self._batch, self._seed = batch, seed
        self._mel = MelSpectrogram(config.mel)
        self.frames = round(seconds * config.sample_rate) // config.hop
        # Without padding, the last frame's window reaches beyond its own hop.
        strides = np.cumprod([1, *config.wav2vec2.conv_stride[:-1]])
        reach = 1 + int(((np.array(config.wav2vec2.conv_kernel) - 1) * strides).sum())
        self._heard = (self.frames - 1) * config.hop + reach
        self._said = self.frames * config.hop

    def __call__(self, step: int) -> Segments:
        """The batch of a step; every sentence comes once an epoch, in an order of its own."""
        said, heard, clips = [], [], []
        rng = np.random.default_rng((self._seed, 1, step))
        for i in self._sentences(step):
            samples = self._corpus[i]
            start = int(rng.integers(0, max(1, len(samples) - self._said + 1)))
            end = start + max(self._heard, self._said)
            segment = np.pad(samples[start:end], (0, max(0, end - len(samples))))[: end - start]
            mean, deviation = self._corpus.statistics(i)
            said.append(segment[: self._said])
            heard.append((segment[: self._heard] - mean) / deviation)
            clips.append(self._reference(samples, start, start + self._said))
        mel = self._mel(mx.array(np.stack(clips)))
        heard_all = mx.array(np.stack(heard).astype(np.float32))
        return Segments(mx.array(np.stack(said)), heard_all, mel)

    def _sentences(self, step: int) -> list[int]:
        size = len(self._corpus)
        places = range(step * self._batch, (step + 1) * self._batch)
        orders = {
            epoch: np.random.default_rng((self._seed, 0, epoch)).permutation(size)
            for epoch in {place // size for place in places}
        }
        return [int(orders[place // size][place % size]) for place in places]

    def _reference(self, samples: Samples, start: int, end: int) -> Samples:
        rest = max(samples[:start], samples[end:], key=len)
        if len(rest) < SHORTEST_REFERENCE * self._config.sample_rate:
            rest = samples
        return files.speaker_clip(rest, self._config.reference_samples)
