"""Teaches the listening half to hear from samples alone the tokens that the oracle makes.

    python training/nano/train_listener.py build/nano/audio build/nano/tokens build/nano/listener

The oracle (`train_tokens.py`) is told the teacher's phonemes, F0 and phase; a recording that is to
be cloned from has none of these. So wav2vec2's shape, the feature encoder and the quantiser's input
projection learn to point where its codes are. Its other two aims, the phoneme and the spectrum
before the narrow end, are there because the narrow end alone teaches slowly.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import loop
from data import HOP, RATE, Batch, Clips
from listener import Listener, normalised
from sizes import NANO, Sizes
from speaking_model import listening
from token_model import MELS, PHONEMES, STEPS, TokenModel, octaves


@dataclasses.dataclass(frozen=True)
class Settings:
    steps: int = 6000
    batch: int = 24
    frames: int = 96
    rate: float = 1.5e-3
    warm_up: int = 100
    seed: int = 2
    direction: float = 4.0
    code: float = 0.2
    phoneme: float = 0.5
    spectrum: float = 1.0
    sharpness: float = 12.0  # of the choice among codes, as the loss sees it


class ListenerModel(nn.Module):
    """The listener and the two heads that training asks."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.listener = Listener(sizes)
        self.phoneme = nn.Linear(sizes.width, PHONEMES)
        self.spectrum = nn.Linear(sizes.width, MELS * STEPS)


def losses(
    model: ListenerModel, tokens: TokenModel, batch: Batch, settings: Settings
) -> dict[str, Tensor]:
    """The terms of the loss, and how often the very code, the phoneme and F0's octave are heard."""
    frames = batch.phonemes.shape[1]
    sound = batch.samples[:, : frames * HOP]
    wide, latents = model.listener.latents(normalised(batch.samples))
    with torch.no_grad():
        known = tokens.known(sound, batch.phonemes, batch.f0, batch.phase)
        mel = tokens.log_mel(sound)[:, : frames * STEPS].reshape(*known.shape, -1)
    codebook = tokens.quantizer.codebook.weight
    unit = functional.normalize(latents.float(), dim=-1)
    near = settings.sharpness * unit @ codebook.T
    terms = {
        "direction": (1 - (unit * codebook[known]).sum(-1)).mean(),
        "code": functional.cross_entropy(near.flatten(0, 1), known.flatten()),
        "phoneme": functional.cross_entropy(
            model.phoneme(wide).float().flatten(0, 1), batch.phonemes.flatten()
        ),
        "spectrum": (model.spectrum(wide).float() - mel).abs().mean(),
    }
    with torch.no_grad():
        heard = near.argmax(-1)
        told = tokens.tell(tokens.quantizer.decode(heard))
        said, voiced = batch.said, batch.f0 > 0
        terms["same"] = (heard == known)[said].float().mean()
        terms["right"] = (told[..., :PHONEMES].argmax(-1) == batch.phonemes)[said].float().mean()
        octave = told[..., PHONEMES + 1] - octaves(batch.f0)
        terms["semitones"] = 12 * octave[voiced].abs().median()
    return terms


def total(terms: dict[str, Tensor], settings: Settings) -> Tensor:
    names = ("direction", "code", "phoneme", "spectrum")
    return torch.stack([getattr(settings, name) * terms[name] for name in names]).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains nano's listening half.")
    parser.add_argument("corpus", type=Path, help="the folder of render.py")
    parser.add_argument("tokens", type=Path, help="the folder of train_tokens.py")
    parser.add_argument("out", type=Path, help="the folder for the checkpoint and the curve")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--minutes", type=float, help="stop after so many")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="compute in bfloat16")
    parser.add_argument("--report", type=int, default=25)
    given = parser.parse_args()
    torch.manual_seed(Settings.seed)
    settings = Settings(steps=given.steps, batch=given.batch)
    tokens = listening(given.tokens, NANO, given.device)
    model = ListenerModel(NANO).to(given.device)
    optimiser = torch.optim.AdamW(
        model.parameters(), settings.rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    step = began = 0
    path = given.out / "listener.pt"
    if path.exists():
        state = loop.load(path, given.device)
        model.load_state_dict(state["model"])
        step = began = state["step"]
        if "optimiser" in state:  # a packed one (checkpoint.py) has none
            optimiser.load_state_dict(state["optimiser"])
            began = 0
    clips, unseen = Clips(given.corpus, "train"), Clips(given.corpus, "valid")
    clock, curve = loop.Clock(given.minutes), loop.Curve(path.with_suffix(".csv"), step)

    def drawn(source: Clips, seed: tuple[int, ...]) -> Batch:
        return source.batch(settings.batch, settings.frames, seed, reference=1)

    def forward(batch: Batch) -> dict[str, Tensor]:
        with torch.autocast(given.device, torch.bfloat16, enabled=given.half):
            return losses(model, tokens, batch.to(given.device), settings)

    batches = loop.ahead(lambda step: drawn(clips, (settings.seed, step)), step)

    recent: list[dict[str, float]] = []
    since = clock.seconds
    while step < settings.steps and not clock.over():
        share = loop.cosine(step, settings.steps, settings.warm_up)
        share *= loop.again(step, began, settings.warm_up)
        loop.set_rate(optimiser, settings.rate * share)
        terms = forward(next(batches))
        optimiser.zero_grad()
        total(terms, settings).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step += 1
        recent.append({name: float(term.detach()) for name, term in terms.items()})
        if step % given.report == 0:
            values = {n: float(np.mean([r[n] for r in recent])) for n in recent[0]}
            sound = len(recent) * settings.batch * settings.frames * HOP / RATE
            values["seconds/s"] = sound / (clock.seconds - since)
            curve.add(step, clock.seconds, "train", values)
            if step % (8 * given.report) == 0:
                with torch.no_grad():
                    found = [forward(drawn(unseen, (99, i))) for i in range(3)]
                means = {n: float(torch.stack([f[n] for f in found]).mean()) for n in found[0]}
                curve.add(step, clock.seconds, "valid", means)
            since, recent = clock.seconds, []
        if clock.save_now() or step == settings.steps or clock.over():
            checkpoint = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            loop.save(path, checkpoint | {"step": step})


if __name__ == "__main__":
    main()
