"""Speaks sentences with espeak-ng, in many voices, and labels what it said.

    python examples/nano/render.py build/nano/sentences.jsonl build/nano/audio --hours 12 --jobs 2

Sentences (from corpus.py) → OUTDIR/SPLIT-00000.npz, each of some 500 clips:

    samples   int16 (N,)     16 kHz, the clips one after another
    offsets   int64 (n + 1,) clip i is samples[offsets[i] : offsets[i + 1]]
    meta      str (n,)       JSON of each clip: id, text, voice, gender, pitch_setting,
                             speed_setting, f0 (Hz), syllables, seconds, pitch_value, speed_value,
                             pitch_label, speed_label; see labels.py

and OUTDIR/labels.json with the settings and the thresholds of the levels, which come from the
first training clips. Clips keep at most 50 ms of silence at their ends; `seconds` does not count
it. valid and eval are rendered in full; train until about --hours, again in other voices (with
"+2" and so on after the id) where the sentences do not suffice. eval has voices of its own.
What each clip is spoken with follows from the seed and its id. A finished shard is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import multiprocessing
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

import labels
from spark_mlx.errors import SparkError
from spark_mlx.paths import write_whole

Clip: TypeAlias = tuple[npt.NDArray[np.int16], dict[str, Any]]

# American and British. Version 1.51 ignores the variant after "en-gb+", but not after "en+".
ACCENTS = ("en-us", "en")
VOICES = {"female": ("f1", "f2", "f3", "f5"), "male": ("m1", "m2", "m3", "m5", "m6", "m7")}
# Nothing that a model learns from is spoken by these.
UNSEEN = {"female": ("f4",), "male": ("m4", "m8")}
PITCHES = (5, 95)  # of espeak-ng's -p, 0 … 99
SPEEDS = (100, 320)  # of espeak-ng's -s, words a minute
PILOT = 1000  # clips that the thresholds of the levels come from


@dataclass(frozen=True)
class Job:
    """A clip to be made: a sentence and how to speak it."""

    id: str
    text: str
    gender: str
    voice: str  # as espeak-ng's -v takes it
    pitch: int
    speed: int


def main(arguments: list[str] | None = None) -> None:
    """Renders what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sentences", type=Path, help="the .jsonl file of corpus.py")
    parser.add_argument("out", type=Path, help="the folder for the shards")
    parser.add_argument("--hours", type=float, default=12.0, help="of training speech, about")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard", type=int, default=500, help="clips in a file")
    args = parser.parse_args(arguments)
    try:
        render(args.sentences, args.out, args.hours, args.jobs, args.seed, args.shard)
    except (SparkError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


def render(source: Path, out: Path, hours: float, jobs: int, seed: int, shard: int) -> None:
    """Renders `source` into `out`; progress goes to stderr."""
    if shutil.which("espeak-ng") is None:
        raise SparkError("espeak-ng is missing; apt-get install espeak-ng")
    text = source.read_bytes()
    rows = [json.loads(line) for line in text.splitlines()]
    out.mkdir(parents=True, exist_ok=True)
    settings = {"seed": seed, "shard": shard, "sentences": hashlib.sha256(text).hexdigest()}
    # A fresh interpreter each: threads of this one must not be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        file = out / "labels.json"
        if not file.exists():
            write_whole(file, json.dumps(_pilot(rows, settings, pool), indent=1).encode())
        stored = json.loads(file.read_text())
        if {key: stored[key] for key in settings} != settings:
            raise SparkError(f"{out} holds other sentences or settings; give an empty folder")
        thresholds = labels.Thresholds.from_dict(stored["thresholds"])

        todo: dict[Path, list[Job]] = {}
        for split in ("eval", "valid", "train"):
            mine = [row for row in rows if row["split"] == split]
            count = len(mine)
            if split == "train" and count:  # whole shards, so that more hours add to them
                clips = hours * 3600 / stored["mean_seconds"]
                count = shard * max(1, round(clips / shard))
            for number, start in enumerate(range(0, count, shard)):
                path = out / f"{split}-{number:05}.npz"
                if not path.exists():
                    end = min(start + shard, count)
                    todo[path] = [plan(mine, i, seed) for i in range(start, end)]
        begun, seconds, clips = time.perf_counter(), 0.0, 0
        work = partial(make_shard, thresholds=thresholds)
        for path, (number, length) in zip(todo, pool.map(work, todo, todo.values()), strict=True):
            clips, seconds = clips + number, seconds + length
            rate = clips / (time.perf_counter() - begun)
            said = f"{path.name}: {seconds / 3600:.2f} h so far, {rate:.0f} clips/s"
            print(said, file=sys.stderr)


def plan(rows: Sequence[dict[str, str]], index: int, seed: int) -> Job:
    """Clip `index` of a split whose sentences are `rows`: the same for the same seed."""
    take, row = index // len(rows) + 1, rows[index % len(rows)]
    name = row["id"] + (f"+{take}" if take > 1 else "")
    rng = random.Random(f"{seed} {name}")
    gender = rng.choice(("female", "male"))
    variant = rng.choice((UNSEEN if row["split"] == "eval" else VOICES)[gender])
    voice = f"{rng.choice(ACCENTS)}+{variant}"
    return Job(name, row["text"], gender, voice, rng.randint(*PITCHES), rng.randint(*SPEEDS))


def speak(job: Job) -> Clip | None:
    """Speaks and measures a clip, all but its levels; None where there is no voice in it."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "clip.wav"
        options = ["-v", job.voice, "-p", str(job.pitch), "-s", str(job.speed)]
        done = subprocess.run(
            ["espeak-ng", *options, "--ipa", "--sep=_", "-w", str(wav), "--stdin"],
            input=job.text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not wav.exists():
            raise SparkError(f"espeak-ng could not speak {job.text!r}: {done.stderr.strip()}")
        sound, rate = soundfile.read(wav, dtype="float32")
    sound, seconds = labels.trim(soxr.resample(sound, rate, labels.RATE))
    count, f0 = labels.syllables(done.stdout), labels.mean_f0(sound)
    if not (count and f0):
        return None
    meta = {
        "id": job.id,
        "text": job.text,
        "voice": job.voice,
        "gender": job.gender,
        "pitch_setting": job.pitch,
        "speed_setting": job.speed,
        "f0": round(f0, 2),
        "syllables": count,
        "seconds": round(seconds, 4),
        "pitch_value": labels.pitch_value(f0),
        "speed_value": labels.speed_value(count / seconds),
    }
    return np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16), meta


def make_shard(path: Path, jobs: list[Job], thresholds: labels.Thresholds) -> tuple[int, float]:
    """Writes a shard → its clips and their seconds in all."""
    clips = [clip for clip in map(speak, jobs) if clip is not None]
    texts = []
    for _, meta in clips:
        rate = meta["syllables"] / meta["seconds"]
        levels = {
            "pitch_label": thresholds.pitch_label(meta["gender"], meta["f0"]),
            "speed_label": thresholds.speed_label(rate),
        }
        texts.append(json.dumps(meta | levels))
    lengths = [len(samples) for samples, _ in clips]
    data = io.BytesIO()
    np.savez(
        data,
        samples=np.concatenate([samples for samples, _ in clips]),
        offsets=np.cumsum([0, *lengths], dtype=np.int64),
        meta=np.array(texts),
    )
    write_whole(path, data.getvalue())
    return len(clips), sum(lengths) / labels.RATE


def _measure(job: Job) -> dict[str, Any] | None:
    """What a clip measures, without its samples."""
    clip = speak(job)
    return None if clip is None else clip[1] | {"length": len(clip[0]) / labels.RATE}


def _pilot(
    rows: list[dict[str, str]], settings: dict[str, Any], pool: ProcessPoolExecutor
) -> dict[str, Any]:
    """The levels' thresholds and the mean length in seconds, from the first training clips."""
    train = [row for row in rows if row["split"] == "train"] or rows
    jobs = [plan(train, i, settings["seed"]) for i in range(PILOT)]
    found = [meta for meta in pool.map(_measure, jobs, chunksize=20) if meta is not None]
    thresholds = labels.Thresholds.fit(
        [meta["gender"] for meta in found],
        [meta["f0"] for meta in found],
        [meta["syllables"] / meta["seconds"] for meta in found],
    )
    mean = math.fsum(meta["length"] for meta in found) / len(found)
    return settings | {
        "levels": labels.LEVELS,
        "thresholds": thresholds.to_dict(),
        "pilot": len(found),
        "mean_seconds": round(mean, 4),
        "voices": VOICES,
        "unseen_voices": UNSEEN,
        "accents": ACCENTS,
        "pitch_settings": PITCHES,
        "speed_settings": SPEEDS,
    }


if __name__ == "__main__":
    main()
