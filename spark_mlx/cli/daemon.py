"""`spark-mlx daemon`: holds the model and speaks for others; and how `say` speaks through it."""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from spark_mlx.audio import files
from spark_mlx.audio.time_stretch import OWN_SPEED
from spark_mlx.daemon import client
from spark_mlx.daemon.address import Address, default_path
from spark_mlx.errors import DaemonError, SparkError

if TYPE_CHECKING:
    from spark_mlx.daemon.server import Server
    from spark_mlx.speech_queue.service import SpeechQueue

# What the daemon can do of what `say` can: all other options must be as they are by default.
_SHARED = {"text", "file", "voice", "rate", "debug"}


def daemon(args: argparse.Namespace) -> int:
    path = default_path() if args.socket is None else Path(args.socket).absolute()
    if args.status or args.stop:
        return _talk(args, path)
    from spark_mlx.checkpoints import hub
    from spark_mlx.daemon.server import Server
    from spark_mlx.speech_queue.service import SpeechQueue
    from spark_mlx.tts import load

    folder = hub.resolve(args.model)
    idle = None if args.idle_exit is None else 60 * args.idle_exit
    with Address(path) as address:
        loading = functools.partial(load, folder, dtype=args.dtype)
        speech = SpeechQueue(loading, voice=args.voice, device=args.device)
        server = Server(speech, address, {"model": str(folder), "voice": args.voice}, idle)
        failures: list[SparkError] = []
        print(f"spark-mlx: listening at {path}", file=sys.stderr, flush=True)
        threading.Thread(
            target=_watch_loading, args=(speech, server, failures), daemon=True
        ).start()
        server.run((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    if failures:
        raise failures[0]
    return 0


def say_through_daemon(args: argparse.Namespace, text: str) -> int | None:
    """Speaks for `spark-mlx say` through the daemon; the exit status.

    None when it cannot: no daemon runs, or the options ask for what it does not do. Ctrl-C stops
    this text only.

    Raises:
        SparkError: the daemon refuses, or it could not speak the text.
    """
    from spark_mlx.cli.parser import build_parser

    usual = vars(build_parser().parse_args(["say", "x"]))
    asked = vars(args)
    if any(asked.get(name) != value for name, value in usual.items() if name not in _SHARED):
        return None
    if args.voice is not None and Path(args.voice).suffix.lower() in files.RECORDINGS:
        return None
    speaker = client.connect()
    if speaker is None:
        return None
    with speaker:
        rate = args.rate / OWN_SPEED
        # Whoever interrupts this command leaves, and the speech ends with that.
        for event in speaker.say(text, voice=args.voice, rate=rate, follow=True):
            if event.kind == "error":
                raise DaemonError(event.message)
            if event.kind == "end" and event.message:
                print(f"spark-mlx: {event.message}", file=sys.stderr)
    return 0


def _talk(args: argparse.Namespace, path: Path) -> int:
    """Asks a daemon how it is, or to end."""
    speaker = client.connect(path)
    if speaker is None:
        raise DaemonError(f"no daemon listens at {path}; start one with: spark-mlx daemon")
    with speaker:
        if args.stop:
            speaker.shutdown()
            return 0
        for name, value in speaker.status().items():
            print(f"{name.replace('_', ' ')}: {'none' if value is None else value}")
    return 0


def _watch_loading(speech: SpeechQueue, server: Server, failures: list[SparkError]) -> None:
    """Tells when the model is there; a daemon without one ends."""
    try:
        speech.wait_loaded()
        print("spark-mlx: ready", file=sys.stderr, flush=True)
    except SparkError as error:
        failures.append(error)
        server.stop()
