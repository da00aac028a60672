"""Speak a text and draw it: a sound file, and its spectrogram above the words.

    python benchmarks/draw_speech.py "Good morning." docs/nano-sample.flac docs/nano-sample.png

The picture shows 0 to 8 kHz over time, 80 dB below the loudest point. Needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

import spark_mlx
from spark_mlx import voices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW, HOP = 512, 80  # 32 ms every 5 ms
RANGE = 80  # dB


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak a text and draw its spectrogram.")
    parser.add_argument("text", help="what to say")
    parser.add_argument("sound", type=Path, help="the sound file to write")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--voice", help="a saved voice's name or an .npz file (a created one)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another reading")
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    arguments = parser.parse_args()

    tts = spark_mlx.load(arguments.model)
    voice = voices.find(arguments.voice) if arguments.voice else tts.create_voice()
    speech = tts.say(arguments.text, voice=voice, seed=arguments.seed)
    speech.save(arguments.sound)
    draw(speech, arguments.picture)
    print(f"{arguments.sound}: {speech.duration:.2f} s as {voice.name}")


def draw(speech: spark_mlx.Speech, path: Path) -> None:
    """Write the spectrogram with each sentence below its stretch of time."""
    from matplotlib import pyplot
    from PIL import Image

    figure, axes = pyplot.subplots(figsize=(10, 3.2), layout="constrained")
    axes.imshow(
        decibels(speech.samples),
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, speech.duration, 0, speech.sample_rate / 2000),
    )
    axes.set_xlabel("seconds")
    axes.set_ylabel("kHz")
    label_sentences(axes, speech)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)  # a third of the size


def label_sentences(axes: Axes, speech: spark_mlx.Speech) -> None:
    """Name the sentences above the picture, each from where it begins."""
    for sentence in speech.sentences:
        axes.axvline(sentence.start, color="white", linewidth=0.6, alpha=0.6)
        axes.text(sentence.start, 8.15, sentence.text, fontsize=9, ha="left", va="bottom")


def decibels(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Magnitudes of a short-time Fourier transform, (bins, frames), 0 at the loudest point."""
    padded = np.pad(samples, (0, WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)).T
    level = 20 * np.log10(np.maximum(spectrum, 1e-9) / spectrum.max())
    return np.maximum(level, -RANGE).astype(np.float32)


if __name__ == "__main__":
    main()
