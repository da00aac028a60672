"""Line view (`--plain`): print each sentence as a line when it begins to be heard.

The cursor only moves to the next line, and nothing is coloured, so braille displays and screen
readers can follow. Keys act when they are pressed, without an echo; if the input is no terminal,
the characters of its lines are the keys.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
from collections.abc import Iterator

from spark_mlx.errors import SparkError
from spark_mlx.reader import key_bindings as keys
from spark_mlx.reader import navigation
from spark_mlx.reader.engine import State
from spark_mlx.reader.reading import Reading

_TICK = 0.04  # seconds to wait for a key before the reading is polled again
_KEEP = 5.0  # seconds between two times that the position is written down
# Escape sequences of the arrow and home keys, in both modes of a terminal.
_SEQUENCES = {
    f"\x1b{mode}{letter}": key
    for mode in "[O"
    for letter, key in {
        "A": keys.UP,
        "B": keys.DOWN,
        "C": keys.RIGHT,
        "D": keys.LEFT,
        "H": "g",
        "F": "G",
    }.items()
}


class CannotSpeak(SparkError):
    """Speech failed, and without a terminal it cannot be retried."""


def run(reading: Reading, keyboard: int | None) -> None:
    """Print a reading until it has ended or its reader quits.

    Args:
        keyboard: the file descriptor that keys are read from; None for none.

    Raises:
        SparkError: it cannot be spoken, and there is no terminal to try again from.
    """
    view = LineView(reading, keyboard)
    with view.unbuffered_keys():
        view.run()


class LineView:
    """A reading printed line by line."""

    def __init__(self, reading: Reading, keyboard: int | None) -> None:
        self._reading = reading
        self._keyboard = keyboard
        self._terminal = keyboard is not None and os.isatty(keyboard)

    def run(self) -> None:
        """Print sentences and handle keys, until q or, without a terminal, until the end."""
        reading = self._reading
        state = reading.state
        kept = time.monotonic()
        self._print(reading.document.title)
        while True:
            for first, last in reading.poll():
                self._print(reading.document.text[first:last])
            self._print_notices()
            if reading.state is not state:
                state = reading.state
                if state is State.ENDED:
                    self._print(f"{state.value}; q quits" if self._terminal else state.value)
                elif state is State.PAUSED:
                    self._print(state.value)
            if not self._terminal and state is State.ENDED:
                return
            if time.monotonic() - kept > _KEEP:
                kept = time.monotonic()
                reading.keep()
            if not all(map(self._press, self._keys())):
                return

    @contextlib.contextmanager
    def unbuffered_keys(self) -> Iterator[None]:
        """Switch the terminal to single keys without an echo."""
        if self._keyboard is None or not self._terminal:
            yield
            return
        before = termios.tcgetattr(self._keyboard)
        raw = termios.tcgetattr(self._keyboard)
        raw[3] &= ~(termios.ICANON | termios.ECHO)
        try:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, raw)
            yield
        finally:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, before)

    def _keys(self) -> list[str]:
        """Keys since the last call; wait a tick if there are none."""
        if self._keyboard is None:
            time.sleep(_TICK)
            return []
        if not select.select([self._keyboard], [], [], _TICK)[0]:
            return []
        data = os.read(self._keyboard, 1024).decode("utf-8", "replace")
        if not data:
            self._keyboard = None  # the input has ended, the reading has not
            if self._terminal:
                return [keys.QUIT]
        for sequence, key in _SEQUENCES.items():
            data = data.replace(sequence, key)
        if not self._terminal:
            data = data.replace("\n", "")
        return list(data)

    def _press(self, key: str) -> bool:
        """Run the action bound to a key; False to quit."""
        reading = self._reading
        paused, span = reading.state is State.PAUSED, reading.span
        if key == keys.QUIT:
            return False
        if key == keys.HELP:
            for line in keys.HELP_LINES:
                self._print(line)
        elif key == keys.SEARCH:
            self._search()
        elif key in keys.ACTIONS:
            keys.ACTIONS[key](reading)
        else:
            return True
        self._print_notices()
        # A paused reader does not hear the new sentence, so print it.
        if paused and reading.state is State.PAUSED and reading.span != span:
            self._print(reading.document.text[slice(*reading.span)])
        return True

    def _search(self) -> None:
        """Ask for words, with the terminal echoing them."""
        if self._keyboard is None or not self._terminal:
            return
        speaking = self._reading.state in (State.SPEAKING, State.LOADING)
        if speaking:
            self._reading.toggle()
        self._print("search for:")
        with self._line_input():
            words = os.read(self._keyboard, 4096).decode("utf-8", "replace")
        navigation.search(self._reading, words.strip())
        if speaking:
            self._reading.toggle()

    @contextlib.contextmanager
    def _line_input(self) -> Iterator[None]:
        """Switch the terminal back to whole, echoed lines for a while."""
        assert self._keyboard is not None
        raw = termios.tcgetattr(self._keyboard)
        cooked = termios.tcgetattr(self._keyboard)
        cooked[3] |= termios.ICANON | termios.ECHO
        try:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, cooked)
            yield
        finally:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, raw)

    def _print_notices(self) -> None:
        if self._reading.state is State.FAILED and not self._terminal:
            raise CannotSpeak(self._reading.failure)
        for notice in self._reading.take_notices():
            self._print(notice)

    @staticmethod
    def _print(text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        line = " ".join(text.split()).encode(encoding, "replace").decode(encoding)
        print(line, flush=True)
