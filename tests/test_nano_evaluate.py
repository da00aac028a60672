"""What judges nano is judged here, with ears and a voice that are made up."""

from __future__ import annotations

import dataclasses
import logging
import sys
from typing import Any

import numpy as np
import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "training" / "nano"))

import evaluate
import judges
import labels

SECOND = np.arange(16_000) / 16_000


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(16_000 * seconds)) / 16_000)).astype(
        np.float32
    )


@dataclasses.dataclass
class Said:
    samples: np.ndarray
    warnings: tuple[str, ...] = ()


class Voices:
    """Speaks in tones: the level of pitch is F0, the level of speed the length."""

    def __init__(self, deaf: bool = False) -> None:
        self.deaf = deaf
        self.said = 0

    def create_voice(
        self, gender: str, pitch: str = "moderate", speed: str = "moderate", seed: int = 0
    ) -> tuple[float, float]:
        level, pace = (0 if self.deaf else evaluate.LEVELS.index(name) for name in (pitch, speed))
        return (100 if gender == "male" else 200) * (1 + 0.1 * level), 1.5 - 0.2 * pace

    def say(self, text: str, voice: Any, seed: int = 0) -> Said:
        self.said += 1
        hertz, seconds = voice if isinstance(voice, tuple) else (200.0, 1.0)
        if self.deaf and self.said % 10 == 0:
            logging.getLogger("spark_mlx.somewhere").info("seed %d: silence", seed)
            return Said(tone(hertz, seconds), ("cut off",))
        return Said(tone(hertz, seconds))


def test_levels_are_followed_or_not() -> None:
    assert evaluate.pitch_follows(Voices(), 3).passed
    assert evaluate.speed_follows(Voices(), 3).passed
    assert evaluate.pitch_follows(Voices(deaf=True), 3).reached == "0 of 3 seeds"
    assert not evaluate.speed_follows(Voices(deaf=True), 3).passed


def test_endings_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate.presets, "find", lambda name: name)
    assert evaluate.endings(Voices(), ["Hello."], 20).passed
    row = evaluate.endings(Voices(deaf=True), ["Hello."], 20)
    assert row.reached == "2 cut off or empty, 2 drawn again"
    assert not row.passed


def test_the_jury_counts_words_and_marks() -> None:
    jury = evaluate.Jury(lambda sound: "hello there", lambda sound: 4.0)
    row = jury.row("x", ["Hello there.", "Hello you there."], [tone(100)] * 2, 0.25)
    assert row.reached.startswith("20.0% word errors, naturalness 4.00")
    assert row.passed
    assert not jury.row("x", ["Something else."], [tone(100)], 0.25).passed
    poor = evaluate.Jury(lambda sound: "hello there", lambda sound: 3.0)
    assert not poor.row("x", ["Hello there."], [tone(100)], 0.25).passed
    assert jury.row("x", ["Hello there."], [tone(100)], None).line().endswith("|  |  |")


def test_pitch_that_is_kept() -> None:
    sound = tone(150)
    assert evaluate.kept_pitch([sound], [0.5 * sound]) == "100.0%"
    assert evaluate.kept_pitch([sound], [tone(170)]) == "0.0%"


def test_numbers_are_compared_as_words() -> None:
    assert judges.words("It's 25 o'clock, 1,305!") == (
        "its twenty five o clock one thousand three hundred five".split()
    )


def test_unseen_sentences_can_be_said() -> None:
    texts = evaluate.UNSEEN.read_text(encoding="utf-8").splitlines()
    assert len(texts) >= 50
    assert len(set(texts)) == len(texts)
    assert not any(sign.isdigit() for text in texts for sign in text)
    assert labels.LEVELS == evaluate.LEVELS
