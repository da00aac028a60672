"""What nano is judged by: sentences of the split `eval`, and espeak-ng to compare with.

A folder of shards (render.py) → clips; clips → those that are to be told apart, and for each the
clip of another sentence to clone a voice from. All by fixed rules.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

import ear
import labels
from data import shards
from render import Job, speak
from spark_mlx.audio import files
from spark_mlx.errors import SparkError

Samples = npt.NDArray[np.float32]

SYLLABLES = 11  # of the chosen sentences, or as near as there are enough
SHORTEST_REFERENCE = 1.5  # seconds of a clip that a voice is cloned from


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A sentence of the corpus: samples (N,) at 16 kHz, full scale one, and its labels."""

    samples: Samples
    meta: Mapping[str, Any]

    @property
    def text(self) -> str:
        return str(self.meta["text"])


def load_clips(folder: Path, split: str = "eval") -> list[Clip]:
    """The clips of a split, in order.

    Raises:
        FileNotFoundError: there are none.
    """
    clips = []
    for path in shards(folder, split):
        with np.load(path, allow_pickle=False) as shard:
            sounds = np.split(shard["samples"], shard["offsets"][1:-1])
            metas = [json.loads(text) for text in shard["meta"].tolist()]
        pairs = zip(sounds, metas, strict=True)
        clips += [Clip(sound.astype(np.float32) / np.float32(32768), meta) for sound, meta in pairs]
    return clips


def choose(clips: Sequence[Clip], known: Container[str], count: int) -> list[Clip]:
    """The sentences to tell apart: those of about 11 syllables, the first of the split first.

    Only sentences whose every word is `known` to the recogniser, and no two with the same words.

    Raises:
        SparkError: there are not enough.
    """
    found: dict[str, Clip] = {}
    for clip in clips:
        said = ear.words(clip.text)
        if all(word in known for word in said):
            found.setdefault(" ".join(said), clip)
    # Sorting keeps the order of what is equally near.
    near = sorted(found.values(), key=lambda clip: abs(clip.meta["syllables"] - SYLLABLES))
    if len(near) < count:
        raise SparkError(f"only {len(near)} sentences can be recognised; {count} are needed")
    chosen = {id(clip) for clip in near[:count]}
    return [clip for clip in found.values() if id(clip) in chosen]


def references(clips: Sequence[Clip], pool: Sequence[Clip], seed: int) -> list[Clip]:
    """For each clip the one that its voice is cloned from: another sentence, 1.5 s or longer.

    All of the pool come before one comes again. The same seed and clips give the same.

    Raises:
        SparkError: the pool has no other sentence as long.
    """
    rng = random.Random(seed)
    long = [clip for clip in pool if clip.meta["seconds"] >= SHORTEST_REFERENCE]
    drawn: list[Clip] = []
    waiting: list[Clip] = []
    for clip in clips:
        if all(other.text == clip.text for other in waiting):
            waiting += rng.sample(long, len(long))
        place = next((i for i, other in enumerate(waiting) if other.text != clip.text), None)
        if place is None:
            raise SparkError(f"there is no clip of {SHORTEST_REFERENCE} s to clone a voice from")
        drawn.append(waiting.pop(place))
    return drawn


class Espeak:
    """espeak-ng's own speech, kept as wav files in a folder once it was made.

    Raises:
        SparkError: when called: espeak-ng is missing or failed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, text: str, gender: str, voice: str, pitch: int, speed: int) -> Samples:
        """Speaks `text` → (N,) at 16 kHz."""
        settings = json.dumps([text, voice, pitch, speed])
        path = self._folder / f"{hashlib.sha256(settings.encode()).hexdigest()[:20]}.wav"
        if not path.exists():
            clip = speak(Job("eval", text, gender, voice, pitch, speed))
            if clip is None:
                raise SparkError(f"espeak-ng has no voice in {text!r}")
            self._folder.mkdir(parents=True, exist_ok=True)
            files.write(path, clip[0].astype(np.float32) / np.float32(32768), labels.RATE)
        samples: Samples = soundfile.read(path, dtype="float32")[0]
        return samples

    def like(self, clip: Clip, text: str) -> Samples:
        """Speaks `text` as the clip was spoken."""
        meta = clip.meta
        settings = (meta["voice"], meta["pitch_setting"], meta["speed_setting"])
        return self(text, meta["gender"], *settings)
