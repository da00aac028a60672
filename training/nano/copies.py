"""Judges copies: unseen sentences by the teacher → tokens → samples, heard by `judges.py`.

    python training/nano/copies.py build/nano --count 16

For the teacher itself, and for copies by the oracle's tokens and by the listener's, if there is
one yet: word errors, naturalness, and the share of voiced frames that keep their F0. With
`--sounds` the clips are written as well, with pictures of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import loop
from data import AHEAD
from encoded import REFERENCE
from judges import Critic, Recogniser, rate
from labels import f0_track
from listener import normalised
from render import trimmed
from sizes import NANO
from speaking_model import SpeakingModel, listening
from teacher import Teacher, Utterance
from train_listener import ListenerModel
from voices import Style

UNSEEN = Path(__file__).with_name("unseen.txt")
Floats = npt.NDArray[np.float32]
Copy = Callable[[Utterance], Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description="Judges the codec's copies.")
    parser.add_argument("build", type=Path, help="the folder that holds what was trained")
    parser.add_argument("--count", type=int, default=16, help="sentences")
    parser.add_argument("--sounds", type=Path, help="a folder for the clips")
    given = parser.parse_args()
    torch.set_grad_enabled(False)
    texts = UNSEEN.read_text(encoding="utf-8").splitlines()[: given.count]
    teacher = Teacher()
    spoken = [trimmed(teacher.speak(teacher.phonemes(text), Style(), 7)) for text in texts]
    ways: dict[str, Copy] = {"teacher": lambda utterance: utterance.samples}
    ways |= copiers(given.build)
    recogniser, critic = Recogniser(), Critic()
    for name, way in ways.items():
        heard, scores, pitches = [], [], []
        for i, (text, utterance) in enumerate(zip(texts, spoken, strict=True)):
            assert utterance is not None
            samples = way(utterance)
            heard.append((text, recogniser.hear(samples)))
            scores.append(critic.score(samples))
            pitches.append(kept_pitch(utterance.samples, samples))
            if given.sounds:
                write(given.sounds, f"{i:02}-{name}", samples)
        found = {
            "who": name,
            "word errors": round(100 * rate(heard), 1),
            "naturalness": round(float(np.mean(scores)), 2),
            "pitch kept": round(100 * float(np.mean(pitches)), 1),
            "heard": heard[0][1],
        }
        print(json.dumps(found), flush=True)


def copiers(build: Path) -> dict[str, Copy]:
    """The ways to copy that there are checkpoints for."""
    tokens = listening(build / "tokens", NANO, "cpu")
    speaking = SpeakingModel(NANO, tokens)
    speaking.load_state_dict(loop.load(build / "decoder" / "decoder.pt", "cpu")["mean"])
    speaking.eval()

    def said(semantic: torch.Tensor, samples: Floats) -> Floats:
        clip = torch.from_numpy(np.resize(samples, REFERENCE))[None]
        _, voice = tokens.speaker_encoder(tokens.speaker_mel(clip))
        found: Floats = speaking(semantic, voice, 0, semantic.shape[1])[0].numpy()
        return found

    def by_oracle(utterance: Utterance) -> Floats:
        sound = torch.from_numpy(utterance.samples)[None]
        labels = (utterance.phonemes, utterance.f0, utterance.phase)
        known = tokens.known(sound, *(torch.from_numpy(column)[None] for column in labels))
        return said(known, utterance.samples)

    ways: dict[str, Copy] = {"oracle": by_oracle}
    path = build / "listener" / "listener.pt"
    if path.exists():
        ears = ListenerModel(NANO).eval()
        ears.load_state_dict(loop.load(path, "cpu")["model"])

        def by_ear(utterance: Utterance) -> Floats:
            sound = torch.from_numpy(np.pad(utterance.samples, (0, AHEAD)))[None]
            return said(
                tokens.quantizer.nearest(ears.listener(normalised(sound))), utterance.samples
            )

        ways["listener"] = by_ear
    return ways


def kept_pitch(real: Floats, made: Floats) -> float:
    """The share of the frames with a voice whose F0 is within 5 % in the copy."""
    a, b = (f0_track(sound)[: len(real) // 160] for sound in (real, made))
    voiced = a > 0
    close = np.abs(b[voiced] - a[voiced]) < 0.05 * a[voiced]
    return float(close.mean()) if voiced.any() else 1.0


def write(folder: Path, name: str, samples: Floats) -> None:
    """A clip as FLAC, and its spectrogram as a picture."""
    import matplotlib.pyplot as plt
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.flac", samples, 16_000)
    figure, axes = plt.subplots(figsize=(12, 4))
    axes.specgram(samples + 1e-6, NFFT=512, Fs=16_000, noverlap=384, vmin=-120)
    figure.savefig(folder / f"{name}.png", dpi=80, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
