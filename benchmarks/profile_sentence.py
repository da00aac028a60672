"""Shows where the time of one spoken sentence goes, stage by stage.

    python benchmarks/profile_sentence.py --model FOLDER
    python benchmarks/profile_sentence.py --random full

The number of semantic tokens is fixed, since random weights rarely end by themselves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import spark_mlx  # before mlx, so that MLX finds the fast matrix products

import mlx.core as mx  # isort: skip

from spark_mlx.diagnostics.random_model import random_tts
from spark_mlx.generation.generate import Stage, generate
from spark_mlx.generation.sampling import Sampling
from spark_mlx.tts import SparkTTS

SENTENCE = "The sun rises over the quiet hills, and a new day begins."
TOKENS = 200  # 4 s of speech

T = TypeVar("T")


class Stopwatch:
    """Adds up the seconds of named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, compute: Callable[[], T]) -> T:
        """Computes something to the end and books its time on `stage`."""
        start = time.perf_counter()
        result = compute()
        mx.eval(result)
        self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - start
        return result


def profile(tts: SparkTTS) -> Stopwatch:
    """Speaks the sentence once and books every stage."""
    watch = Stopwatch()
    voice = tts.create_voice()
    prompt = watch.time("prompt ids", lambda: tts.prompt(SENTENCE, voice))
    stage = Stage(tts.vocabulary.semantic.all(), TOKENS)
    ids = generate(tts.lm, prompt, [stage], Sampling(), mx.random.key(0))
    first = watch.time(f"prefill of {len(prompt)} ids, first token", lambda: next(ids))
    rest = watch.time(f"{TOKENS - 1} more tokens", lambda: list(ids))
    codes = mx.array([tts.vocabulary.semantic.codes([first, *rest])])

    codec = tts.codec.bicodec
    speaker = watch.time(
        "speaker vector",
        lambda: codec.speaker_encoder.decode(mx.array(voice.global_tokens)[None]),
    )
    z_q = watch.time("semantic codes → latents", lambda: codec.quantizer.decode(codes))
    x = watch.time("prenet", lambda: codec.prenet(z_q, speaker) + speaker[:, None])
    for i, layer in enumerate(codec.wave_generator.model):
        x = watch.time(f"wave generator {i}: {type(layer).__name__}", lambda: layer(x))  # noqa: B023
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder or a hub id")
    parser.add_argument("--random", choices=("full", "tiny"), help="random weights of that shape")
    args = parser.parse_args()
    tts = random_tts(args.random) if args.random else spark_mlx.load(args.model)
    profile(tts)  # the first time reads weights from disk
    seconds = profile(tts).seconds
    total = sum(seconds.values())
    for stage, spent in seconds.items():
        print(f"{stage:40} {spent:8.3f} s {spent / total:6.1%}")
    print(f"{'in all':40} {total:8.3f} s for {TOKENS * tts.config.hop / tts.sample_rate:g} s")


if __name__ == "__main__":
    main()
