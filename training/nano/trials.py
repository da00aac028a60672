"""What a model of nano's kind is asked to do, and how it is judged: clips of espeak-ng → figures.

Everything is chosen by a fixed rule and a seed, from the split `eval`: sentences and voices that
nothing learnt from. Each trial gives a `Figure`: what was reached, what should be, and all numbers
behind it. Beside the model stands espeak-ng itself, in the same voices: the yardstick.

Knows of a model only that it clones, creates, says, encodes and decodes.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import ear
import labels
from clips import Clip, Espeak, Samples, references
from spark_mlx import audio
from spark_mlx.codec.codec import Codec
from spark_mlx.errors import GenerationError
from spark_mlx.labels import GENDERS, LEVELS
from spark_mlx.speech import Speech
from spark_mlx.voice import Voice

# What a sentence is compared with: espeak-ng's plain voice, and a woman's. Neither is of `eval`,
# and the model learnt from the second one only; it is never asked to speak in either.
NEUTRAL = (("male", "en-us"), ("female", "en-us+f2"))
NEUTRAL_PITCH, NEUTRAL_SPEED = 50, 160
PIPELINE_LOG = "spark_mlx.pipeline"


@dataclasses.dataclass(frozen=True)
class Scale:
    """How many of what.

    Attributes:
        sentences: to be told apart.
        clones: of which the pitch is compared with their references'.
        seeds: that voices are created with.
        texts: that each created voice says.
        endings: sentences that should end; lines: of two sentences, that should as well.
        timings: of which the median counts.
    """

    sentences: int = 50
    clones: int = 30
    seeds: int = 10
    texts: int = 2
    endings: int = 500
    lines: int = 25
    timings: int = 5


QUICK = Scale(sentences=10, clones=10, seeds=2, texts=1, endings=20, lines=5, timings=1)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A row of the table.

    Attributes:
        what: was measured.
        reached: in words, with its unit.
        target: what should be.
        passed: whether it was reached.
        numbers: behind it, as JSON can hold them.
    """

    what: str
    reached: str
    target: str
    passed: bool
    numbers: Mapping[str, Any]


class Speaker(Protocol):
    """What `SparkTTS` is, as far as it is judged here."""

    def clone(self, source: audio.Source, transcript: str | None = ...) -> Voice: ...
    def create_voice(
        self, gender: str = ..., pitch: str = ..., speed: str = ..., *, seed: int = ...
    ) -> Voice: ...
    def say(self, text: str, voice: Voice | None = ..., *, seed: int = ...) -> Speech: ...


class Jury:
    """Both ears, listening for the chosen sentences."""

    def __init__(self, clips: Sequence[Clip], espeak: Espeak) -> None:
        self._count = len(clips)
        self._neutral = [
            ear.mfcc(espeak(clip.text, *voice, NEUTRAL_PITCH, NEUTRAL_SPEED))
            for voice in NEUTRAL
            for clip in clips
        ]
        self._recogniser = ear.Recogniser([clip.text for clip in clips])

    def nearest(self, samples: Samples) -> int:
        """The place of the sentence whose neutral rendering is nearest."""
        return int(ear.distances(ear.mfcc(samples), self._neutral).argmin()) % self._count

    def heard(self, samples: Samples) -> int | None:
        """The place of the sentence that is recognised."""
        return self._recogniser(samples)

    def verdict(self, sounds: Sequence[Samples]) -> dict[str, Any]:
        """Sounds of all chosen sentences, in order → shares that are right, and what was not."""
        near = [self.nearest(sound) for sound in sounds]
        heard = [self.heard(sound) for sound in sounds]
        return {
            "nearest": float(np.mean([n == i for i, n in enumerate(near)])),
            "heard": float(np.mean([h == i for i, h in enumerate(heard)])),
            "nearest_wrong": [[i, n] for i, n in enumerate(near) if n != i],
            "heard_wrong": [[i, h] for i, h in enumerate(heard) if h != i],
        }


def codec_alone(codec: Codec, clips: Sequence[Clip], jury: Jury) -> list[Figure]:
    """Encodes and decodes the clips themselves: words and pitch."""
    originals = [audio.reference((clip.samples, labels.RATE)) for clip in clips]
    copies, kept = [], []
    for original in originals:
        codes = codec.encode(original)
        copies.append(codec.decode(codes.global_tokens, codes.semantic_tokens))
        kept.append(ear.f0_kept(original, copies[-1]))
    figures = _words("codec alone", jury.verdict(copies), jury.verdict(originals), 0.99, 0.03)
    voiced = sum(k.voiced for k in kept)
    same, other, lost = (
        sum(getattr(k, name) for k in kept) / max(voiced, 1) for name in ("kept", "other", "lost")
    )
    said = f"{same:.1%} ({other:.1%} have another, {lost:.1%} none)"
    numbers = {"kept": same, "other": other, "lost": lost, "voiced": voiced}
    what = "codec alone: voiced frames that keep their F0 within 5 %"
    return [*figures, Figure(what, said, "≥ 90 %", same >= 0.9, numbers)]


def words_and_clones(
    tts: Speaker, clips: Sequence[Clip], pool: Sequence[Clip], jury: Jury, espeak: Espeak, n: int
) -> tuple[list[Figure], list[Samples]]:
    """Says the clips' sentences in cloned voices → words, the pitch of the first `n` clones, and
    what was said."""
    sources = references(clips, pool, 1)
    said, own = [], []
    for i, (clip, source) in enumerate(zip(clips, sources, strict=True)):
        voice = tts.clone((source.samples, labels.RATE))
        said.append(_said(tts, clip.text, voice, i))
        own.append(espeak.like(source, clip.text))
    figures = _words("", jury.verdict(said), jury.verdict(own), 0.96, 0.06)
    # With a transcript the model also has the clip's tokens to go by.
    told = [
        tts.clone((source.samples, labels.RATE), transcript=source.text) for source in sources[:n]
    ]
    with_transcript = [_said(tts, clips[i].text, voice, i) for i, voice in enumerate(told)]
    yardstick = float(np.median(_all_apart(own, sources[:n])))
    for how, sounds in (("", said), (" with its transcript", with_transcript)):
        off = _all_apart(sounds, sources[:n])
        median = float(np.median(off))
        figures.append(
            Figure(
                f"mean F0 of a clone{how} against its reference, median of {len(off)}",
                f"{median:.1%} off (espeak-ng itself: {yardstick:.1%})",
                "within 10 %",
                median <= 0.1,
                {"median": median, "espeak": yardstick, "all": off},
            )
        )
    return figures, said


def pitch_follows(tts: Speaker, clips: Sequence[Clip], seeds: int) -> Figure:
    """Creates voices of both genders at all levels of pitch; each says all clips' sentences."""
    table: list[dict[str, list[float]]] = []
    for seed in range(seeds):
        f0: dict[str, list[float]] = {}
        for gender in GENDERS:
            voices = [tts.create_voice(gender, pitch=level, seed=seed) for level in LEVELS]
            f0[gender] = [
                float(np.mean([labels.mean_f0(_said(tts, c.text, v, seed)) for c in clips]))
                for v in voices
            ]
        table.append(f0)
    rising = [all(_rises(f0[gender]) for gender in GENDERS) for f0 in table]
    above = [all(f > m for f, m in zip(f0["female"], f0["male"], strict=True)) for f0 in table]
    right = sum(r and a for r, a in zip(rising, above, strict=True))
    reached = f"{right} of {seeds} seeds (rising {sum(rising)}, female above male {sum(above)})"
    what = "mean F0 rises over the five levels, female above male"
    numbers = {"right": right, "rising": sum(rising), "above": sum(above), "hertz": table}
    return Figure(what, reached, "9 of 10 seeds", right >= 0.9 * seeds, numbers)


def speed_follows(tts: Speaker, clips: Sequence[Clip], seeds: int) -> Figure:
    """Creates voices at all levels of speed, women and men in turn."""
    table = []
    for seed in range(seeds):
        rates = []
        for level in LEVELS:
            voice = tts.create_voice(GENDERS[seed % 2], speed=level, seed=seed)
            seconds = sum(spoken_seconds(_said(tts, c.text, voice, seed)) for c in clips)
            spoken = sum(c.meta["syllables"] for c in clips)
            rates.append(spoken / seconds if seconds else 0.0)
        table.append(rates)
    right = sum(map(_rises, table))
    means = ", ".join(f"{rate:.1f}" for rate in np.mean(table, axis=0))
    return Figure(
        "syllables a second rise over the five levels",
        f"{right} of {seeds} seeds (on average {means})",
        "9 of 10 seeds",
        right >= 0.9 * seeds,
        {"right": right, "rates": table},
    )


def endings(tts: Speaker, clips: Sequence[Clip], espeak: Espeak) -> list[Figure]:
    """Says each clip's sentence in a voice cloned from another: does it end, and how often only
    after another try?"""
    answers = _answers(tts, [clip.text for clip in clips], references(clips, clips, 2), espeak)
    low, middle, high = answers["length_5_50_95"]
    length = f"{middle:.2f} (5th to 95th percentile {low:.2f} to {high:.2f})"
    few = answers["retried"] <= 0.02 * len(clips)
    target = "none cut off or empty, ≤ 2 % drawn again"
    return [
        Figure(f"{len(clips)} sentences end", *_ended(answers, target, few)),
        Figure(
            "how long they take against espeak-ng in the voice cloned from, median",
            length,
            "0.8 to 1.25",
            0.8 <= middle <= 1.25,
            {},
        ),
    ]


def lines_end(tts: Speaker, clips: Sequence[Clip], espeak: Espeak) -> Figure:
    """The same with two sentences on a line, which `say` takes for one piece of text if they are
    short enough. How long they take is told and not judged: a clone draws its own speed."""
    pairs = list(zip(clips[::2], clips[1::2], strict=False))
    texts = [f"{one.text} {other.text}" for one, other in pairs]
    sources = references([one for one, _ in pairs], clips, 3)
    answers = _answers(tts, texts, sources, espeak)
    near = 1 - answers["far_off"] / len(texts)
    ended = _ended(answers, "none cut off or empty", otherwise=True)
    reached = f"{ended[0]}; {near:.0%} within 0.7 to 1.4 of espeak-ng's length"
    return Figure(f"{len(texts)} lines of two sentences end", reached, *ended[1:])


def _answers(
    tts: Speaker, texts: Sequence[str], sources: Sequence[Clip], espeak: Espeak
) -> dict[str, Any]:
    """Says texts in voices cloned from sources → what went wrong, and how long it took."""
    retried, empty, cut_off = 0, 0, 0
    ratios: list[float] = []
    faults: Counter[str] = Counter()
    for i, (text, source) in enumerate(zip(texts, sources, strict=True)):
        voice = tts.clone((source.samples, labels.RATE))
        with _faults() as noted:
            try:
                speech = tts.say(text, voice, seed=i)
            except GenerationError:
                speech = None
        faults.update(noted)
        retried += bool(noted)
        seconds = 0.0 if speech is None else spoken_seconds(speech.samples)
        if speech is None or not seconds:
            empty += 1
            continue
        cut_off += bool(speech.warnings)
        ratios.append(seconds / spoken_seconds(espeak.like(source, text)))
    percentiles = np.percentile(ratios or [0.0], (5, 50, 95)).tolist()
    return {
        "cut_off": cut_off,
        "empty": empty,
        "retried": retried,
        "faults": dict(faults),
        "length_5_50_95": percentiles,
        "far_off": len(texts) - sum(0.7 <= ratio <= 1.4 for ratio in ratios),
        "lengths": ratios,
    }


def _ended(
    answers: dict[str, Any], target: str, otherwise: bool
) -> tuple[str, str, bool, dict[str, Any]]:
    """What `_answers` found, as the rest of a figure."""
    counts = {"cut off": "cut_off", "empty": "empty", "drawn again": "retried"}
    reached = ", ".join(f"{answers[name]} {what}" for what, name in counts.items())
    passed = otherwise and not answers["cut_off"] and not answers["empty"]
    return reached, target, passed, answers


def spoken_seconds(samples: npt.ArrayLike) -> float:
    """samples (N,) → seconds from the first sound to the last."""
    start, end = labels.speech_span(samples)
    return (end - start) / labels.RATE


def _said(tts: Speaker, text: str, voice: Voice, seed: int) -> Samples:
    """What is said, or silence where nothing could be: who says nothing is wrong, not left out."""
    try:
        return tts.say(text, voice, seed=seed).samples
    except GenerationError:
        return np.zeros(labels.RATE, dtype=np.float32)


def _words(
    who: str, model: Mapping[str, Any], own: Mapping[str, Any], least: float, most_worse: float
) -> list[Figure]:
    """The rows of both ears, for the model and for espeak-ng's own speech."""
    prefix = f"{who}: " if who else ""
    worse = own["heard"] - model["heard"]
    return [
        Figure(
            f"{prefix}the nearest rendering is the right one",
            f"{model['nearest']:.0%} (espeak-ng itself: {own['nearest']:.0%})",
            f"≥ {least:.0%}",
            model["nearest"] >= least,
            {"model": model, "espeak": own},
        ),
        Figure(
            f"{prefix}the recogniser hears the right sentence",
            f"{model['heard']:.0%} (espeak-ng itself: {own['heard']:.0%})",
            f"≤ {100 * most_worse:.0f} points worse",
            # A share is a fraction of few: 0.06 must not fail for its last binary digit.
            worse <= most_worse + 1e-9,
            {"points_worse": 100 * worse},
        ),
    ]


def _apart(sound: Samples, source: Clip) -> float:
    """How far a sound's mean F0 is from the clip's, as a share of the clip's."""
    f0 = labels.mean_f0(source.samples)
    return abs(labels.mean_f0(sound) / f0 - 1)


def _all_apart(sounds: Sequence[Samples], sources: Sequence[Clip]) -> list[float]:
    """`_apart` for each of the first sounds that there is a source for."""
    return [_apart(sound, source) for sound, source in zip(sounds, sources, strict=False)]


def _rises(values: Sequence[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


@contextmanager
def _faults() -> Iterator[list[str]]:
    """Collects what the pipeline logs of answers that it draws again, or gives up on."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # "seed 3: nothing but silence in 'Hello.'"
            if record.msg == "seed %d: %s in %r" and isinstance(record.args, tuple):
                found.append(str(record.args[1]))

    log, collector = logging.getLogger(PIPELINE_LOG), Collector(logging.INFO)
    level = log.level
    log.addHandler(collector)
    log.setLevel(logging.INFO)
    try:
        yield found
    finally:
        log.removeHandler(collector)
        log.setLevel(level)
