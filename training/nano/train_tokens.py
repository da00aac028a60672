"""Teaches the listening half what the teacher knows, and nothing of waveforms.

    python training/nano/train_tokens.py build/nano/audio build/nano/tokens --steps 3000

Samples → latents → codes; from each code by itself the phoneme, the voice's F0 and where it is in
its period have to be told, and from all of them together, with who speaks, the spectrum. The voice
encoder learns along: its tokens have to tell the mean F0 and the speaker. What comes out is frozen
from then on, so that a recording keeps its tokens while the wave generator and the language model
learn. The prenet learns along too, and the wave generator begins with it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

import loop
from data import HOP, Batch, Clips
from sizes import NANO, Sizes
from token_model import HERTZ, PHONEMES, SPEAKERS, STEPS, TokenModel, octaves

Drawn = tuple[Batch, Tensor]  # a batch, and the mean F0 of each segment's speaker


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of a training; the weights are those of the loss's terms."""

    steps: int = 3000
    batch: int = 24
    frames: int = 96
    rate: float = 2e-3
    warm_up: int = 50
    begin: int = 200  # the step at which the codebook is set
    seed: int = 0
    spectrum: float = 3.0
    phoneme: float = 0.5
    pitch: float = 4.0
    voiced: float = 0.3
    phase: float = 0.3
    commitment: float = 0.5
    speaker: float = 0.3


def losses(model: TokenModel, batch: Batch, mean_f0: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The terms of the loss, unweighted, and the latents (B, T, D)."""
    samples = batch.samples
    frames = batch.phonemes.shape[1]
    target = model.log_mel(samples)[:, : frames * STEPS]  # (B, 4T, mels)
    latents = model.oracle(batch.phonemes, batch.f0, batch.phase, target)
    vectors, codes, apart = model.quantizer(latents)
    vector, _ = model.speaker_encoder(model.speaker_mel(batch.references))
    features = model.prenet(vectors, vector)
    told = model.tell(vectors).float()
    who = model.who(vector).float()

    guess = model.spectrum(features).transpose(1, 2).reshape(target.shape).float()
    said, voiced = batch.said, batch.f0 > 0
    height = octaves(batch.f0)
    turn = 2 * math.pi * batch.phase
    phase = torch.stack([turn.cos(), turn.sin()], dim=-1)
    offset = (told[..., PHONEMES + 2 :] - phase).square().sum(-1)
    terms = {
        "spectrum": (guess - target).abs().mean(),
        "phoneme": functional.cross_entropy(
            told[..., :PHONEMES].flatten(0, 1), batch.phonemes.flatten()
        ),
        "pitch": functional.smooth_l1_loss(
            told[..., PHONEMES + 1][voiced], height[voiced], beta=0.05
        ),
        "voiced": functional.binary_cross_entropy_with_logits(told[..., PHONEMES], voiced.float()),
        "phase": offset[voiced].mean(),
        "commitment": apart,
        "speaker": (who[:, 0] - torch.log2(mean_f0 / HERTZ)).abs().mean()
        + 0.3 * functional.cross_entropy(who[:, 1:], batch.speaker.long()),
    }
    with torch.no_grad():
        right = told[..., :PHONEMES].argmax(-1) == batch.phonemes
        semitones = 12 * (told[..., PHONEMES + 1] - height)[voiced].abs()
        turned = torch.atan2(told[..., PHONEMES + 3], told[..., PHONEMES + 2]) - turn
        turned = torch.remainder(turned + math.pi, 2 * math.pi) - math.pi
        share = torch.bincount(codes.flatten(), minlength=8) / codes.numel()
        terms["right"] = right[said].float().mean()
        terms["semitones"] = semitones.median()
        terms["turned"] = turned[voiced].abs().median() / (2 * math.pi)
        terms["used"] = torch.exp(-(share * torch.log(share + 1e-9)).sum())
    terms["codes"] = codes
    return terms, latents


def total(terms: dict[str, Tensor], settings: Settings) -> Tensor:
    names = ("spectrum", "phoneme", "pitch", "voiced", "phase", "commitment", "speaker")
    return torch.stack([getattr(settings, name) * terms[name] for name in names]).sum()


class Training:
    """A model, its optimiser and the step it has got to."""

    def __init__(self, sizes: Sizes, settings: Settings, device: str, half: bool) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device, self.half = settings, device, half
        self.model = TokenModel(sizes).to(device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), settings.rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.step = self.began = 0
        self._latents: list[Tensor] = []

    def forward(self, drawn: Drawn) -> dict[str, Tensor]:
        batch, mean = drawn
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            terms, latents = losses(self.model, batch.to(self.device), mean.to(self.device))
        self._last = latents.detach().flatten(0, 1)
        return terms

    def advance(self, drawn: Drawn) -> dict[str, float]:
        """One step."""
        own = self.settings
        share = loop.cosine(self.step, own.steps, own.warm_up)
        share *= loop.again(self.step, self.began, own.warm_up)
        loop.set_rate(self.optimiser, own.rate * share)
        terms = self.forward(drawn)
        self.optimiser.zero_grad()
        total(terms, own).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        codes = terms.pop("codes")
        quantizer = self.model.quantizer
        values = {name: float(value.detach()) for name, value in terms.items()}
        if quantizer.quantised:
            values["dead"] = quantizer.follow(self._last, codes.flatten())
        elif self.step >= own.begin - 20:
            self._latents.append(self._last)
            if self.step >= own.begin:
                quantizer.begin(torch.cat(self._latents))
                self._latents = []
        self.step += 1
        return values

    @torch.no_grad()
    def validate(self, clips: Clips, batches: int = 4) -> dict[str, float]:
        self.model.eval()
        frames = self.settings.frames
        found = [self.forward(draw(clips, 16, frames, (999, i))) for i in range(batches)]
        self.model.train()
        names = [name for name in found[0] if name != "codes"]
        return {name: float(torch.stack([f[name] for f in found]).mean()) for name in names}

    def state(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state; an optimiser that a packed one has not begins anew."""
        self.model.load_state_dict(state["model"])
        self.step = self.began = state["step"]
        if "optimiser" in state:
            self.optimiser.load_state_dict(state["optimiser"])
            self.began = 0


def draw(clips: Clips, size: int, frames: int, seed: tuple[int, ...]) -> Drawn:
    """A batch, and the mean F0 of each segment's speaker (B,), Hz."""
    batch = clips.batch(size, frames, seed)
    return batch, torch.from_numpy(speaker_f0(clips)[batch.speaker.numpy()])


@functools.cache
def speaker_f0(clips: Clips) -> npt.NDArray[np.float32]:
    """The mean F0 of each speaker's voiced frames, (SPEAKERS,), Hz."""
    sums, counts = np.zeros(SPEAKERS), np.full(SPEAKERS, 1e-9)
    for i, speaker in enumerate(clips.speaker):
        f0 = clips.labels("f0", i)
        sums[speaker] += f0[f0 > 0].sum()
        counts[speaker] += (f0 > 0).sum()
    means: npt.NDArray[np.float32] = np.where(sums > 0, sums / counts, HERTZ).astype(np.float32)
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains nano's tokens.")
    parser.add_argument("corpus", type=Path, help="the folder of render.py")
    parser.add_argument("out", type=Path, help="the folder for the checkpoint and the curve")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--minutes", type=float, help="stop after so many")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="compute in bfloat16")
    parser.add_argument("--report", type=int, default=25)
    given = parser.parse_args()
    settings = Settings(steps=given.steps, batch=given.batch)
    training = Training(NANO, settings, given.device, given.half)
    clips, unseen = Clips(given.corpus, "train"), Clips(given.corpus, "valid")
    path = given.out / "tokens.pt"
    if path.exists():
        training.restore(loop.load(path, given.device))
    clock, curve = loop.Clock(given.minutes), loop.Curve(given.out / "tokens.csv", training.step)
    since = clock.seconds
    recent: list[dict[str, float]] = []
    batches = loop.ahead(
        lambda step: draw(clips, settings.batch, settings.frames, (settings.seed, step)),
        training.step,
    )
    while training.step < settings.steps and not clock.over():
        recent.append(training.advance(next(batches)))
        if training.step % given.report == 0:
            names = sorted(set().union(*recent))
            values = {n: float(np.mean([r[n] for r in recent if n in r])) for n in names}
            sound = given.report * settings.batch * settings.frames * HOP / 16_000
            values["seconds/s"] = sound / (clock.seconds - since)
            curve.add(training.step, clock.seconds, "train", values)
            if training.step % (8 * given.report) == 0:
                curve.add(training.step, clock.seconds, "valid", training.validate(unseen))
            since, recent = clock.seconds, []
        if clock.save_now():
            loop.save(path, training.state())
    loop.save(path, training.state())


if __name__ == "__main__":
    main()
