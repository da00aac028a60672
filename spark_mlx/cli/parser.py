"""The parser of `spark-mlx`. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse

from spark_mlx.cli.parsers import speech, system, voices
from spark_mlx.version import __version__


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spark-mlx",
        description="Speech from text, in a voice cloned from a clip or made up from labels.",
        epilog='example: spark-mlx say "Hello." -o hello.wav',
    )
    parser.add_argument("--version", action="version", version=f"spark-mlx {__version__}")
    parser.add_argument("--debug", action="store_true", help="log, and show where errors come from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    speech.add_say(commands)
    speech.add_read(commands)
    speech.add_daemon(commands)
    voices.add_voice(commands)
    system.add_install(commands)
    system.add_download(commands)
    system.add_convert(commands)
    system.add_doctor(commands)
    system.add_bench(commands)
    return parser
