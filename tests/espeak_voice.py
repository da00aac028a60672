"""espeak-ng's voices for tests: a sentence → samples at 16 kHz and what was measured in them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training" / "nano"))

import labels


@dataclasses.dataclass(frozen=True)
class Job:
    """A sentence and how to speak it."""

    id: str
    text: str
    gender: str
    voice: str  # as espeak-ng's -v takes it
    pitch: int
    speed: int


def speak(job: Job) -> tuple[npt.NDArray[np.int16], dict[str, float]]:
    """Samples (N,) and their mean F0 in Hz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "clip.wav"
        options = ["-v", job.voice, "-p", str(job.pitch), "-s", str(job.speed)]
        subprocess.run(
            ["espeak-ng", *options, "-w", str(wav), "--stdin"],
            input=job.text,
            text=True,
            check=True,
        )
        sound, rate = soundfile.read(wav, dtype="float32")
    sound, _ = labels.trim(soxr.resample(sound, rate, labels.RATE))
    samples = np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16)
    return samples, {"f0": round(labels.mean_f0(sound), 2)}
