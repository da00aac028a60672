"""Turns a recording into tokens and back: what the codec alone keeps of it.

    python examples/codec_round_trip.py alice.wav again.wav

No language model takes part. If the result does not sound like the recording, no voice cloned from
that recording will.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import spark_mlx
from spark_mlx.audio import files


def main() -> None:
    parser = argparse.ArgumentParser(description="Turns a recording into tokens and back.")
    parser.add_argument("clip", type=Path, help="a recording: wav, flac, mp3 or ogg")
    parser.add_argument("output", type=Path, help="the sound file to write")
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    arguments = parser.parse_args()

    tts = spark_mlx.load(arguments.model)
    samples = files.reference(arguments.clip, tts.sample_rate)
    codes = tts.codec.encode(samples)
    decoded = tts.codec.decode(codes.global_tokens, codes.semantic_tokens)
    spark_mlx.Speech(decoded, tts.sample_rate).save(arguments.output)

    seconds = len(samples) / tts.sample_rate
    count = len(codes.semantic_tokens)
    print(f"{seconds:.2f} s are {len(codes.global_tokens)} global tokens, who speaks,")
    print(f"and {count} semantic tokens, what is said: {count / seconds:.1f} a second")


if __name__ == "__main__":
    main()
