"""`spark-mlx say`: text in, sound out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from spark_mlx import audio, player, voices
from spark_mlx.cli.models import load_model
from spark_mlx.errors import TextError, UsageError
from spark_mlx.pipeline import SparkTTS
from spark_mlx.voice import Voice


def say(args: argparse.Namespace) -> int:
    # What can be refused is refused before the work is done.
    _check_options(args)
    if args.output is None:
        player.output()
    elif args.output != "-":
        audio.check_ending(args.output)
    text = _read_text(args)
    tts = load_model(args)
    voice = _voice(tts, args)
    with tqdm(unit="piece", leave=False, disable=None, file=sys.stderr) as bar:

        def progress(done: int, pieces: int) -> None:
            bar.total = pieces
            bar.update(done - bar.n)

        speech = tts.say(
            text,
            voice,
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            seed=args.seed,
            progress=progress,
        )
    for warning in speech.warnings:
        print(f"spark-mlx: {warning}", file=sys.stderr)
    if args.output is None:
        speech.play()
    elif args.output == "-":
        audio.write(sys.stdout.buffer, speech.samples, speech.sample_rate)
    else:
        speech.save(args.output)
    return 0


def _read_text(args: argparse.Namespace) -> str:
    name = args.text if args.file is None else args.file
    if args.file is None and name != "-":
        return str(name)
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise TextError(f"cannot read {name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"{'stdin' if name == '-' else name} is not UTF-8 text (byte {error.start})"
        ) from error


def _check_options(args: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    if args.voice is not None and (args.gender or args.pitch or args.speed):
        raise UsageError("--gender, --pitch and --speed make a voice up; leave out --voice")
    if args.transcript is not None and not _is_recording(args.voice):
        raise UsageError("--transcript belongs to an audio file given with --voice")


def _is_recording(voice: str | None) -> bool:
    return voice is not None and Path(voice).suffix.lower() in audio.RECORDINGS


def _voice(tts: SparkTTS, args: argparse.Namespace) -> Voice:
    """The voice that the options ask for; without any, one made up by the model."""
    if args.voice is None:
        return tts.create_voice(
            gender=args.gender or "female",
            pitch=args.pitch or "moderate",
            speed=args.speed or "moderate",
            seed=args.seed,
        )
    if _is_recording(args.voice):
        return tts.clone(args.voice, transcript=args.transcript)
    return voices.find(args.voice)
