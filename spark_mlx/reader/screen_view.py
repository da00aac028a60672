"""Full-screen view: the document on the whole terminal, the current sentence in reverse video.

Drawn with curses, which comes with Python and knows every terminal: it sends only changes, follows
the window's size, and restores the terminal at the end.
"""

from __future__ import annotations

import contextlib
import curses
import locale
import os
import sys
import tempfile
from collections.abc import Iterator

from spark_mlx.reader import columns, navigation
from spark_mlx.reader import key_bindings as keys
from spark_mlx.reader.engine import State
from spark_mlx.reader.reading import Reading
from spark_mlx.reader.viewport import Viewport
from spark_mlx.text.alignment import Span

_TICK = 40  # milliseconds to wait for a key before the reading is polled again
_KEEP = 5.0  # seconds between two times that the position is written down
_MARGIN = 1  # columns at both sides, where there is room for them
_ROOMY = 40
_LINES_BELOW = 2  # the message line and the status line
_ARROWS = {
    curses.KEY_LEFT: keys.LEFT,
    curses.KEY_RIGHT: keys.RIGHT,
    curses.KEY_UP: keys.UP,
    curses.KEY_DOWN: keys.DOWN,
    curses.KEY_HOME: "g",
    curses.KEY_END: "G",
    curses.KEY_PPAGE: keys.UP,
    curses.KEY_NPAGE: keys.DOWN,
}
_ENTER, _ESCAPE = ("\n", "\r", curses.KEY_ENTER), ("\x1b",)
_ERASE, _ERASE_ALL = ("\x7f", "\b", curses.KEY_BACKSPACE), ("\x15",)


def run(reading: Reading) -> None:
    """Show a reading until its reader quits.

    Raises:
        curses.error: the terminal is of an unknown kind; nothing was changed.
    """
    locale.setlocale(locale.LC_CTYPE, "")
    os.environ.setdefault("ESCDELAY", "25")  # an escape key is not the beginning of a function key
    curses.setupterm()
    with _stderr_held_back(), _screen() as screen:
        ScreenView(screen, reading).run()


class ScreenView:
    """A reading on a screen of curses."""

    def __init__(self, screen: curses.window, reading: Reading) -> None:
        self._screen = screen
        self._reading = reading
        self._message = ""
        self._words: str | None = None  # typed so far for a search
        self._was_speaking = False
        self._helping = False
        self._viewport = Viewport(reading.document, 1, 1)

    def run(self) -> None:
        """Draw, poll the reading and handle keys, until q."""
        self._screen.timeout(_TICK)
        self._fit()
        ticks = 0
        drawn: object = None
        while True:
            self._reading.poll()
            self._message = "; ".join(self._reading.take_notices()) or self._message
            shown = (
                *(self._reading.span, self._reading.state, self._reading.rate),
                *(self._message, self._words, self._helping, self._screen.getmaxyx()),
            )
            if shown != drawn:
                self._draw()
                drawn = shown
            ticks += 1
            if ticks * _TICK > _KEEP * 1000:
                ticks = 0
                self._reading.keep()
            key = self._key()
            if key is None:
                continue
            if key == curses.KEY_RESIZE or key == "\x0c":
                curses.update_lines_cols()
                self._screen.clear()
                self._fit()
                drawn = None
            elif self._words is not None:
                self._type(key)
            elif not self._press(key):
                return

    def _key(self) -> str | int | None:
        """The next key, or None if there was none for a tick."""
        try:
            return self._screen.get_wch()
        except curses.error:
            return None

    def _press(self, key: str | int) -> bool:
        """Run the action bound to a key; False to quit."""
        self._message = ""
        if self._helping:
            self._helping = False
            return True
        name = _ARROWS.get(key, "") if isinstance(key, int) else key
        if name == keys.QUIT:
            return False
        if name == keys.HELP:
            self._helping = True
        elif name == keys.SEARCH:
            self._words = ""
            self._was_speaking = self._reading.state in (State.SPEAKING, State.LOADING)
            if self._was_speaking:
                self._reading.toggle()  # one cannot type and listen
        elif name in keys.ACTIONS:
            keys.ACTIONS[name](self._reading)
        elif isinstance(key, str):
            self._message = "? lists the keys"
        return True

    def _type(self, key: str | int) -> None:
        """Edit the words of a search by one key."""
        words = self._words or ""
        if key in _ENTER or key in _ESCAPE:
            self._words = None
            if key in _ENTER:
                navigation.search(self._reading, words)
            if self._was_speaking:
                self._reading.toggle()
        elif key in _ERASE:
            # Backspace on nothing leaves, as in other pagers.
            self._words = words[:-1]
        elif key in _ERASE_ALL:
            self._words = ""
        elif isinstance(key, str) and key.isprintable():
            self._words = words + key

    def _fit(self) -> None:
        rows, width = self._screen.getmaxyx()
        # The last column stays free: some terminals wrap a line that fills it.
        self._viewport.resize(width - 1 - 2 * self._margin(), rows - _LINES_BELOW)

    def _margin(self) -> int:
        return _MARGIN if self._screen.getmaxyx()[1] >= _ROOMY else 0

    def _draw(self) -> None:
        self._screen.erase()
        rows, width = self._screen.getmaxyx()
        self._viewport.show(self._reading.span)
        if self._helping:
            for y, line in enumerate(keys.HELP_LINES[: max(0, rows - 1)]):
                self._put(y, self._margin(), columns.fit(line, width - 1 - self._margin()))
        else:
            self._draw_text(self._reading.span)
        y, x = self._screen.getyx() if self._helping else self._cursor(self._reading.span)
        if rows > 1:
            self._put(rows - 1, 0, self._status(width - 1), curses.A_BOLD)
        if self._words is not None:
            prompt = f"/{self._words}"
            while columns.width(prompt) >= width and len(prompt) > 1:
                prompt = prompt[1:]
            y, x = max(0, rows - _LINES_BELOW), columns.width(prompt)
            self._put(y, 0, prompt)
        elif self._message:
            self._put(max(0, rows - _LINES_BELOW), 0, columns.fit(self._message, width - 1))
        # Where the cursor is, magnifiers and braille displays look.
        with contextlib.suppress(curses.error):
            self._screen.move(y, x)
        self._screen.refresh()

    def _draw_text(self, marked: Span) -> None:
        text = self._reading.document.text
        for y, row in enumerate(self._viewport.rows()):
            if row.span is None:
                continue
            first, last = row.span
            start, end = (min(max(edge, first), last) for edge in marked)
            weight = curses.A_BOLD if row.level else curses.A_NORMAL
            self._put(y, self._margin(), text[first:start], weight)
            self._add(text[start:end], weight | curses.A_REVERSE)
            self._add(text[end:last], weight)

    def _cursor(self, marked: Span) -> tuple[int, int]:
        """Row and column where the sentence begins on the screen."""
        text = self._reading.document.text
        for y, row in enumerate(self._viewport.rows()):
            if row.span is not None and row.span[0] <= marked[0] <= row.span[1]:
                return y, self._margin() + columns.width(text[row.span[0] : marked[0]])
        return 0, 0

    def _status(self, width: int) -> str:
        reading = self._reading
        state = f"{reading.per_cent} %  {reading.rate} words a minute  {reading.state.value}"
        room = width - columns.width(state) - 2
        if room < 8:
            return columns.fit(state, width)
        rest = "  ? help" if room > columns.width(reading.document.title) + 8 else ""
        return f"{columns.fit(reading.document.title, room)}  {state}{rest}"

    def _put(self, y: int, x: int, text: str, look: int = curses.A_NORMAL) -> None:
        with contextlib.suppress(curses.error):
            self._screen.move(y, x)
            self._add(text, look)

    def _add(self, text: str, look: int = curses.A_NORMAL) -> None:
        # In a locale that is not UTF-8 some characters cannot be shown.
        encoding = self._screen.encoding
        with contextlib.suppress(curses.error):
            self._screen.addstr(text.encode(encoding, "replace").decode(encoding), look)


@contextlib.contextmanager
def _screen() -> Iterator[curses.window]:
    """Take the terminal as a screen, and restore it.

    Not `curses.wrapper`: that sets colours, white on black, in place of the reader's own.
    """
    screen = curses.initscr()
    try:
        curses.noecho()
        curses.cbreak()
        screen.keypad(True)
        yield screen
    finally:
        screen.keypad(False)
        curses.endwin()


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Hold back messages of sound libraries on stderr, which would tear the page."""
    if not sys.stderr.isatty():
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            messages = file.read()
            if b"Traceback" in messages:  # of a thread; the rest are warnings of sound libraries
                os.write(2, messages)
