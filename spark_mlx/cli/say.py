"""`spark-mlx say`: text in, sound out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spark_mlx.audio import files, player, time_stretch
from spark_mlx.audio.playback import portaudio
from spark_mlx.audio.time_stretch import OWN_SPEED
from spark_mlx.cli import say_outputs as outputs
from spark_mlx.cli.daemon import say_through_daemon
from spark_mlx.cli.models import mention_built_in
from spark_mlx.cli.voice import list_ as list_voices
from spark_mlx.errors import ConfigError, SubtitleError, TextError, UsageError
from spark_mlx.text.tidy import check_speakable

# In words a minute.
SLOWEST, FASTEST = (
    round(rate * OWN_SPEED) for rate in (time_stretch.SLOWEST, time_stretch.FASTEST)
)


def say(args: argparse.Namespace) -> int:
    if args.voice == "?":
        return list_voices(args)
    if args.audio_device == "?":
        return _list_devices()
    # What can be refused is refused before the work is done.
    _check_options(args)
    text = _read_text(args)
    check_speakable(text)
    # The daemon speaks nothing by force.
    if args.output is None and not args.force:
        status = say_through_daemon(args, text)
        if status is not None:
            return status
    mention_built_in(args)
    if args.output is None:
        _check_device(args)
        outputs.aloud(args, text)
    elif args.output == "-":
        outputs.to_stdout(args, text)
    else:
        files.check_ending(args.output)
        outputs.into_file(args, text)
    return 0


def _list_devices() -> int:
    for device in portaudio.devices():
        print(f"{device.name}\t{device.rate} Hz{', the default' if device.default else ''}")
    return 0


def _read_text(args: argparse.Namespace) -> str:
    name = "-" if args.file is None else args.file
    if args.file is None and args.text not in ([], ["-"]):
        return " ".join(args.text)
    asked = args.file is not None or args.text
    if not asked and sys.stdin.isatty():
        raise UsageError("there is nothing to say; give a text, or a file with -f")
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        if not asked and not data.strip():
            raise UsageError("there is nothing to say on stdin; give a text, or a file with -f")
        return data.decode("utf-8")
    except OSError as error:
        raise TextError(f"cannot read {name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"{'stdin' if name == '-' else name} is not UTF-8 text (byte {error.start})"
        ) from error


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, or have impossible values."""
    if args.voice is not None and (args.gender or args.pitch or args.speed):
        raise UsageError("--gender, --pitch and --speed make a voice up; leave out --voice")
    if args.transcript is not None and not outputs.is_recording(args.voice):
        raise UsageError("--transcript belongs to an audio file given with --voice")
    if not SLOWEST <= args.rate <= FASTEST:
        raise UsageError(
            f"--rate is between {SLOWEST} and {FASTEST} words a minute, not {args.rate}"
        )
    if args.output is not None and (args.audio_device is not None or args.interactive):
        raise UsageError("--audio-device and --interactive belong to playing; leave out --output")
    if args.interactive and args.progress:
        raise UsageError("--interactive and --progress both want the screen; leave one out")
    if [args.output, args.srt, args.vtt].count("-") + args.interactive > 1:
        raise UsageError(
            "only one of --output -, --srt -, --vtt - and --interactive can write to stdout"
        )
    try:
        outputs.sampling(args)
    except ConfigError as error:
        raise UsageError(str(error)) from error
    for path in (args.srt, args.vtt):
        if path not in (None, "-") and not Path(path).parent.is_dir():
            raise SubtitleError(f"cannot write {path}: there is no folder {Path(path).parent}")


def _check_device(args: argparse.Namespace) -> None:
    """Refuse to play where nothing can be played."""
    if args.audio_device is None:
        portaudio.output()
    else:
        player.Player(files.LOWEST_RATE, device=args.audio_device)  # is not opened
