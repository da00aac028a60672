"""Judges nano on sentences and voices it never learnt from.

    python examples/nano/evaluate.py build/nano/model build/nano/audio build/nano/eval.json

MODEL AUDIO OUT.json → OUT.json with all numbers, OUT.md with a table of them and the sentences that
were to be told apart, and OUT/ with the sounds. AUDIO is what render.py made; of it, the split
`eval`. `--codec-only` judges a model that cannot speak yet; `--quick` takes a part of everything.

It needs espeak-ng and pocketsphinx: apt-get install espeak-ng; pip install 'spark-mlx[nano]'.
The same model gives the same figures, but for how quick it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

import ear
import spark_mlx
import trials
from clips import Clip, Espeak, Samples, choose, load_clips
from spark_mlx import audio
from spark_mlx.codec.codec import Codec
from spark_mlx.errors import GenerationError, SparkError
from spark_mlx.machine import machine
from spark_mlx.model_config import ModelConfig
from spark_mlx.paths import write_whole
from spark_mlx.pipeline import SparkTTS
from trials import Figure, Jury, Scale

SAYING = "Hello. This is a small model, speaking from your own machine."


def main(arguments: list[str] | None = None) -> None:
    """Judges, writes, and shows the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="the model folder")
    parser.add_argument("audio", type=Path, help="the folder of the shards")
    parser.add_argument("out", type=Path, help="the .json file to write; .md goes beside it")
    parser.add_argument("--codec-only", action="store_true", help="there is no language model yet")
    parser.add_argument("--quick", action="store_true", help="a part of everything: a minute")
    args = parser.parse_args(arguments)
    scale = trials.QUICK if args.quick else Scale()
    try:
        clips = load_clips(args.audio)
        chosen = choose(clips, ear.dictionary(), scale.sentences)
        work = args.out.with_suffix("")
        figures = judge(args.model, clips, chosen, scale, work, args.codec_only)
        report = {
            "model": dataclasses.asdict(ModelConfig.load(args.model).fingerprint),
            "machine": dataclasses.asdict(machine()),
            "scale": dataclasses.asdict(scale),
            "figures": [dataclasses.asdict(figure) for figure in figures],
            "sentences": [dict(clip.meta) for clip in chosen],
        }
        table = markdown(figures)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.out, json.dumps(report, indent=1, ensure_ascii=False).encode())
        write_whole(args.out.with_suffix(".md"), f"{table}\n{listed(chosen)}".encode())
    except (SparkError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    print(table, end="")


def judge(
    folder: Path,
    clips: Sequence[Clip],
    chosen: Sequence[Clip],
    scale: Scale,
    work: Path,
    codec_only: bool,
) -> list[Figure]:
    """All figures of the model in `folder`; progress goes to stderr.

    Args:
        clips: all there are to judge with; chosen: the sentences to tell apart.
        work: a folder for what espeak-ng and the model say.
    """
    espeak = Espeak(work / "espeak-ng")
    jury = Jury(chosen, espeak)
    if codec_only:
        _tell("the codec")
        return trials.codec_alone(Codec.load(folder, ModelConfig.load(folder)), chosen, jury)
    tts = spark_mlx.load(folder)
    _tell("words and clones")
    figures, said = trials.words_and_clones(tts, chosen, clips, jury, espeak, scale.clones)
    _keep(work / "said", chosen, said)
    _tell("the codec")
    figures += trials.codec_alone(tts.codec, chosen, jury)
    _tell("levels of pitch")
    figures.append(trials.pitch_follows(tts, chosen[: scale.texts], scale.seeds))
    _tell("levels of speed")
    figures.append(trials.speed_follows(tts, chosen[: scale.texts], scale.seeds))
    _tell("endings")
    figures += trials.endings(tts, clips[: scale.endings], espeak)
    figures.append(trials.lines_end(tts, chosen[: 2 * scale.lines], espeak))
    _tell("time")
    figures.append(quickness(tts, folder, scale.timings))
    return figures


def quickness(tts: SparkTTS, folder: Path, timings: int) -> Figure:
    """Seconds for each second of speech, on two cores: `say` in a process that has spoken before
    (this is judged), and the whole command `spark-mlx say`."""
    what, target = f"seconds for each second of speech, median of {timings}", "≤ 0.15"
    voice = tts.create_voice()
    warm, whole = [], []
    try:
        tts.say(SAYING, voice)
        for seed in range(timings):
            begun = time.perf_counter()
            speech = tts.say(SAYING, voice, seed=seed)
            warm.append((time.perf_counter() - begun) / speech.duration)
    except GenerationError as error:
        return Figure(what, "nothing was said", target, False, {"error": str(error)})
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "x.wav"
        words = ["say", SAYING, "-o", str(out), "--model", str(folder.resolve())]
        for seed in range(timings):
            begun = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "spark_mlx", *words, "--seed", str(seed)],
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = time.perf_counter() - begun
            if done.returncode:
                raise SparkError(f"spark-mlx say failed: {done.stderr.strip()}")
            whole.append(seconds / soundfile.info(out).duration)
    one, other = float(np.median(warm)), float(np.median(whole))
    numbers = {"warm": warm, "command": whole, "cores": len(_cores())}
    return Figure(what, f"{one:.2f} (the whole command: {other:.2f})", target, one <= 0.15, numbers)


def markdown(figures: Sequence[Figure]) -> str:
    """The figures as a table."""
    rows = [
        f"| {row.what} | {row.reached} | {row.target} | {'yes' if row.passed else 'no'} |"
        for row in figures
    ]
    return "\n".join(["| what | reached | target | passed |", "|---|---|---|---|", *rows, ""])


def listed(clips: Sequence[Clip]) -> str:
    """The sentences and who said them, as a list."""
    rows = [
        f"{i}. {clip.text} ({clip.meta['id']}, {clip.meta['voice']}, pitch "
        f"{clip.meta['pitch_setting']}, speed {clip.meta['speed_setting']})"
        for i, clip in enumerate(clips)
    ]
    return "\n".join([*rows, ""])


def two_cores() -> None:
    """Keeps this process and those it starts on two cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(_cores())[:2])


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _keep(folder: Path, clips: Sequence[Clip], sounds: Sequence[Samples]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for clip, sound in zip(clips, sounds, strict=True):
        audio.write(folder / f"{clip.meta['id']}.wav", sound, 16_000)


def _tell(what: str) -> None:
    print(f"judging: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    two_cores()
    main()
