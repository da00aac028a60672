"""Where `spark-mlx say` puts its sound: aloud, into a file, or a wav on stdout."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from spark_mlx import subtitles, voices
from spark_mlx.audio import files
from spark_mlx.audio.sinks import GrowingFile, WavStream, WholeFile
from spark_mlx.audio.time_stretch import OWN_SPEED, Stretch
from spark_mlx.cli.models import load_model
from spark_mlx.cli.printing import note as screen_note
from spark_mlx.cli.screen import Bar, Marker
from spark_mlx.cli.stderr import own_stderr
from spark_mlx.errors import GenerationError
from spark_mlx.generation.pauses import Joiner
from spark_mlx.generation.sampling import Sampling
from spark_mlx.speech import Chunk, Sentence, Speech, note
from spark_mlx.speech_queue.job import ScriptSource
from spark_mlx.speech_queue.service import SpeechQueue, Watch
from spark_mlx.text.script import Passage, Script
from spark_mlx.text.tidy import LONGEST_TEXT
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice


def aloud(args: argparse.Namespace, text: str) -> None:
    """Play a text while it is written."""
    with contextlib.ExitStack() as screen:
        if not args.debug:
            screen.enter_context(own_stderr())
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
        report = speech.play(
            text, sampling=sampling(args), seed=args.seed, force=args.force, watch=watch
        )
    _write_subtitles(args, report.sentences, _rate(args))
    _warn(report.warnings)
    if args.verbose:
        _tell(
            f"ready after {report.loading:.2f} s, first samples {report.first:.2f} s later; "
            f"{report.underruns} underruns, {report.waits} waits"
        )
        _tell_speed(report.duration, report.writing)


def to_stdout(args: argparse.Namespace, text: str) -> None:
    """Write a wav to stdout while the text is written; the reading is that of `aloud`."""
    begun = time.perf_counter()
    tts = load_model(args)
    voice = _voice(tts, args)
    ready = time.perf_counter()
    stretch, rate = Stretch(tts.sample_rate), _rate(args)
    found: dict[int, Sentence] = {}
    warnings: list[str] = []
    duration = 0.0
    source = ScriptSource(Script(text), sampling(args), args.seed, args.force)
    with WavStream(sys.stdout.buffer, tts.sample_rate) as sink, _Progress(args, len(text)) as bar:
        for chunk in source.chunks(tts, voice, 0, threading.Event()):
            note(found, chunk)
            warnings += [chunk.warning] if chunk.warning else []
            duration = max(duration, chunk.end)
            sink.write(stretch.process(chunk.samples, rate))
            bar.update(chunk.span[1] - bar.n)
        sink.write(stretch.process(np.zeros(0, dtype=np.float32), rate, last=True))
    if not found:
        fault = warnings[0] if warnings else "no sound"
        raise GenerationError(f"the model gave {fault}; try another seed or wording")
    _end(args, ready - begun, time.perf_counter() - ready, duration, warnings, found.values())


def into_file(args: argparse.Namespace, text: str) -> None:
    """Write a sound file; one of a long text is written while it grows."""
    begun = time.perf_counter()
    tts = load_model(args)
    voice = _voice(tts, args)
    ready = time.perf_counter()
    rate, stretch, joiner = _rate(args), Stretch(tts.sample_rate), Joiner(tts.sample_rate)
    sentences: list[Sentence] = []
    warnings: list[str] = []
    written = 0
    make = WholeFile if len(text) <= LONGEST_TEXT else GrowingFile
    with make(args.output, tts.sample_rate) as sink:
        for place, part, passage in _parts(args, tts, voice, text):
            silence = joiner.before(part.samples)
            start = (written + len(silence)) / tts.sample_rate
            sentences += [
                Sentence(
                    one.text,
                    (place + one.span[0], place + one.span[1]),
                    start + one.start,
                    start + one.end,
                )
                for one in part.sentences
            ]
            for samples in (silence, part.samples):
                sink.write(stretch.process(samples, rate))
                written += len(samples)
            warnings += part.warnings
            joiner.end(passage.boundary)
        sink.write(stretch.process(np.zeros(0, dtype=np.float32), rate, last=True))
    duration = written / tts.sample_rate
    _end(args, ready - begun, time.perf_counter() - ready, duration, warnings, sentences)


def _parts(
    args: argparse.Namespace, tts: SparkTTS, voice: Voice, text: str
) -> Iterator[tuple[int, Speech, Passage]]:
    """Speak a text in parts of at most `LONGEST_TEXT`: where each begins, and how it ends."""
    pieces = 0
    for start, passage in _cuts(text):
        with _Progress(args) as bar:

            def progress(done: int, count: int, bar: _Progress = bar) -> None:
                bar.total = count
                bar.update(done - bar.n)

            speech = tts.say(
                text[start : passage.end],
                voice,
                **dataclasses.asdict(sampling(args)),
                seed=args.seed,
                force=args.force,
                progress=progress,
                first_piece=pieces,
            )
        yield start, speech, passage
        pieces += len(speech.sentences)


def _cuts(text: str) -> Iterator[tuple[int, Passage]]:
    """Cut a text where a passage ends: the start of each part, and its last passage."""
    start = 0
    before: Passage | None = None
    for passage in Script(text).passages(0):
        if before is not None and passage.end - start > LONGEST_TEXT:
            yield start, before
            start = passage.start
        before = passage
    if before is not None:
        yield start, before


class _Progress(tqdm):  # type: ignore[type-arg]
    """A bar, where stderr is a terminal or `--progress` asks for it."""

    def __init__(self, args: argparse.Namespace, total: int | None = None) -> None:
        hidden = False if args.progress else None  # None: where stderr is no terminal
        unit = "piece" if total is None else "char"
        super().__init__(total=total, unit=unit, leave=False, disable=hidden, file=sys.stderr)


def sampling(args: argparse.Namespace) -> Sampling:
    """How ids are drawn.

    Raises:
        ConfigError: an option has an impossible value.
    """
    return Sampling(args.temperature, args.top_k, args.top_p)


def _rate(args: argparse.Namespace) -> float:
    """The tempo: 1 is the voice's own speed."""
    return float(args.rate) / OWN_SPEED


def _end(
    args: argparse.Namespace,
    loading: float,
    writing: float,
    duration: float,
    warnings: list[str],
    sentences: Iterable[Sentence],
) -> None:
    _warn(warnings)
    if args.verbose:
        _tell(f"ready after {loading:.2f} s")
        _tell_speed(duration, writing)
    _write_subtitles(args, sentences, _rate(args))


def _write_subtitles(args: argparse.Namespace, sentences: Iterable[Sentence], rate: float) -> None:
    sentences = list(sentences)
    for path, form in ((args.srt, subtitles.srt), (args.vtt, subtitles.vtt)):
        if path == "-":
            sys.stdout.write(form(sentences, rate))
        elif path is not None:
            subtitles.save(path, form(sentences, rate))


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        screen_note(warning)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _tell_speed(duration: float, seconds: float) -> None:
    _tell(
        f"{duration:.2f} s of speech written in {seconds:.2f} s, "
        f"real-time factor {seconds / duration:.2f}"
    )


def is_recording(voice: str | None) -> bool:
    """Whether `--voice` names an audio file to clone."""
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
    if is_recording(args.voice):
        return tts.clone(args.voice, transcript=args.transcript)
    return voices.find(args.voice)
