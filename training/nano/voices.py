"""The voices of the corpus: one teacher's, and others made of it by another pitch and throat.

A voice is a style without its speed, which is drawn anew for each sentence.
"""

from __future__ import annotations

import dataclasses
import random

OTHERS = 44
HELD_OUT = 4  # the last ones are kept for judging
TEACHER_SHARE = 0.35  # of the sentences, in the teacher's own voice
THROATS = (0.78, 1.12)
# A pitch that is lowered further sounds rough (DistillMOS 2.2 to 3.9 at factors of 0.7 to 0.85).
PITCHES = (0.88, 1.1)
SPEEDS = (0.85, 1.2)
_HERTZ = 205.0  # the teacher's own mean F0
_MALE_BELOW = 165.0  # Hz


@dataclasses.dataclass(frozen=True)
class Style:
    """How a sentence is spoken.

    Attributes:
        pitch: factor of F0, before `throat`.
        throat: factor of all frequencies, F0 and formants; above 1 is a smaller head.
        speed: of speaking, 1 is the teacher's own.
    """

    pitch: float = 1.0
    throat: float = 1.0
    speed: float = 1.0


@dataclasses.dataclass(frozen=True)
class Speaker:
    """
    Attributes:
        number: 0 is the teacher's own voice.
        style: pitch and throat; its speed is 1.
        held_out: never trained on.
    """

    number: int
    style: Style
    held_out: bool = False

    @property
    def gender(self) -> str:
        """How it sounds: "female" or "male"."""
        low = _HERTZ * self.style.pitch * self.style.throat < _MALE_BELOW
        return "male" if low and self.style.throat < 0.95 else "female"


def speakers() -> list[Speaker]:
    """All voices, the same at each call."""
    rng = random.Random(0)
    found = [Speaker(0, Style())]
    for number in range(1, OTHERS + 1):
        style = Style(round(rng.uniform(*PITCHES), 3), round(rng.uniform(*THROATS), 3))
        found.append(Speaker(number, style, number > OTHERS - HELD_OUT))
    return found


def draw(among: list[Speaker], rng: random.Random) -> Speaker:
    """One of the voices, the teacher's more often than any other."""
    return among[0] if rng.random() < TEACHER_SHARE else rng.choice(among[1:])
