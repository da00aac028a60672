"""Teaches the language model which tokens say a text.

    python training/nano/train_lm.py build/nano/audio build/nano/tokens build/nano/lm

It needs the tokens alone, not the wave generator, so both can be trained at once.

Source of the guidance: Tachibana et al., "Efficiently Trainable Text-to-Speech System Based on Deep
Convolutional Networks with Guided Attention" (2018), section 3; here the teacher's own durations
say which letter is due.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import loop
from data import Clips
from encoded import Encoded, encode
from qwen import Qwen2
from sequences import Batch, Sequences
from sizes import NANO
from speaking_model import listening
from vocabulary import Vocabulary

# So many letters to either side of the one that is due are on the way, too: a sound depends on its
# neighbours, and within a word nobody tells which letter it is.
LETTERS = 3.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """`tokens`: of a batch, fillings included; `guide`: the weight of the guidance."""

    steps: int = 12_000
    tokens: int = 4096
    rate: float = 1.5e-3
    warm_up: int = 200
    weight_decay: float = 0.1
    guide: float = 0.5
    decay: float = 0.998
    single: int = 6
    seed: int = 0


def losses(model: Qwen2, batch: Batch) -> dict[str, Tensor]:
    """The answers' cross-entropy in nats, and how far the guided heads are astray."""
    hidden, looks = model(batch.ids)
    asked = batch.answers >= 0
    logits = functional.linear(hidden[asked], model.embed_tokens.weight).float()
    near, speaks = batch.near(LETTERS)
    on_the_way = torch.stack([(look * near).sum(-1) for look in looks])
    lost = -torch.log(on_the_way + 1e-4) * speaks
    return {
        "loss": functional.cross_entropy(logits, batch.answers[asked]),
        "astray": lost.sum() / (len(looks) * speaks.sum()).clamp(min=1),
    }


class Training:
    def __init__(
        self, model: Qwen2, data: Sequences, settings: Settings, device: str, half: bool
    ) -> None:
        self.settings, self.device, self.half = settings, device, half
        self.model, self._data = model.to(device), data
        matrices = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim == 1]
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, settings.rate, betas=(0.9, 0.95))
        self.mean = loop.snapshot(model)
        self.step = self.epoch = self.place = self.tokens = self.began = 0
        self._batches = self._rest()

    def _rest(self) -> Iterator[Batch]:
        """What is left of the present epoch."""
        batches = self._data.epoch(self.epoch)
        for _ in range(self.place):
            next(batches)
        return batches

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            return losses(self.model, batch.to(self.device))

    def advance(self) -> dict[str, float]:
        batch = next(self._batches, None)
        if batch is None:
            self.epoch, self.place = self.epoch + 1, 0
            self._batches = self._rest()
            batch = next(self._batches)
        own = self.settings
        share = loop.cosine(self.step, own.steps, own.warm_up)
        share *= loop.again(self.step, self.began, own.warm_up)
        loop.set_rate(self.optimiser, own.rate * share)
        terms = self.forward(batch)
        self.optimiser.zero_grad()
        (terms["loss"] + own.guide * terms["astray"]).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        loop.average(self.mean, self.model, self.step, own.decay)
        self.step += 1
        self.place += 1
        self.tokens += batch.ids.numel()
        return {name: float(term.detach()) for name, term in terms.items()}

    @torch.no_grad()
    def validate(self, unseen: Sequences, batches: int = 8) -> dict[str, float]:
        """The running mean's losses on sentences never trained on."""
        kept = loop.snapshot(self.model)
        self.model.load_state_dict(self.mean)
        found = [self.forward(b) for _, b in zip(range(batches), unseen.epoch(0), strict=False)]
        self.model.load_state_dict(kept)
        return {name: float(torch.stack([f[name] for f in found]).mean()) for name in found[0]}

    def state(self) -> dict[str, object]:
        numbers = {name: getattr(self, name) for name in ("step", "epoch", "place", "tokens")}
        return {
            "model": self.model.state_dict(),
            "mean": self.mean,
            "optimiser": self.optimiser.state_dict(),
            **numbers,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Goes on from a state; what a packed one has not (`checkpoint.py`) begins anew."""
        self.model.load_state_dict(state["model"])  # type: ignore[arg-type]
        self.mean = state["mean"]  # type: ignore[assignment]
        for name in ("step", "epoch", "place", "tokens"):
            setattr(self, name, state.get(name, 0))
        self.began = self.step
        if "optimiser" in state:
            self.optimiser.load_state_dict(state["optimiser"])  # type: ignore[arg-type]
            self.began = 0
        self._batches = self._rest()


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains nano's language model.")
    parser.add_argument("corpus", type=Path, help="the folder of render.py")
    parser.add_argument("tokens", type=Path, help="the folder of train_tokens.py")
    parser.add_argument("out", type=Path, help="the folder for the checkpoint and the curve")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--tokens-a-step", type=int, default=Settings.tokens)
    parser.add_argument("--minutes", type=float, help="stop after so many")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="compute in bfloat16")
    parser.add_argument("--report", type=int, default=25)
    given = parser.parse_args()
    settings = Settings(given.steps, given.tokens_a_step)
    torch.manual_seed(settings.seed)
    vocabulary = Vocabulary(NANO)
    data: dict[str, Sequences] = {}
    for split in ("train", "valid"):
        clips, path = Clips(given.corpus, split), given.tokens / f"{split}.npz"
        if not path.exists():
            encode(listening(given.tokens, NANO, given.device), clips, path, given.device)
        borders = data["train"].thresholds if data else None
        data[split] = Sequences(
            Encoded(clips, path), vocabulary, settings.tokens, settings.seed, settings.single,
            borders,
        )  # fmt: skip
    model = Qwen2(NANO.lm, vocabulary.size)
    training = Training(model, data["train"], settings, given.device, given.half)
    path = given.out / "lm.pt"
    if path.exists():
        training.restore(loop.load(path, given.device))
    clock, curve = loop.Clock(given.minutes), loop.Curve(path.with_suffix(".csv"), training.step)
    recent: list[dict[str, float]] = []
    since, before = clock.seconds, training.tokens
    while training.step < settings.steps and not clock.over():
        recent.append(training.advance())
        if training.step % given.report == 0:
            values = {n: float(np.mean([r[n] for r in recent])) for n in recent[0]}
            values["tokens/s"] = (training.tokens - before) / (clock.seconds - since)
            values["epoch"] = float(training.epoch)
            curve.add(training.step, clock.seconds, "train", values)
            if training.step % (20 * given.report) == 0:
                curve.add(training.step, clock.seconds, "valid", training.validate(data["valid"]))
            recent, since, before = [], clock.seconds, training.tokens
        if clock.save_now():
            loop.save(path, training.state())
    loop.save(path, training.state())


if __name__ == "__main__":
    main()
