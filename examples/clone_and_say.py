"""Speak a sentence in the voice of a recording.

    python examples/clone_and_say.py alice.wav "Good morning." morning.wav --consent "by mail"

Five to twenty seconds of clear speech are a good recording. Ask its speaker first: how they agreed
is kept with the voice, which is saved beside the sound as an .npz file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import spark_mlx


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak a sentence in the voice of a recording.")
    parser.add_argument("clip", type=Path, help="a recording: wav, flac, mp3 or ogg")
    parser.add_argument("text", help="what to say")
    parser.add_argument("output", type=Path, help="the sound file to write")
    parser.add_argument("--consent", required=True, help="how the voice's owner agreed")
    parser.add_argument("--transcript", help="what the recording says; brings the voice closer")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another reading")
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    arguments = parser.parse_args()

    tts = spark_mlx.load(arguments.model)
    voice = tts.clone(arguments.clip, transcript=arguments.transcript, consent=arguments.consent)
    voice.save(arguments.output.with_suffix(".npz"))
    speech = tts.say(arguments.text, voice=voice, seed=arguments.seed)
    speech.save(arguments.output)
    print(f"{arguments.output}: {speech.duration:.2f} s as {voice.name}")


if __name__ == "__main__":
    main()
