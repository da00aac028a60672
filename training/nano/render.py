"""Has the teacher speak the sentences of a corpus, and keeps what it tells about them.

    python training/nano/render.py build/nano/sentences.jsonl build/nano/audio --hours 12

For each split three files: `train.pcm`, all samples at 16 kHz as int16; `train.npz`, the labels of
each 20 ms (`phonemes`, `f0`, `phase`) and, by clip, the `offsets` of its frames in them (n + 1,),
its `speaker`, and the `seconds` at which its words begin, with `word_offsets`; `train.jsonl`, each
clip's text and phonemes. The train split holds as many hours as are asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import random
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from teacher import HOP, RATE, Floats, Teacher, Utterance
from voices import SPEEDS, Speaker, draw, speakers

MARGIN = 4  # frames of silence that stay at either end
_QUIET = 4e-3  # root mean square below which a frame is silence
PORTION = 256  # sentences that are spoken before the hours are counted again
LOUDNESS = 0.2  # to which `level` brings a clip


Spoken = tuple[str, Speaker, Utterance]  # phonemes, who says them, and what was said


def main() -> None:
    parser = argparse.ArgumentParser(description="Renders a corpus with the teacher's voice.")
    parser.add_argument("sentences", type=Path, help="the .jsonl file of corpus.py")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--hours", type=float, default=12.0, help="of the train split (12)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in given.sentences.read_text(encoding="utf-8").splitlines()]
    # A fresh interpreter each: threads of this one must not be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, context) as pool:
        for split in ("eval", "valid", "train"):
            hours = given.hours if split == "train" else float("inf")
            chosen = [row for row in rows if row["split"] == split]
            if chosen:
                render(pool, chosen, given.out / split, hours)


def render(pool: Executor, rows: list[dict[str, str]], out: Path, hours: float) -> None:
    """Speaks rows until the hours are full, and writes `out` with three endings."""
    writer, began = Writer(out), time.monotonic()
    # In portions, so that not much more is spoken than is asked for.
    for first in range(0, len(rows), PORTION):
        portion = rows[first : first + PORTION]
        for row, spoken in zip(portion, pool.map(one, portion, chunksize=16), strict=True):
            if spoken is not None and writer.seconds < hours * 3600:
                writer.add(row, *spoken)
        if writer.seconds >= hours * 3600:
            break
    writer.close()
    pace = writer.seconds / (time.monotonic() - began)
    print(f"{out.name}: {writer.seconds / 3600:.2f} h, {pace:.0f} s a second", file=sys.stderr)


@functools.cache
def teacher() -> Teacher:
    """This process's own."""
    return Teacher()


def one(row: dict[str, str]) -> Spoken | None:
    """A row in a voice that its name decides; None when the teacher has nothing to say."""
    rng = random.Random(row["id"])
    judged = row["split"] == "eval"
    speaker = draw([s for s in speakers() if s.number == 0 or s.held_out == judged], rng)
    style = dataclasses.replace(speaker.style, speed=rng.uniform(*SPEEDS))
    phonemes = teacher().phonemes(row["text"])
    if not phonemes:
        return None
    utterance = trimmed(teacher().speak(phonemes, style, rng.getrandbits(32)))
    return (phonemes, speaker, utterance) if utterance else None


def trimmed(whole: Utterance) -> Utterance | None:
    """The same with next to no silence at its ends, at the common loudness."""
    frames = whole.samples.reshape(-1, HOP)
    loud = np.flatnonzero(np.sqrt(np.square(frames).mean(axis=1)) > _QUIET)
    if len(loud) < 10:
        return None
    first, last = max(loud[0] - MARGIN, 0), min(loud[-1] + 1 + MARGIN, len(frames))
    return Utterance(
        level(frames[first:last].reshape(-1)),
        whole.phonemes[first:last],
        whole.f0[first:last],
        whole.phase[first:last],
        np.clip(whole.words - first * HOP / RATE, 0, (last - first) * HOP / RATE),
    )


def level(samples: Floats) -> Floats:
    """Samples at the loudness to which the runtime brings a recording before it is cloned.

    Loudness is the mean of the magnitudes between the 90th and 99th percentile of those above 0.01.
    """
    magnitudes = np.sort(np.abs(samples))
    audible = magnitudes[magnitudes > 0.01]
    count = len(audible)
    gain = LOUDNESS / audible[int(0.9 * count) : int(0.99 * count)].mean()
    return samples * np.float32(min(gain, 1 / magnitudes[-1]))


class Writer:
    """The three files of a split, sound by sound."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._pcm = out.with_suffix(".pcm").open("wb")
        self._arrays: dict[str, list[Any]] = {
            name: [] for name in ("phonemes", "f0", "phase", "seconds")
        }
        self._speakers: list[int] = []
        self._lines: list[str] = []
        self.seconds = 0.0

    def add(
        self, row: dict[str, str], phonemes: str, speaker: Speaker, utterance: Utterance
    ) -> None:
        pcm = np.rint(utterance.samples * 32767).astype("<i2")
        self._pcm.write(pcm.tobytes())
        self._arrays["phonemes"].append(utterance.phonemes.astype(np.uint8))
        self._arrays["f0"].append(utterance.f0)
        self._arrays["phase"].append(utterance.phase)
        self._arrays["seconds"].append(utterance.words)
        self._speakers.append(speaker.number)
        line = {"id": row["id"], "text": row["text"], "phonemes": phonemes}
        self._lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        self.seconds += len(pcm) / RATE

    def close(self) -> None:
        self._pcm.close()
        columns = {name: np.concatenate(parts) for name, parts in self._arrays.items()}
        columns["offsets"] = _offsets(self._arrays["phonemes"])
        columns["word_offsets"] = _offsets(self._arrays["seconds"])
        columns["speaker"] = np.array(self._speakers, np.int32)
        np.savez(self._out.with_suffix(".npz"), **columns)
        self._out.with_suffix(".jsonl").write_text("".join(self._lines), encoding="utf-8")


def _offsets(parts: list[Any]) -> Any:
    return np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64)


if __name__ == "__main__":
    main()
