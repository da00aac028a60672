"""The keys of both views, what they do, and the help that lists them."""

from __future__ import annotations

from collections.abc import Callable

from spark_mlx.reader import moves
from spark_mlx.reader.reading import Reading

QUIT, SEARCH, HELP = "q", "/", "?"
# What keys send that are no characters; the letters do the same where a terminal has no arrows.
LEFT, RIGHT, UP, DOWN = "h", "l", "k", "j"

ACTIONS: dict[str, Callable[[Reading], None]] = {
    " ": Reading.toggle,
    LEFT: lambda reading: moves.sentence(reading, -1),
    RIGHT: lambda reading: moves.sentence(reading, 1),
    UP: lambda reading: moves.paragraph(reading, -1),
    DOWN: lambda reading: moves.paragraph(reading, 1),
    "r": lambda reading: moves.sentence(reading, 0),
    "[": lambda reading: moves.heading(reading, -1),
    "]": lambda reading: moves.heading(reading, 1),
    "g": lambda reading: moves.edge(reading, last=False),
    "G": lambda reading: moves.edge(reading, last=True),
    "+": lambda reading: reading.faster(1),
    "=": lambda reading: reading.faster(1),
    "-": lambda reading: reading.faster(-1),
    "n": lambda reading: moves.search_again(reading, 1),
    "N": lambda reading: moves.search_again(reading, -1),
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
