"""The keys of both views, what they do, and the help that lists them."""

from __future__ import annotations

from collections.abc import Callable

from spark_mlx.read.reading import Reading

QUIT, SEARCH, HELP = "q", "/", "?"
# What keys send that are no characters; the letters do the same where a terminal has no arrows.
LEFT, RIGHT, UP, DOWN = "h", "l", "k", "j"

ACTIONS: dict[str, Callable[[Reading], None]] = {
    " ": Reading.toggle,
    LEFT: lambda reading: reading.sentence(-1),
    RIGHT: lambda reading: reading.sentence(1),
    UP: lambda reading: reading.paragraph(-1),
    DOWN: lambda reading: reading.paragraph(1),
    "r": lambda reading: reading.sentence(0),
    "[": lambda reading: reading.heading(-1),
    "]": lambda reading: reading.heading(1),
    "g": lambda reading: reading.edge(last=False),
    "G": lambda reading: reading.edge(last=True),
    "+": lambda reading: reading.faster(1),
    "=": lambda reading: reading.faster(1),
    "-": lambda reading: reading.faster(-1),
    "n": lambda reading: reading.search_again(1),
    "N": lambda reading: reading.search_again(-1),
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
