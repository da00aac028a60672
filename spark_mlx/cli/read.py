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
from spark_mlx.reader import clipboard, formats, plain
from spark_mlx.reader.documents import Document
from spark_mlx.reader.followed import Followed
from spark_mlx.reader.places import Found, Places
from spark_mlx.reader.reading import Reading
from spark_mlx.reader.speaking import FASTEST, SLOWEST, Speaker


def read(args: argparse.Namespace) -> int:
    # What can be refused is refused before anything is loaded.
    _check_options(args)
    document = _document(args)
    places = Places()
    found = None if args.from_start else places.find(document)
    reading = Reading(
        document,
        functools.partial(_speaker, args),
        place=0 if found is None else found.place,
        voice=_voice(args.voice),
        rate=args.rate,
        greeting="" if found is None else _greeting(document, found),
        keep=functools.partial(places.keep, document),
    )
    with _signals(), _keyboard(args.file == "-") as keyboard, contextlib.closing(reading):
        reading.start()
        if args.plain or not _show(reading, keyboard):
            plain.run(reading, keyboard)
    return 0


def _show(reading: Reading, keyboard: int | None) -> bool:
    """The full-screen view; False where the terminal has none."""
    if keyboard is None or not os.isatty(keyboard) or not sys.stdout.isatty():
        return False
    if os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        import curses

        from spark_mlx.reader import view
    except ImportError:  # a Python that was built without curses
        return False
    try:
        view.run(reading)
    except curses.error:
        return False
    return True


def _check_options(args: argparse.Namespace) -> None:
    if args.rate is not None and not SLOWEST <= args.rate <= FASTEST:
        raise UsageError(
            f"--rate is {SLOWEST} to {FASTEST} words a minute, not {args.rate}; 180 is the "
            "voice's own speed"
        )
    if sum((args.file is not None, args.clipboard, args.selection)) != 1:
        raise UsageError("give one thing to read: a file, - for stdin, --clipboard or --selection")


def _voice(name: str | None) -> str | None:
    """The name of a voice that there is, or the whole path of its file."""
    if name is None:
        return None
    from spark_mlx import voices

    voices.find(name)
    return str(Path(name).resolve()) if Path(name).exists() else name


def _document(args: argparse.Namespace) -> Document:
    if args.clipboard or args.selection:
        name = "the selection" if args.selection else "the clipboard"
        return formats.read_bytes(clipboard.read(args.selection), name)
    if args.file == "-":
        return formats.read_bytes(sys.stdin.buffer.read(), "stdin")
    return formats.read_file(args.file)


def _greeting(document: Document, found: Found) -> str:
    """What is said when a reading goes on where it was left."""
    per_cent = 100 * found.place // document.end
    if document.is_chinese:
        return (
            f"从百分之{per_cent}处继续。"
            if found.exact
            else f"文件已更改，大约从百分之{per_cent}处继续。"
        )
    where = f"at {per_cent} per cent"
    return f"Going on {where}." if found.exact else f"The file has changed. Going on about {where}."


def _speaker(args: argparse.Namespace) -> AbstractContextManager[Speaker]:
    """The daemon, when one runs and is not asked to be another one; else a speaker of our own."""
    if args.model is None and args.dtype is None and args.device is None:
        from spark_mlx.daemon import client

        daemon = client.connect()
        if daemon is not None:
            return Followed(daemon)
    from spark_mlx.cli.models import load_model
    from spark_mlx.speech_queue import service

    device = int(args.device) if args.device and args.device.isdecimal() else args.device
    return service.Speaker(functools.partial(load_model, args), device=device)


@contextlib.contextmanager
def _keyboard(taken: bool) -> Iterator[int | None]:
    """Where keys come from: stdin, or the terminal behind it if stdin is `taken`."""
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
    """Ends in order, with the terminal and the place, also when the terminal is closed."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
