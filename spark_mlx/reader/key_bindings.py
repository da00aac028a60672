"""Key bindings shared by both views, and the help text that lists them."""

from __future__ import annotations

from collections.abc import Callable

from spark_mlx.reader import navigation
from spark_mlx.reader.reading import Reading

QUIT, SEARCH, HELP = "q", "/", "?"
# Arrow keys are mapped to these letters, which do the same where a terminal has no arrows.
LEFT, RIGHT, UP, DOWN = "h", "l", "k", "j"

ACTIONS: dict[str, Callable[[Reading], None]] = {
    " ": Reading.toggle,
    LEFT: lambda reading: navigation.sentence(reading, -1),
    RIGHT: lambda reading: navigation.sentence(reading, 1),
    UP: lambda reading: navigation.paragraph(reading, -1),
    DOWN: lambda reading: navigation.paragraph(reading, 1),
    "r": lambda reading: navigation.sentence(reading, 0),
    "[": lambda reading: navigation.heading(reading, -1),
    "]": lambda reading: navigation.heading(reading, 1),
    "g": lambda reading: navigation.edge(reading, last=False),
    "G": lambda reading: navigation.edge(reading, last=True),
    "+": lambda reading: reading.change_rate(1),
    "=": lambda reading: reading.change_rate(1),
    "-": lambda reading: reading.change_rate(-1),
    "n": lambda reading: navigation.search_again(reading, 1),
    "N": lambda reading: navigation.search_again(reading, -1),
}

HELP_LINES = (
    "space     pause, go on",
    "← →  h l  sentence back, on",
    "↑ ↓  k j  paragraph back, on",
    "[ ]       heading back, on",
    "r         this sentence again",
    "g G       start, end",
    "+ -       faster, slower",
    "/         search; n next, N the one before",
    "q         quit; the place is kept",
    "?         this help",
)
