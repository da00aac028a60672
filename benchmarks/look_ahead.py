"""Measures what a shorter look-ahead costs: streamed samples against the whole decode.

    python benchmarks/look_ahead.py
    python benchmarks/look_ahead.py --random full
    python benchmarks/look_ahead.py --plot seams.png

The codes are random, which is the hardest case. With --plot a sentence is drawn, of the trained
model: decoded as a whole, streamed, and what is between them (needs matplotlib).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import spark_mlx
from spark_mlx import voices
from spark_mlx.audio.files import Samples
from spark_mlx.codec import Codec, Tokens
from spark_mlx.diagnostics.random_model import random_tts
from spark_mlx.generation.stream_decoder import LOOK_AHEAD, StreamDecoder
from spark_mlx.tts import SparkTTS

CODES = 300  # 6 s
LOOK_AHEADS = (0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
SENTENCE = "Sound comes before the end is known, and nobody hears a seam."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder or a hub id")
    parser.add_argument("--random", choices=("full", "tiny"), help="random weights of that shape")
    parser.add_argument("--plot", help="a picture to write of a streamed sentence")
    args = parser.parse_args()
    tts = random_tts(args.random) if args.random else spark_mlx.load(args.model)
    codec = tts.codec

    random = np.random.default_rng(0)
    voice = random.integers(0, codec.global_codes, tts.config.speaker_encoder.token_num, np.int32)
    codes = random.integers(0, codec.semantic_codes, CODES).tolist()
    whole = codec.decode(voice, codes)
    loudness = np.sqrt(np.mean(whole**2))
    _, after = codec.receptive_field
    print("look-ahead     ms   rms error   largest")
    for look_ahead in sorted({*(n for n in LOOK_AHEADS if n < after), after}):
        error = np.concatenate(streamed(codec, voice, codes, look_ahead)) - whole
        ratio = 20 * np.log10(max(np.sqrt(np.mean(error**2)) / loudness, 1e-10))
        seconds = look_ahead * tts.config.hop / tts.sample_rate
        print(f"{look_ahead:10} {1000 * seconds:6.0f} {ratio:8.1f} dB {np.abs(error).max():9.1e}")
    if args.plot:
        draw(tts, args.plot)


def streamed(
    codec: Codec, voice: Tokens, codes: Sequence[int], look_ahead: int = LOOK_AHEAD
) -> list[Samples]:
    """The chunks of codes that come one by one."""
    decoder = StreamDecoder(codec, voice, look_ahead)
    parts = [decoder.push([code]) for code in codes]
    return [part for part in (*parts, decoder.finish()) if len(part)]


def draw(tts: SparkTTS, path: str) -> None:
    """Spectrograms of a sentence decoded as a whole and streamed, and of their difference."""
    import matplotlib.pyplot as plt

    said = tts.codec.encode(tts.say(SENTENCE, voices.preset(tts.codec.fingerprint)).samples)
    whole = tts.codec.decode(said.global_tokens, said.semantic_tokens)
    chunks = streamed(tts.codec, said.global_tokens, said.semantic_tokens.tolist())
    joined = np.concatenate(chunks)
    seams = np.cumsum([len(chunk) for chunk in chunks[:-1]]) / tts.sample_rate
    rows = {"decoded as a whole": whole, "streamed": joined, "the difference": joined - whole}
    figure, axes = plt.subplots(len(rows), sharex=True, figsize=(9, 6), layout="constrained")
    for axis, (title, samples) in zip(axes, rows.items(), strict=True):
        axis.specgram(
            samples + 1e-9, NFFT=512, Fs=tts.sample_rate, noverlap=384, vmin=-140, vmax=-40
        )
        axis.set_title(title, loc="left", fontsize="medium")
        axis.set_ylabel("Hz")
        for seam in seams:
            axis.axvline(seam, ymin=0.97, color="tab:red")
    axes[-1].set_xlabel("s; red: where one chunk ends and the next begins")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
