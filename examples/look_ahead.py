"""Measures what a shorter look-ahead costs: streamed samples against the whole decode.

python examples/look_ahead.py --model FOLDER
python examples/look_ahead.py --random full
"""

from __future__ import annotations

import argparse

import numpy as np

import spark_mlx
from spark_mlx.random_model import random_tts
from spark_mlx.stream import StreamDecoder, receptive_field

CODES = 300  # 6 s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder or a hub id")
    parser.add_argument("--random", choices=("full", "tiny"), help="random weights of that shape")
    args = parser.parse_args()
    tts = random_tts(args.random) if args.random else spark_mlx.load(args.model)
    codec = tts.codec

    random = np.random.default_rng(0)
    voice = random.integers(0, codec.global_codes, tts.config.speaker_encoder.token_num)
    codes = random.integers(0, codec.semantic_codes, CODES).tolist()
    whole = codec.decode(voice.astype(np.int32), codes)
    loudness = np.sqrt(np.mean(whole**2))
    _, after = receptive_field(codec.bicodec)
    print("look-ahead     ms   rms error   largest")
    for look_ahead in (0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, after):
        decoder = StreamDecoder(codec, voice.astype(np.int32), look_ahead)
        parts = [decoder.push([code]) for code in codes]
        error = np.concatenate([*parts, decoder.finish()]) - whole
        ratio = 20 * np.log10(max(np.sqrt(np.mean(error**2)) / loudness, 1e-10))
        seconds = look_ahead * tts.config.hop / tts.sample_rate
        print(f"{look_ahead:10} {1000 * seconds:6.0f} {ratio:8.1f} dB {np.abs(error).max():9.1e}")


if __name__ == "__main__":
    main()
