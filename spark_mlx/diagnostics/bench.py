"""Benchmark of a model: seconds, tokens a second and gigabytes, each measured several times.

Times the stages of cloning and speaking with fixed numbers of tokens, so that random weights serve
as well as trained ones. Knows nothing of terminals.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from spark_mlx.diagnostics.system_info import Machine, machine, mlx_memory, peak_memory
from spark_mlx.errors import ConfigError
from spark_mlx.generation.generate import Stage, generate, generate_batch
from spark_mlx.generation.sampling import Sampling
from spark_mlx.generation.stream_decoder import StreamDecoder
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

SENTENCE = "The sun rises over the quiet hills, and a new day begins."


@dataclasses.dataclass(frozen=True)
class Work:
    """The amount of work; measurements with the same amount compare.

    Attributes:
        clip_seconds: length of the clip that a voice is cloned from.
        prompt_tokens: length of the prompt.
        tokens: drawn by each stream to find the tokens a second.
        batches: numbers of streams that are drawn together.
        sentence_tokens: length of a sentence spoken, and of the speech decoded; 50 are a second.
    """

    clip_seconds: float = 6.0
    prompt_tokens: int = 80
    tokens: int = 64
    batches: tuple[int, ...] = (1, 4, 8)
    sentence_tokens: int = 200


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One quantity, measured several times.

    Attributes:
        name: its name in JSON.
        what: the same in words.
        unit: of the values.
        values: in the order they were measured.
    """

    name: str
    what: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_dict(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "median": self.median,
            "lowest": min(self.values),
            "highest": max(self.values),
        }


@dataclasses.dataclass(frozen=True)
class Results:
    """
    Attributes:
        model: the name of the model.
        dtype: the type that the language model computed in.
        quantize: bits of its weights; None when they are not quantised.
        mlx_memory: MLX's counters of bytes at the end: active, cache, peak.
    """

    machine: Machine
    model: str
    dtype: str
    quantize: int | None
    work: Work
    measurements: tuple[Measurement, ...]
    mlx_memory: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        measurements = [measurement.to_dict() for measurement in self.measurements]
        return {**dataclasses.asdict(self), "measurements": measurements}


def run(
    load: Callable[[], SparkTTS],
    *,
    model: str = "",
    repeats: int = 5,
    time_load: bool = True,
    work: Work | None = None,
    progress: Callable[[str], None] | None = None,
) -> Results:
    """Measures a model on the default device.

    Args:
        load: gives the model. It is called again for each time that loading is measured, when the
            model before is gone, so that the peak of memory stays that of one.
        model: its name in the results.
        repeats: how often each quantity is measured, after one run that is not.
        time_load: False when `load` makes a random model, whose time means nothing.
        work: the amount of work.
        progress: called with the name of the next measurement.

    Raises:
        ConfigError: `repeats` is less than one.
    """
    if repeats < 1:
        raise ConfigError(f"everything is measured at least once, not {repeats} times")
    work = work or Work()
    measured: list[Measurement] = []

    def tell(what: str) -> None:
        if progress is not None:
            progress(what)

    def note(name: str, what: str, unit: str, *values: float) -> None:
        measured.append(Measurement(name, what, unit, values))

    def measure(name: str, what: str, unit: str, once: Callable[[], float]) -> tuple[float, ...]:
        tell(what)
        once()  # opens what is opened at first use, compiles, fills caches
        values = tuple(once() for _ in range(repeats))
        note(name, what, unit, *values)
        return values

    tell("load")
    tts, seconds = _loaded(load)
    if time_load:
        loads = [seconds]
        while len(loads) < repeats:
            del tts
            gc.collect()
            mx.clear_cache()
            tts, seconds = _loaded(load)
            loads.append(seconds)
        note("load", "load", "s", *loads)

    bench = _Bench(tts, work)
    measure("prefill", f"prefill of {work.prompt_tokens} tokens", "s", bench.prefill)
    for streams in work.batches:
        what = "LM, 1 stream" if streams == 1 else f"LM, {streams} streams together"
        rate = functools.partial(bench.tokens_a_second, streams)
        measure(f"lm_{streams}", what, "tokens/s", rate)
    measure("decode", "codec decode", "s per s", bench.decode_a_second)
    sentence = f"a sentence of {bench.sentence_seconds:.3g} s"
    times = measure("whole_sentence", f"all of {sentence}", "s", bench.speak)
    tell(f"stream {sentence}, then another")
    bench.stream()
    firsts, waits, streamed = zip(*(bench.stream() for _ in range(repeats)), strict=True)
    note("first_audio", f"time to first audio of {sentence}, streamed", "s", *firsts)
    note("waits", "silence that a player would need within the two", "s", *waits)
    note("real_time_factor_streamed", "end to end, streamed", "s per s", *streamed)
    factors = (seconds / bench.sentence_seconds for seconds in times)
    note("real_time_factor", f"end to end, {sentence}", "s per s", *factors)
    note("peak_memory_speaking", "peak memory, speaking", "GB", peak_memory() / 1e9)
    clip = f"clone a clip of {work.clip_seconds:.3g} s"
    measure("clone", clip, "s", bench.clone)
    measure("clone_transcript", f"{clip} with transcript", "s", bench.clone_with_transcript)
    note("peak_memory_cloning", "peak memory, cloning too", "GB", peak_memory() / 1e9)
    quantized = tts.config.quantize
    return Results(machine(), model, tts.lm.dtype, quantized, work, tuple(measured), mlx_memory())


def _loaded(load: Callable[[], SparkTTS]) -> tuple[SparkTTS, float]:
    """The model, with the weights that speaking needs in memory, and the seconds it took."""
    start = time.perf_counter()
    tts = load()
    return tts, time.perf_counter() - start


class _Bench:
    """The measurements, each method once: most return the seconds it took."""

    def __init__(self, tts: SparkTTS, work: Work) -> None:
        self.tts = tts
        self.work = work
        self.clip = _made_up_clip(work.clip_seconds, tts.sample_rate)
        self.voice = Voice(
            name="bench",
            global_tokens=np.arange(tts.config.speaker_encoder.token_num, dtype=np.int32),
            codec=tts.codec.fingerprint,
            origin="cloned",
            source="made up",
        )
        self.sentence_seconds = work.sentence_tokens * tts.config.hop / tts.sample_rate
        # Of a fixed length, whichever the tokenizer.
        self.prompt = np.resize(tts.prompt(SENTENCE, self.voice), work.prompt_tokens).tolist()

    def clone(self) -> float:
        return _seconds(lambda: self.tts.clone(self.clip))

    def clone_with_transcript(self) -> float:
        return _seconds(lambda: self.tts.clone(self.clip, SENTENCE))

    def prefill(self) -> float:
        """From a prompt to the first token drawn."""
        return _seconds(lambda: list(self._drawn(self.prompt, 1)))

    def tokens_a_second(self, streams: int) -> float:
        """Of all streams together, from when each has its first token."""
        drawn = self._streams(streams)
        for _ in range(streams):
            next(drawn)
        start = time.perf_counter()
        count = sum(1 for _ in drawn)
        return count / (time.perf_counter() - start)

    def decode_a_second(self) -> float:
        codes = self.tts.codec.semantic_codes
        tokens = [code % codes for code in range(self.work.sentence_tokens)]
        seconds = _seconds(lambda: self.tts.codec.decode(self.voice.global_tokens, tokens))
        return seconds / self.sentence_seconds

    def speak(self) -> float:
        """From a sentence to all of its samples."""

        decode = self.tts.codec.decode
        return _seconds(lambda: decode(self.voice.global_tokens, list(self._codes())))

    def stream(self) -> tuple[float, float, float]:
        """Two sentences, one after another, as `SparkTTS.stream` gives them.

        Returns: seconds to the first samples; seconds that a player which starts with them runs
        dry, within a sentence or between the two; seconds to the last samples, for each of speech.
        """
        tts = self.tts
        start = time.perf_counter()
        first = waited = heard = 0.0
        for _ in range(2):
            decoder = StreamDecoder(tts.codec, self.voice.global_tokens)
            settled = decoder.follow(tts.backend.prefetch(self._codes))
            for samples in itertools.chain(settled, map(StreamDecoder.finish, [decoder])):
                if len(samples):
                    now = time.perf_counter() - start
                    first = first or now
                    waited += max(0.0, now - (first + waited + heard))
                    heard += len(samples) / tts.sample_rate
        return first, waited, (time.perf_counter() - start) / heard

    def _streams(self, count: int) -> Iterator[object]:
        """One item for each token of as many equal streams."""
        lm, stage = self.tts.lm, Stage(self.tts.vocabulary.semantic.all(), self.work.tokens)
        keys = [*mx.random.split(mx.random.key(0), count)]
        if count == 1:
            return generate(lm, self.prompt, [stage], Sampling(), keys[0])
        return generate_batch(lm, [self.prompt] * count, [stage] * count, Sampling(), keys)

    def _codes(self) -> Iterator[int]:
        """The semantic tokens of a sentence, as they are drawn."""
        for id_ in self._drawn(self.tts.prompt(SENTENCE, self.voice)):
            yield from self.tts.vocabulary.semantic.codes([id_])

    def _drawn(self, prompt: list[int], count: int | None = None) -> Iterator[int]:
        """The ids of an answer of `count` tokens, else of a sentence."""
        stage = Stage(self.tts.vocabulary.semantic.all(), count or self.work.sentence_tokens)
        return generate(self.tts.lm, prompt, [stage], Sampling(), mx.random.key(0))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _made_up_clip(seconds: float, rate: int) -> tuple[npt.NDArray[np.float32], int]:
    """Something like a voice, that comes and goes like syllables: samples (N,) and their rate."""
    t = np.arange(round(seconds * rate)) / rate
    voice = 0.3 * np.sin(2 * np.pi * 140 * t) ** 3 * np.abs(np.sin(2 * np.pi * 2 * t))
    return voice.astype(np.float32), rate
