"""Does live speech hold? Reads aloud for minutes to a card that is a file, and compares.

    python benchmarks/soak_speech.py --minutes 10

Needs Linux and PortAudio. What came out of the device has to be, sample for sample, what the model
gave: nothing lost, nothing twice, no gap that was not spoken.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from card import FRAME, Card

PLACES = ("in the park", "at the station", "by the river", "on the hill", "near the old mill")
THINGS = ("a small brown dog", "her eldest brother", "the man with the letter", "an empty boat")
DONE = ("was waiting for us", "came back at seven", "could not be found", "looked very tired")


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads aloud for minutes.")
    parser.add_argument("--minutes", type=float, default=1.0, help="of speech (1)")
    parser.add_argument("--speed", type=float, default=1.0, help="of the card (1)")
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak") as name:
        card = Card(Path(name), arguments.speed, keep=True)
        os.environ["ALSA_CONFIG_PATH"] = str(card.config)
        try:
            read(card, arguments.model, 60 * arguments.minutes)
        finally:
            card.close()


def read(card: Card, model: str | None, seconds: float) -> None:
    """Plays sentences for so many seconds, and prints how that went."""
    # Not above: they load PortAudio, which reads ALSA's configuration then.
    import spark_mlx
    from soak_playback import memory
    from spark_mlx import voices
    from spark_mlx.speech import Chunk
    from spark_mlx.speech_queue.service import SpeechQueue
    from spark_mlx.tts import SparkTTS

    made: list[np.ndarray] = []
    used: list[float] = []
    bar = tqdm(total=round(seconds), unit="s", disable=None)

    def make(tts: SparkTTS, stop: threading.Event) -> Iterator[Chunk]:
        voice = voices.preset(tts.codec.fingerprint) or tts.create_voice()
        length = 0.0
        for chunk in tts.stream(text(seconds), voice, stop=stop):
            made.append(chunk.samples)
            length += len(chunk.samples) / chunk.sample_rate
            yield chunk
            if length > seconds:
                return

    def watch(chunk: Chunk, heard: float) -> None:
        while heard > len(used):  # once a second
            # What is kept here to be compared does not count.
            kept = len(card.played) + sum(samples.nbytes for samples in made)
            used.append(memory() - kept / 1e6)
            bar.update(1)

    with SpeechQueue(lambda: spark_mlx.load(model)) as speech:
        report = speech.play(make, watch=watch)
    bar.close()
    meant = np.concatenate(made)
    played = np.frombuffer(bytes(card.played), np.float32).reshape(-1, FRAME // 4)[:, 0]
    start = sounding(played)[0] - sounding(meant)[0]
    found = played[max(start, 0) : start + len(meant)]
    print(f"spoken      {report.duration:.1f} s, {len(report.sentences)} sentences")
    print(f"first       {1e3 * report.first:.0f} ms after loading")
    print(f"underruns   {report.underruns}")
    print(f"waits       {report.waits}")
    print(f"work        {report.real_time_factor:.3f} s for each second of speech")
    print(f"memory      {np.median(used[: len(used) // 2]):.0f} MB in the first half, ", end="")
    print(f"{np.median(used[len(used) // 2 :]):.0f} MB in the second")
    same = len(found) == len(meant) and np.abs(found - meant).max() < 1e-6
    print("the file    " + ("equals the chunks" if same else "differs from the chunks"))
    sys.exit(not same)


def text(seconds: float) -> str:
    """Sentences for longer than that, no two alike while there are others."""
    rows = itertools.cycle(itertools.product(THINGS, DONE, PLACES))
    count = round(seconds)  # a sentence takes two seconds or more
    return " ".join(
        f"{thing.capitalize()} {done} {place}."
        for thing, done, place in itertools.islice(rows, count)
    )


def sounding(samples: np.ndarray) -> np.ndarray:
    """The places of samples that are not silent."""
    return np.flatnonzero(np.abs(samples) > 0)


if __name__ == "__main__":
    main()
