"""Teaches the speaking half to make sound of tokens that stay as they are.

    python training/nano/train_decoder.py build/nano/audio build/nano/tokens build/nano/decoder

First by spectra alone, then against discriminators as well, which let it invent what tokens do not
tell. `--adversarial N` is the step from which they join in.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import loop
from data import HOP, RATE, Clips
from discriminators import Discriminators, judges_loss, speaker_losses
from encoded import Encoded, Segments, encode
from losses import SpectralLoss
from sizes import NANO
from speaking_model import SpeakingModel, listening
from token_model import STEPS, TokenModel


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of a training; the last five are weights of the loss's terms.

    A step hears `batch` segments. The prenet, which costs little, learns the spectra of `more`
    times as many: by sound alone it learns the slowest, and nothing behind it sharpens what it
    blurs.
    """

    steps: int = 20_000
    batch: int = 16
    more: int = 4
    frames: int = 30
    context: int = 14  # frames to either side that the prenet hears as well
    rate: float = 8e-4
    judges_rate: float = 4e-4
    warm_up: int = 100
    adversarial: int = 2_000
    decay: float = 0.998  # of the running mean that is exported
    seed: int = 1
    mel: float = 6.0
    phase: float = 1.0
    spectrum: float = 3.0
    fooling: float = 0.3
    matching: float = 1.0


class Training:
    """A model, its discriminators, and the head of `tokens` that tells spectra."""

    def __init__(
        self,
        model: SpeakingModel,
        tokens: TokenModel,
        settings: Settings,
        device: str,
        half: bool,
    ) -> None:
        self.settings, self.device, self.half = settings, device, half
        self.model = model.to(device)
        self.judges = Discriminators().to(device)
        self.spectral = SpectralLoss().to(device)
        self._learning = model.learning()
        self.optimiser = torch.optim.AdamW(
            self._learning, settings.rate, betas=(0.8, 0.99), weight_decay=0.0
        )
        self.judges_optimiser = torch.optim.AdamW(
            self.judges.parameters(), settings.judges_rate, betas=(0.8, 0.99), weight_decay=0.0
        )
        self.tokens = tokens.to(device)
        head = tokens.spectrum.requires_grad_(True).parameters()
        self.head_optimiser = torch.optim.AdamW(head, settings.rate, weight_decay=0.0)
        self.mean = loop.snapshot(model)
        self.step = self.began = 0

    def _heard(self, segments: Segments, count: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The terms of the first `count` segments and of all spectra; what was made, and meant."""
        frames, first = self.settings.frames, segments.first
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            features = self.model.features(segments.tokens, segments.voices)
            spectrum = self.tokens.spectrum(features).transpose(1, 2).float()
            made = self.model.wave_generator(features[:count, :, first : first + frames]).float()
        target = self.tokens.log_mel(segments.samples)[:, : spectrum.shape[1] * STEPS]
        real = segments.samples[:count, first * HOP : (first + frames) * HOP]
        terms = self.spectral(made, real)
        terms["spectrum"] = (spectrum.reshape(target.shape) - target).abs().mean()
        return terms, made, real

    def advance(self, data: Encoded) -> dict[str, float]:
        """One step of the decoder and, once they take part, of the discriminators."""
        own = self.settings
        share = loop.cosine(self.step, own.steps, own.warm_up)
        share *= loop.again(self.step, self.began, own.warm_up)
        loop.set_rate(self.optimiser, own.rate * share)
        loop.set_rate(self.judges_optimiser, own.judges_rate * share)
        count = own.batch * own.more
        segments = data.batch(count, own.frames, own.context, (own.seed, self.step))
        terms, made, real = self._heard(segments, own.batch)
        if self.step >= own.adversarial:
            terms |= self._against_judges(real, made)
        loss = sum((getattr(own, name) * term for name, term in terms.items()), made.new_zeros(()))
        self.optimiser.zero_grad()
        self.head_optimiser.zero_grad()
        loss.backward()
        self.head_optimiser.step()
        norm = nn.utils.clip_grad_norm_(self._learning, 3.0)
        if torch.isfinite(norm):
            self.optimiser.step()
            loop.average(self.mean, self.model, self.step, own.decay)
        self.step += 1
        values = {name: float(term.detach()) for name, term in terms.items()}
        if self.step > own.adversarial:
            values["judges"] = self._judges
        return values

    def _against_judges(self, real: Tensor, made: Tensor) -> dict[str, Tensor]:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            loss = judges_loss(self.judges(real), self.judges(made.detach()))
        self.judges_optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.judges.parameters(), 10.0)
        self.judges_optimiser.step()
        self._judges = float(loss.detach())
        self.judges.requires_grad_(False)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            with torch.no_grad():
                seen = self.judges(real)
            fooling, matching = speaker_losses(seen, self.judges(made))
        self.judges.requires_grad_(True)
        return {"fooling": fooling, "matching": matching}

    @torch.no_grad()
    def validate(self, data: Encoded, batches: int = 3) -> dict[str, float]:
        """The running mean's losses on unseen sentences."""
        kept = loop.snapshot(self.model)
        self.model.load_state_dict(self.mean)
        found = []
        for i in range(batches):
            segments = data.batch(16, self.settings.frames, self.settings.context, (77, i))
            found.append(self._heard(segments, 16)[0])
        self.model.load_state_dict(kept)
        return {name: float(torch.stack([f[name] for f in found]).mean()) for name in found[0]}

    def state(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "mean": self.mean,
            "judges": self.judges.state_dict(),
            "head": self.tokens.spectrum.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "judges_optimiser": self.judges_optimiser.state_dict(),
            "step": self.step,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Goes on from a state; what a packed one has not (`checkpoint.py`) begins anew."""
        self.model.load_state_dict(self._with_own_ears(state["model"]))
        for name in ("judges", "optimiser", "judges_optimiser"):
            if name in state:
                getattr(self, name).load_state_dict(state[name])
        self.tokens.spectrum.load_state_dict(state["head"])  # type: ignore[arg-type]
        self.mean = self._with_own_ears(state["mean"])
        step = state["step"]
        assert isinstance(step, int)
        self.step = step
        self.began = 0 if "optimiser" in state else step

    def _with_own_ears(self, state: object) -> dict[str, Tensor]:
        """A state whose listening half is this model's: the tokens may have learnt more since."""
        assert isinstance(state, dict)
        learning = {id(parameter) for parameter in self._learning}
        spoken = {n for n, p in self.model.named_parameters() if id(p) in learning}
        own = loop.snapshot(self.model)
        return {name: state[name] if name in spoken else value for name, value in own.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains nano's wave generator.")
    parser.add_argument("corpus", type=Path, help="the folder of render.py")
    parser.add_argument("tokens", type=Path, help="the folder of train_tokens.py")
    parser.add_argument("out", type=Path, help="the folder for the checkpoint and the curve")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--adversarial", type=int, default=Settings.adversarial)
    parser.add_argument("--minutes", type=float, help="stop after so many")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="compute in bfloat16")
    parser.add_argument("--report", type=int, default=25)
    given = parser.parse_args()
    torch.manual_seed(Settings.seed)
    settings = Settings(given.steps, given.batch, adversarial=given.adversarial)
    tokens = listening(given.tokens, NANO, given.device)
    data = {}
    for split in ("valid", "train"):
        clips, path = Clips(given.corpus, split), given.tokens / f"{split}.npz"
        if not path.exists():
            encode(tokens, clips, path, given.device)
        data[split] = Encoded(clips, path, given.device)
    model = SpeakingModel(NANO, tokens)
    for parameter in model.learning():
        parameter.requires_grad_(True)
    training = Training(model, tokens, settings, given.device, given.half)
    checkpoint = given.out / "decoder.pt"
    if checkpoint.exists():
        training.restore(loop.load(checkpoint, given.device))
    run(training, data, checkpoint, loop.Clock(given.minutes), given.report)


def run(
    training: Training, data: dict[str, Encoded], path: Path, clock: loop.Clock, report: int
) -> None:
    """Trains until the steps are done or the time is over, and saves now and then."""
    settings = training.settings
    curve = loop.Curve(path.with_suffix(".csv"), training.step)
    recent: list[dict[str, float]] = []
    since = clock.seconds
    while training.step < settings.steps and not clock.over():
        recent.append(training.advance(data["train"]))
        if training.step % report == 0:
            names = recent[-1]
            values = {n: float(np.mean([r[n] for r in recent if n in r])) for n in names}
            sound = len(recent) * settings.batch * settings.frames * HOP / RATE
            values["seconds/s"] = sound / (clock.seconds - since)
            curve.add(training.step, clock.seconds, "train", values)
            if training.step % (10 * report) == 0:
                curve.add(training.step, clock.seconds, "valid", training.validate(data["valid"]))
            since, recent = clock.seconds, []
        if clock.save_now():
            loop.save(path, training.state())
    loop.save(path, training.state())


if __name__ == "__main__":
    main()
