"""`spark-mlx read`: a document aloud, with the sentence that is heard on the screen."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType

from spark_mlx.errors import UsageError
from spark_mlx.reader import clipboard, line_view
from spark_mlx.reader.bookmarks import Bookmark, Bookmarks
from spark_mlx.reader.daemon_engine import DaemonEngine
from spark_mlx.reader.documents import Document
from spark_mlx.reader.engine import MAX_RATE, MIN_RATE, NORMAL_RATE, SpeechEngine
from spark_mlx.reader.formats import detect
from spark_mlx.reader.reading import Reading


def read(args: argparse.Namespace) -> int:
    # Refuse before anything is loaded.
    _check_options(args)
    document = _document(args)
    bookmarks = Bookmarks()
    bookmark = None if args.from_start else bookmarks.find(document)
    reading = Reading(
        document,
        functools.partial(_engine, args),
        position=0 if bookmark is None else bookmark.position,
        voice=_voice(args.voice),
        rate=args.rate,
        greeting="" if bookmark is None else _greeting(document, bookmark),
        keep=functools.partial(bookmarks.keep, document),
    )
    with _signals(), _keyboard(args.file == "-") as keyboard, contextlib.closing(reading):
        reading.start()
        if args.plain or not _show(reading, keyboard):
            line_view.run(reading, keyboard)
    return 0


def _show(reading: Reading, keyboard: int | None) -> bool:
    """The full-screen view; False where the terminal has none."""
    if keyboard is None or not os.isatty(keyboard) or not sys.stdout.isatty():
        return False
    if os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        import curses

        from spark_mlx.reader import screen_view
    except ImportError:  # a Python that was built without curses
        return False
    try:
        screen_view.run(reading)
    except curses.error:
        return False
    return True


def _check_options(args: argparse.Namespace) -> None:
    if args.rate is not None and not MIN_RATE <= args.rate <= MAX_RATE:
        raise UsageError(
            f"--rate is {MIN_RATE} to {MAX_RATE} words a minute, not {args.rate}; "
            f"{NORMAL_RATE} is the voice's own speed"
        )
    if sum((args.file is not None, args.clipboard, args.selection)) != 1:
        raise UsageError("give one thing to read: a file, - for stdin, --clipboard or --selection")


def _voice(name: str | None) -> str | None:
    """Check that a voice exists; return its name, or the absolute path of its file."""
    if name is None:
        return None
    from spark_mlx import voices

    voices.find(name)
    return str(Path(name).resolve()) if Path(name).exists() else name


def _document(args: argparse.Namespace) -> Document:
    if args.clipboard or args.selection:
        name = "the selection" if args.selection else "the clipboard"
        return detect.read_bytes(clipboard.read(args.selection), name)
    if args.file == "-":
        return detect.read_bytes(sys.stdin.buffer.read(), "stdin")
    return detect.read_file(args.file)


def _greeting(document: Document, bookmark: Bookmark) -> str:
    """The sentence spoken when a reading goes on where it was left."""
    per_cent = 100 * bookmark.position // document.end
    if document.is_chinese:
        return (
            f"从百分之{per_cent}处继续。"
            if bookmark.exact
            else f"文件已更改，大约从百分之{per_cent}处继续。"
        )
    where = f"at {per_cent} per cent"
    return (
        f"Going on {where}." if bookmark.exact else f"The file has changed. Going on about {where}."
    )


def _engine(args: argparse.Namespace) -> AbstractContextManager[SpeechEngine]:
    """The daemon, if one runs and no option asks for another model or device; else our own."""
    if args.model is None and args.dtype is None and args.device is None:
        from spark_mlx.daemon import client

        daemon = client.connect()
        if daemon is not None:
            return DaemonEngine(daemon)
    from spark_mlx.cli.models import load_model
    from spark_mlx.speech_queue import service

    device = int(args.device) if args.device and args.device.isdecimal() else args.device
    return service.SpeechQueue(functools.partial(load_model, args), device=device)


@contextlib.contextmanager
def _keyboard(taken: bool) -> Iterator[int | None]:
    """The file descriptor of the keys: stdin, or the terminal behind it if stdin is `taken`."""
    if not taken:
        yield None if sys.stdin is None else 0
        return
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield None
        return
    kept = os.dup(0)
    os.dup2(terminal, 0)  # curses reads from nowhere else
    os.close(terminal)
    try:
        yield 0
    finally:
        os.dup2(kept, 0)
        os.close(kept)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit: the terminal is restored, the bookmark kept."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
