"""What a terminal shows while speech is heard: the sentence, or how far it is."""

from __future__ import annotations

import shutil
from typing import TextIO

from tqdm import tqdm

from spark_mlx.speech import Chunk
from spark_mlx.subtitles import wrap

REVERSE, PLAIN, TO_THE_END = "\x1b[7m", "\x1b[0m", "\x1b[J"


class Marker:
    """Prints each sentence when it begins. On a terminal it stands in reverse video until it ends.

    A context manager; leaving it unmarks the last sentence.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._piece = -1
        self._marked: list[str] = []

    def __enter__(self) -> Marker:
        return self

    def __exit__(self, *error: object) -> None:
        self._unmark()

    def __call__(self, chunk: Chunk, position: float) -> None:
        """Takes note of which chunk is being heard."""
        if chunk.pause:
            self._unmark()
        elif chunk.piece != self._piece:
            self._unmark()
            self._piece = chunk.piece
            self._mark(chunk.text)

    def _mark(self, text: str) -> None:
        if not self._terminal:
            print(" ".join(text.split()), file=self._out, flush=True)
            return
        # One column stays free: some terminals go to the next line when the last one is filled.
        size = shutil.get_terminal_size()
        self._marked = wrap(text, max(1, size.columns - 1))
        # What has scrolled out of the window can no longer be reached, so it is not marked.
        first = max(0, len(self._marked) - (size.lines - 1))
        for line in self._marked[:first]:
            print(line, file=self._out)
        self._marked = self._marked[first:]
        self._show(REVERSE, PLAIN)

    def _unmark(self) -> None:
        if self._marked:
            print(f"\x1b[{len(self._marked)}A\r{TO_THE_END}", end="", file=self._out)
            self._show("", "")
            self._marked = []

    def _show(self, before: str, after: str) -> None:
        for line in self._marked:
            print(f"{before}{line}{after}", file=self._out)
        self._out.flush()


class Bar:
    """A progress bar of the characters that were heard. A context manager."""

    def __init__(self, characters: int, out: TextIO) -> None:
        self._bar = tqdm(total=characters, unit="char", leave=False, file=out)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    @property
    def done(self) -> int:
        """How many characters were heard."""
        return int(self._bar.n)

    def __call__(self, chunk: Chunk, position: float) -> None:
        """Takes note of how far the speech was heard."""
        start, end = chunk.span
        # Of what is not yet written, nobody knows how long it takes: only whole pieces count.
        heard = end if chunk.pause else start
        if heard > self.done:
            self._bar.update(heard - self.done)
