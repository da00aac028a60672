"""Read a text file of any length into one sound file, paragraph by paragraph, in one voice.

    python examples/audiobook.py book.txt book.flac --voice alice --seed 3

Paragraphs are separated by empty lines. The same seed, model, voice and text give the same file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

import spark_mlx
from spark_mlx import voices

PAUSE = 0.7  # seconds between paragraphs


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a text file aloud into one sound file.")
    parser.add_argument("text", type=Path, help="a text file")
    parser.add_argument("output", type=Path, help="the sound file to write")
    parser.add_argument("--voice", help="a saved voice's name or an .npz file (a created one)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another reading")
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    arguments = parser.parse_args()

    paragraphs = read_paragraphs(arguments.text)
    tts = spark_mlx.load(arguments.model)
    # Created once: each creation gives another voice.
    voice = voices.find(arguments.voice) if arguments.voice else tts.create_voice()
    pause = np.zeros(int(PAUSE * tts.sample_rate), dtype=np.float32)
    parts = []
    for paragraph in tqdm(paragraphs, unit="paragraph", disable=None):
        speech = tts.say(paragraph, voice=voice, seed=arguments.seed)
        for warning in speech.warnings:
            tqdm.write(warning, file=sys.stderr)
        parts += [speech.samples, pause]
    book = spark_mlx.Speech(np.concatenate(parts[:-1]), tts.sample_rate)
    book.save(arguments.output)
    print(f"{arguments.output}: {len(paragraphs)} paragraphs, {book.duration:.1f} s")


def read_paragraphs(path: Path) -> list[str]:
    """Split into paragraphs that hold words; a row of asterisks between chapters does not."""
    blocks = path.read_text(encoding="utf-8").replace("\r\n", "\n").split("\n\n")
    paragraphs = [block for block in blocks if any(c.isalnum() for c in block)]
    if not paragraphs:
        sys.exit(f"{path} holds nothing to read; give it some words")
    return paragraphs


if __name__ == "__main__":
    main()
