"""`spark-mlx say`: text in, sound out."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import sys
import time
from pathlib import Path

from tqdm import tqdm

from spark_mlx import subtitles, voices
from spark_mlx.audio import files, player, time_stretch
from spark_mlx.audio.playback import portaudio
from spark_mlx.audio.time_stretch import OWN_SPEED
from spark_mlx.cli.daemon import say_through_daemon
from spark_mlx.cli.models import load_model, mention_built_in
from spark_mlx.cli.screen import Bar, Marker
from spark_mlx.cli.voice import list_ as list_voices
from spark_mlx.errors import SubtitleError, TextError, UsageError
from spark_mlx.generation.sampling import Sampling
from spark_mlx.speech import Chunk, Sentence
from spark_mlx.speech_queue.service import SpeechQueue, Watch
from spark_mlx.text import clean
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

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
    clean(text)
    if args.output is None and (status := say_through_daemon(args, text)) is not None:
        return status
    mention_built_in(args)
    if args.output is None:
        _check_device(args)
        _aloud(args, text)
        return 0
    if args.output != "-":
        files.check_ending(args.output)
    _into_file(args, text)
    return 0


def _aloud(args: argparse.Namespace, text: str) -> None:
    """Plays what is written meanwhile."""

    with contextlib.ExitStack() as screen:
        watchers: list[Watch] = []
        if args.interactive:
            watchers.append(screen.enter_context(Marker(sys.stdout)))
        if args.progress:
            watchers.append(screen.enter_context(Bar(len(text), sys.stderr)))

        def watch(chunk: Chunk, position: float) -> None:
            for watcher in watchers:
                watcher(chunk, position)

        speech = screen.enter_context(
            SpeechQueue(
                functools.partial(load_model, args),
                voice=lambda tts: _voice(tts, args),
                device=args.audio_device,
                rate=_rate(args),
            )
        )
        report = speech.play(text, sampling=_sampling(args), seed=args.seed, watch=watch)
    _write_subtitles(args, report.sentences, _rate(args))
    _warn(report.warnings)
    if args.verbose:
        _tell(
            f"ready after {report.loading:.2f} s, first samples {report.first:.2f} s later; "
            f"{report.underruns} underruns, {report.waits} waits"
        )
        _tell_speed(report.duration, report.writing)


def _into_file(args: argparse.Namespace, text: str) -> None:
    """Writes a sound file, or a wav to stdout."""
    begun = time.perf_counter()
    tts = load_model(args)
    voice = _voice(tts, args)
    ready = time.perf_counter()
    hidden = False if args.progress else None  # None: where stderr is no terminal
    with tqdm(unit="piece", leave=False, disable=hidden, file=sys.stderr) as bar:

        def progress(done: int, pieces: int) -> None:
            bar.total = pieces
            bar.update(done - bar.n)

        speech = tts.say(
            text,
            voice,
            **dataclasses.asdict(_sampling(args)),
            seed=args.seed,
            progress=progress,
        )
    spoken = time.perf_counter()
    _warn(speech.warnings)
    if args.verbose:
        _tell(f"ready after {ready - begun:.2f} s")
        _tell_speed(speech.duration, spoken - ready)
    speech = speech.at_rate(_rate(args))
    _write_subtitles(args, speech.sentences)
    if args.output == "-":
        files.write(sys.stdout.buffer, speech.samples, speech.sample_rate)
    else:
        speech.save(args.output)


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
    """Refuses options that do not go together, or have impossible values."""
    if args.voice is not None and (args.gender or args.pitch or args.speed):
        raise UsageError("--gender, --pitch and --speed make a voice up; leave out --voice")
    if args.transcript is not None and not _is_recording(args.voice):
        raise UsageError("--transcript belongs to an audio file given with --voice")
    if not SLOWEST <= args.rate <= FASTEST:
        raise UsageError(
            f"--rate is between {SLOWEST} and {FASTEST} words a minute, not {args.rate}"
        )
    if args.output is not None and (args.audio_device is not None or args.interactive):
        raise UsageError("--audio-device and --interactive belong to playing; leave out --output")
    if args.interactive and args.progress:
        raise UsageError("--interactive and --progress both want the screen; leave one out")
    for path in (args.srt, args.vtt):
        if path is not None and not Path(path).parent.is_dir():
            raise SubtitleError(f"cannot write {path}: there is no folder {Path(path).parent}")


def _check_device(args: argparse.Namespace) -> None:
    """Refuses to play where nothing can be played."""
    if args.audio_device is None:
        portaudio.output()
    else:
        player.Player(files.LOWEST_RATE, device=args.audio_device)  # is not opened


def _rate(args: argparse.Namespace) -> float:
    """How many times as fast as the voice's own speed."""
    return float(args.rate) / OWN_SPEED


def _sampling(args: argparse.Namespace) -> Sampling:
    return Sampling(args.temperature, args.top_k, args.top_p)


def _write_subtitles(
    args: argparse.Namespace, sentences: tuple[Sentence, ...], rate: float = 1.0
) -> None:
    if args.srt is not None:
        subtitles.save(args.srt, subtitles.srt(sentences, rate))
    if args.vtt is not None:
        subtitles.save(args.vtt, subtitles.vtt(sentences, rate))


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        print(f"spark-mlx: {warning}", file=sys.stderr)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _tell_speed(duration: float, seconds: float) -> None:
    _tell(
        f"{duration:.2f} s of speech written in {seconds:.2f} s, "
        f"real-time factor {seconds / duration:.2f}"
    )


def _is_recording(voice: str | None) -> bool:
    return voice is not None and Path(voice).suffix.lower() in files.RECORDINGS


def _voice(tts: SparkTTS, args: argparse.Namespace) -> Voice:
    """The voice that the options ask for; without any, the default voice, or one made up."""
    if args.voice is None:
        described = args.gender or args.pitch or args.speed
        if not described and (default := voices.default(tts.codec.fingerprint)) is not None:
            return default
        return tts.create_voice(
            gender=args.gender or "female",
            pitch=args.pitch or "moderate",
            speed=args.speed or "moderate",
            seed=args.seed,
        )
    if _is_recording(args.voice):
        return tts.clone(args.voice, transcript=args.transcript)
    return voices.find(args.voice)
