"""`spark-mlx say`: text in, sound out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from spark_mlx import audio, voices
from spark_mlx.cli.models import load_model
from spark_mlx.errors import TextError, UsageError
from spark_mlx.pipeline import SparkTTS
from spark_mlx.voice import Voice


def say(args: argparse.Namespace) -> int:
    text = _read_text(args)
    if args.output is not None and args.output != "-":
        audio.check_ending(args.output)
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


def _voice(tts: SparkTTS, args: argparse.Namespace) -> Voice:
    """The voice that the options ask for; without any, one made up by the model."""
    style = {k: v for k in ("gender", "pitch", "speed") if (v := getattr(args, k)) is not None}
    if args.voice is None:
        if args.transcript is not None:
            raise UsageError("--transcript belongs to an audio file given with --voice")
        return tts.create_voice(**style, seed=args.seed)
    if style:
        raise UsageError("--gender, --pitch and --speed make a voice up; leave out --voice")
    if Path(args.voice).suffix.lower() in audio.RECORDINGS:
        return tts.clone(args.voice, transcript=args.transcript)
    if args.transcript is not None:
        raise UsageError("--transcript belongs to an audio file; a saved voice carries its own")
    return voices.find(args.voice)
