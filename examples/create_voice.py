"""Makes a voice up from labels, saves it, and speaks two sentences with it.

    python examples/create_voice.py tom.npz --gender male --pitch low --seed 7

Both sentences come from one voice: it keeps its speaker, and the pitch and speed that the model
wrote for it. The sounds lie beside the voice as tom-1.wav and tom-2.wav.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import spark_mlx
from spark_mlx.generation.labels import GENDERS, LEVELS

SENTENCES = ("This voice belongs to nobody.", "It stays the same.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a voice up and speaks with it.")
    parser.add_argument("output", type=Path, help="the voice to write, ending in .npz")
    parser.add_argument("--gender", choices=GENDERS, default="female")
    parser.add_argument("--pitch", choices=LEVELS, default="moderate")
    parser.add_argument("--speed", choices=LEVELS, default="moderate")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another voice")
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    arguments = parser.parse_args()

    tts = spark_mlx.load(arguments.model)
    voice = tts.create_voice(
        gender=arguments.gender,
        pitch=arguments.pitch,
        speed=arguments.speed,
        seed=arguments.seed,
        name=arguments.output.stem,
    )
    voice.save(arguments.output)
    print(f"{arguments.output}: {voice.attributes}")
    for number, sentence in enumerate(SENTENCES, start=1):
        target = arguments.output.with_name(f"{arguments.output.stem}-{number}.wav")
        tts.say(sentence, voice=voice, seed=arguments.seed).save(target)
        print(target)


if __name__ == "__main__":
    main()
