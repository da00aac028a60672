"""Judges a model folder as its users hear it, by `judges.py`, and prints a table.

    python training/nano/evaluate.py spark_mlx/nano build/nano/evaluation.json

Unseen everyday sentences (`unseen.txt`) in four presets; the codec's copies of the teacher; the
teacher and espeak-ng themselves, by the same judges; clones of voices that were never trained on;
whether pitch and speed follow their labels; whether many sentences end; how long one takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import logging
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import spark_mlx
from judges import Critic, Recogniser, rate
from labels import LEVELS, f0_track, mean_f0, speech_span
from spark_mlx import voices as presets

Floats = npt.NDArray[np.float32]
RATE = 16_000
UNSEEN = Path(__file__).with_name("unseen.txt")
PRESETS = ("ada", "iris", "bruno", "oscar")
PHRASE = "They walked along the river and talked of many things."


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table; `passed` is None where nothing is asked."""

    what: str
    reached: str
    target: str = ""
    passed: bool | None = None

    def line(self) -> str:
        mark = {True: "yes", False: "**no**", None: ""}[self.passed]
        return f"| {self.what} | {self.reached} | {self.target} | {mark} |"


class Jury:
    """The two judges together."""

    def __init__(self, hear: Callable[[Floats], str], score: Callable[[Floats], float]) -> None:
        self._hear, self._score = hear, score

    def row(
        self, what: str, texts: Sequence[str], sounds: Sequence[Floats], most: float | None
    ) -> Row:
        """Judges sentences; `most` is the share of word errors that passes, at naturalness 3.5."""
        errors = rate((text, self._hear(s)) for text, s in zip(texts, sounds, strict=True))
        scores = [self._score(sound) for sound in sounds]
        mean, low = float(np.mean(scores)), float(np.percentile(scores, 5))
        reached = f"{errors:.1%} word errors, naturalness {mean:.2f} (5th percentile {low:.2f})"
        if most is None:
            return Row(what, reached)
        target = f"≤ {most:.0%}, ≥ 3.5"
        return Row(what, reached, target, errors <= most and mean >= 3.5)


def main() -> None:
    parser = argparse.ArgumentParser(description="Judges a model folder.")
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path, help="a .json file for the rows")
    parser.add_argument("--sentences", type=int, default=56)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--endings", type=int, default=500)
    given = parser.parse_args()
    tts = spark_mlx.load(given.model)
    texts = UNSEEN.read_text(encoding="utf-8").splitlines()[: given.sentences]
    jury = Jury(Recogniser().hear, Critic().score)
    rows: list[Row] = []

    def add(*found: Row) -> None:
        for row in found:
            print(row.line(), flush=True)
        rows.extend(found)

    print("| what | reached | target | |\n|---|---|---|---|")
    taught = teacher(texts)
    add(jury.row("hibari, the teacher", texts, taught, None))
    add(jury.row("espeak-ng", texts, [espeak(text) for text in texts], None))
    copies = [copy(tts, sound) for sound in taught]
    add(jury.row("codec: copies of the teacher", texts, copies, 0.08))
    add(Row("codec: voiced frames that keep their F0 within 5 %", kept_pitch(taught, copies)))
    for name in PRESETS:
        voice = presets.find(name)
        said = [tts.say(text, voice, seed=i).samples for i, text in enumerate(texts)]
        add(jury.row(f"nano, {name}", texts, said, 0.12))
    add(*clones(tts, texts[:10]))
    add(pitch_follows(tts, given.seeds), speed_follows(tts, given.seeds))
    add(endings(tts, texts, given.endings))
    add(speed(tts, texts[:5]))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))


def teacher(texts: Sequence[str]) -> list[Floats]:
    """The teacher's own voice."""
    from render import trimmed
    from teacher import Teacher
    from voices import Style

    speaker = Teacher()
    spoken = [trimmed(speaker.speak(speaker.phonemes(text), Style(), 7)) for text in texts]
    return [one.samples for one in spoken if one is not None]


def espeak(text: str) -> Floats:
    """espeak-ng's American voice, at 16 kHz."""
    import soundfile
    import soxr

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(path), text], check=True)
        sound, own = soundfile.read(path, dtype="float32")
    samples: Floats = soxr.resample(sound, own, RATE)
    return samples


def copy(tts: Any, samples: Floats) -> Floats:
    codes = tts.codec.encode(samples)
    found: Floats = tts.codec.decode(codes.global_tokens, codes.semantic_tokens)
    return found


def kept_pitch(real: Sequence[Floats], made: Sequence[Floats]) -> str:
    """The share of the voiced frames whose F0 a copy keeps."""
    close: list[bool] = []
    for a, b in zip(real, made, strict=True):
        length = min(len(a), len(b))
        one, other = f0_track(a[:length]), f0_track(b[:length])
        voiced = one > 0
        close += (np.abs(other[voiced] / one[voiced] - 1) < 0.05).tolist()
    return f"{np.mean(close):.1%}"


def clones(tts: Any, texts: Sequence[str]) -> list[Row]:
    """Mean F0 of clones of the voices that were held out, without and with a transcript."""
    from render import trimmed
    from teacher import Teacher
    from voices import speakers

    speaker, off = Teacher(), {"": [], " with its transcript": []}  # type: ignore[var-annotated]
    for held in [one for one in speakers() if one.held_out][:3]:
        clip = trimmed(speaker.speak(speaker.phonemes(PHRASE), held.style, 3))
        assert clip is not None
        own = mean_f0(clip.samples)
        for how, found in off.items():
            voice = tts.clone((clip.samples, RATE), transcript=PHRASE if how else None)
            heard = [mean_f0(tts.say(text, voice, seed=i).samples) for i, text in enumerate(texts)]
            found.append(abs(float(np.mean(heard)) / own - 1))
    return [
        Row(
            f"mean F0 of a clone{how} against its reference",
            ", ".join(f"{one:.1%}" for one in found),
            "within 10 %",
            max(found) <= 0.1,
        )
        for how, found in off.items()
    ]


def rises(values: Sequence[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


def pitch_follows(tts: Any, seeds: int) -> Row:
    """Created voices of both genders at all levels of pitch."""
    right = 0
    for seed in range(seeds):
        f0 = {}
        for gender in ("female", "male"):
            voices = [tts.create_voice(gender, pitch=level, seed=seed) for level in LEVELS]
            f0[gender] = [mean_f0(tts.say(PHRASE, voice, seed=seed).samples) for voice in voices]
        right += all(map(rises, f0.values())) and f0["female"][2] > f0["male"][2]
    what = "mean F0 rises over the five levels, female above male"
    return Row(what, f"{right} of {seeds} seeds", "9 of 10 seeds", right >= 0.9 * seeds)


def speed_follows(tts: Any, seeds: int) -> Row:
    """Created voices at all levels of speed, women and men in turn."""
    right = 0
    for seed in range(seeds):
        gender = ("female", "male")[seed % 2]
        voices = [tts.create_voice(gender, speed=level, seed=seed) for level in LEVELS]
        said = [tts.say(PHRASE, voice, seed=seed).samples for voice in voices]
        right += rises([1 / max(1, np.ptp(speech_span(sound))) for sound in said])
    what = "the pace rises over the five levels"
    return Row(what, f"{right} of {seeds} seeds", "9 of 10 seeds", right >= 0.9 * seeds)


def endings(tts: Any, texts: Sequence[str], count: int) -> Row:
    """Says sentences again and again: does each end, and how often only after another try?"""
    again: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: again.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("spark_mlx")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    failed = 0
    for i in range(count):
        voice = presets.find(PRESETS[i % len(PRESETS)])
        try:
            failed += bool(tts.say(texts[i % len(texts)], voice, seed=1000 + i).warnings)
        except spark_mlx.SparkError:
            failed += 1
    log.removeHandler(handler)
    log.setLevel(level)
    drawn = sum(line.startswith("seed ") for line in again)
    reached = f"{failed} cut off or empty, {drawn} drawn again"
    passed = not failed and drawn <= 0.02 * count
    return Row(f"{count} sentences end", reached, "none, ≤ 2 % drawn again", passed)


def speed(tts: Any, texts: Sequence[str]) -> Row:
    """Seconds for each second of speech."""
    voice, ratios = presets.find(PRESETS[0]), []
    for text in texts:
        began = time.perf_counter()
        samples = tts.say(text, voice).samples
        ratios.append((time.perf_counter() - began) / (len(samples) / RATE))
    median = float(np.median(ratios))
    return Row("seconds for each second of speech", f"{median:.2f}", "≤ 0.1", median <= 0.1)


if __name__ == "__main__":
    main()
