"""Trains nano's codec: rendered sentences → codec.safetensors and encoder.safetensors.

    python examples/nano/train_codec.py build/nano/audio build/nano/codec \
        --export build/nano/model --minutes 60

Four phases, by the number of the step:

    continuous   latents are not rounded; a codebook from the start would collapse to one code
    quantised    k-means on the latents sets the codebook; codes from here on, dead ones restarted
    decoding     tokens are fixed, so that the language model can be trained meanwhile; what turns
                 them into sound goes on learning, three steps in the time of two
    adversarial  small discriminators join in, so that harmonics stay harmonics

Run again, it goes on from its last checkpoint, with the same numbers as without the interruption.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

import checkpoints
from config import NANO
from data import Corpus, SegmentBatches, Segments, shards
from discriminators import Discriminators, judges_loss, speaker_losses
from loop import Clock, Curve, Tree, averaged, cosine, keep_memory, update
from losses import SpectralLoss, waveform
from quantisation import Codebook
from spark_mlx.model_config import ModelConfig
from trainable import Passed, TrainableCodec

PHASES = ("continuous", "quantised", "decoding", "adversarial")
# Steps whose batches no training reaches: those that k-means sees.
_ASIDE = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Settings:
    """
    Attributes:
        steps: how many of each phase.
        noise: of the latents before they are quantised, for each of their dimensions: it teaches
            the decoder that neighbouring latents sound alike, as they soon will.
        clusterings: how many latents for each code k-means sees.
        judged_every: of how many steps the discriminators learn in one.
    """

    steps: tuple[int, int, int, int] = (2000, 6000, 6000, 6000)
    batch: int = 8
    seconds: float = 1.2
    rate: float = 6e-4
    adversarial_rate: float = 2e-4
    warm_up: int = 300
    weight_decay: float = 0.01
    largest_gradient: float = 1.0
    noise: float = 0.05
    clusterings: int = 24
    mel_weight: float = 1.0
    log_weight: float = 0.5
    linear_weight: float = 0.5
    phase_weight: float = 2.0
    waveform_weight: float = 0.1
    commitment_weight: float = 0.25
    fooling_weight: float = 0.2
    matching_weight: float = 0.4
    judged_every: int = 2
    seed: int = 0

    def phase(self, step: int) -> str:
        """The phase that a step belongs to; the last one goes on for ever."""
        ends = itertools.accumulate(self.steps)
        return next((p for p, end in zip(PHASES, ends, strict=True) if step < end), PHASES[-1])

    def learning_rate(self, step: int) -> float:
        """Three cosines: one over the first two phases, and one over each of the others."""
        continuous, quantised, decoding, adversarial = self.steps
        if step < continuous + quantised:
            return cosine(step, continuous + quantised, self.rate, self.warm_up)
        step -= continuous + quantised
        if step < decoding:
            return cosine(step, decoding, self.rate, self.warm_up)
        return cosine(step - decoding, adversarial, self.adversarial_rate, self.warm_up)


class CodecTraining:
    """The codec, its judges, and all else that a step changes."""

    def __init__(self, config: ModelConfig, settings: Settings, batches: SegmentBatches) -> None:
        mx.random.seed(settings.seed)
        self.config, self.settings, self._batches = config, settings, batches
        self.codec = TrainableCodec(config)
        self.judges = Discriminators()
        self.codec.train()
        self.judges.train()
        self.optimiser = optim.AdamW(1e-3, betas=[0.9, 0.99], weight_decay=0, bias_correction=True)
        self.judges_optimiser = optim.AdamW(
            1e-3, betas=[0.8, 0.99], weight_decay=0, bias_correction=True
        )
        self.average: Tree = self.codec.parameters()
        self.codebook: Codebook | None = None
        self.step = 0
        self._spectral = SpectralLoss(config.sample_rate)
        mx.eval(self.codec.parameters(), self.judges.parameters())

    def advance(self) -> dict[str, float]:
        """One step. Returns its losses by name."""
        settings, phase = self.settings, self.settings.phase(self.step)
        if phase != "continuous" and self.codebook is None:
            self._set_codebook()
        if phase in ("decoding", "adversarial") and not self.codec.tokens_are_fixed:
            self._fix_tokens()
        batch = self._batches(self.step)
        rate = settings.learning_rate(self.step)
        grade = nn.value_and_grad(self.codec, self._loss)
        (loss, terms, passed), gradients = grade(batch, phase)
        mx.eval(loss, terms, passed.samples, passed.latents, gradients)
        limits = (settings.largest_gradient, settings.weight_decay)
        norm = update(self.codec, self.optimiser, gradients, rate, *limits)
        values = {"loss": loss.item(), **{k: v.item() for k, v in terms.items()}, "norm": norm}
        if phase == "adversarial" and self.step % settings.judged_every == 0:
            values["judges"] = self._judge(batch.samples, passed.samples, rate)
        if self.codebook is not None and passed.codes is not None and phase == "quantised":
            values |= self._follow(self.codebook, passed.latents, passed.codes)
        self.average = averaged(self.average, self.codec, self.step)
        self.step += 1
        return values

    def validate(self, batches: SegmentBatches, number: int = 4) -> dict[str, float]:
        """The losses of sentences never trained on, with the averaged weights."""
        phase = self.settings.phase(max(0, self.step - 1))
        own = self.codec.parameters()
        self.codec.update(self._averaged())
        found: list[dict[str, float]] = []
        used: set[int] = set()
        for i in range(number):
            batch = batches(i)
            passed = self.codec(batch.heard, batch.mel, phase != "continuous")
            terms = self._spectral(passed.samples, batch.samples)
            found.append({name: term.item() for name, term in terms.items()})
            used |= set() if passed.codes is None else set(np.array(passed.codes).ravel().tolist())
        self.codec.update(own)
        means = {name: float(np.mean([terms[name] for terms in found])) for name in found[0]}
        return {**means, "codes": float(len(used))}

    def save(self, path: Path, seconds: float) -> None:
        parts = {
            "model": self.codec.parameters(),
            "average": self.average,
            "optimiser": self.optimiser.state,
            "judges": self.judges.parameters(),
            "judges_optimiser": self.judges_optimiser.state,
        }
        if self.codebook is not None:
            book = self.codebook
            parts["codebook"] = {"counts": mx.array(book.counts), "sums": mx.array(book.sums)}
        checkpoints.save(path, parts, {"step": self.step, "seconds": seconds})

    def restore(self, path: Path) -> float:
        """Goes on from a checkpoint. Returns the seconds of training behind it."""
        parts, numbers = checkpoints.load(path)
        self.codec.update(parts["model"])
        self.judges.update(parts["judges"])
        self.average = parts["average"]
        self.optimiser.state = parts["optimiser"]
        self.judges_optimiser.state = parts.get("judges_optimiser", {})
        if "codebook" in parts:
            counts, sums = (np.array(parts["codebook"][k]) for k in ("counts", "sums"))
            self.codebook = Codebook(counts, sums)
        self.step = int(numbers["step"])
        if self.step > sum(self.settings.steps[:2]):
            self.codec.fix_tokens()
        return float(numbers["seconds"])

    def export(self, folder: Path) -> ModelConfig:
        """Writes the averaged codec as the runtime loads it."""
        codec = TrainableCodec(self.config)
        codec.update(self._averaged())
        return checkpoints.export(
            folder, self.config, bicodec=codec.bicodec, semantic=codec.semantic
        )

    def _loss(self, batch: Segments, phase: str) -> tuple[mx.array, dict[str, mx.array], Passed]:
        settings = self.settings
        noise = None
        if phase == "continuous":
            shape = (*batch.samples.shape[:1], self._batches.frames, self._dim)
            key = mx.random.key(settings.seed + self.step)
            noise = settings.noise * mx.random.normal(shape, key=key)
        passed = self.codec(batch.heard, batch.mel, phase != "continuous", noise)
        terms = self._spectral(passed.samples, batch.samples)
        terms["waveform"] = waveform(passed.samples, batch.samples)
        terms["commitment"] = passed.commitment
        if phase == "adversarial":
            real, made = self.judges(batch.samples), self.judges(passed.samples)
            terms["fooling"], terms["matching"] = speaker_losses(real, made)
        loss = mx.array(0.0)
        for name, term in terms.items():
            loss = loss + getattr(settings, f"{name}_weight") * term
        return loss, terms, passed

    def _judge(self, real: mx.array, made: mx.array, rate: float) -> float:
        """One step of the judges. Returns their loss."""

        def loss(real: mx.array, made: mx.array) -> mx.array:
            return judges_loss(self.judges(real), self.judges(made))

        value, gradients = nn.value_and_grad(self.judges, loss)(real, made)
        largest = self.settings.largest_gradient
        update(self.judges, self.judges_optimiser, gradients, rate, largest)
        return float(value.item())

    def _set_codebook(self) -> None:
        """Sets the codebook by k-means on latents of random segments."""
        codes = self.config.quantizer.codebook_size
        found: list[np.ndarray] = []
        while sum(map(len, found)) < self.settings.clusterings * codes:
            latents = self.codec.latents(self._batches(_ASIDE + len(found)).heard)
            found.append(np.array(latents).reshape(-1, self._dim))
        self.codebook = Codebook.from_latents(np.concatenate(found), codes, self.settings.seed)
        self._show_codebook(self.codec, self.codebook)

    def _follow(self, book: Codebook, latents: mx.array, codes: mx.array) -> dict[str, float]:
        """Moves the codebook after a batch. Returns how well it is used."""
        chosen = np.array(codes).ravel()
        flat = np.array(latents).reshape(-1, self._dim)
        restarted = book.update(flat, chosen, (self.settings.seed, 2, self.step))
        self._show_codebook(self.codec, book)
        shares = book.counts / book.counts.sum()
        perplexity = float(np.exp(-(shares * np.log(shares + 1e-12)).sum()))
        used = float(len(np.unique(chosen)))
        return {"codes": used, "perplexity": perplexity, "restarted": float(restarted)}

    def _fix_tokens(self) -> None:
        """Goes on from the averaged weights, which give the tokens from here on."""
        self.codec.update(self._averaged())
        self.average = self.codec.parameters()
        self.codec.fix_tokens()

    def _averaged(self) -> Tree:
        """The averaged parameters, with the codebook as it is: that is an average already."""
        average = TrainableCodec(self.config)
        average.update(self.average)
        if self.codebook is not None:
            self._show_codebook(average, self.codebook)
        return average.parameters()

    @staticmethod
    def _show_codebook(codec: TrainableCodec, book: Codebook) -> None:
        codec.bicodec.quantizer.codebook.weight = mx.array(book.vectors)

    @property
    def _dim(self) -> int:
        return self.config.quantizer.codebook_dim


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains nano's codec.")
    parser.add_argument("corpus", type=Path, help="the folder of rendered shards")
    parser.add_argument("out", type=Path, help="the folder for the checkpoint and the curve")
    parser.add_argument("--export", type=Path, help="a model folder to write at the end")
    parser.add_argument("--minutes", type=float, help="stop after this long; run again to go on")
    parser.add_argument("--every", type=float, default=5, help="minutes between checkpoints (5)")
    parser.add_argument("--steps", type=int, nargs=4, default=Settings.steps, help="of each phase")
    parser.add_argument("--batch", type=int, default=Settings.batch, help="segments in a step")
    parser.add_argument("--rate", type=float, default=Settings.rate, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", default="valid", help="the split to validate on")
    parser.add_argument("--report", type=int, default=50, help="steps between reports (50)")
    given = parser.parse_args()
    keep_memory()

    settings = Settings(tuple(given.steps), given.batch, rate=given.rate, seed=given.seed)
    sounds, unseen = (
        SegmentBatches(
            Corpus(shards(given.corpus, split)), NANO, settings.batch, settings.seconds, given.seed
        )
        for split in ("train", given.validation)
    )
    training = CodecTraining(NANO, settings, sounds)
    checkpoint = given.out / "codec.safetensors"
    before = training.restore(checkpoint) if checkpoint.exists() else 0.0
    curve = Curve(given.out / "codec.csv", training.step)
    clock = Clock(given.minutes, given.every)
    # What a report shows is the mean since the last one.
    losses: list[dict[str, float]] = []
    while training.step < sum(settings.steps) and not clock.over():
        values = training.advance()
        losses.append(values)
        if training.step % given.report == 0:
            names = {name: None for row in losses for name in row}
            means = {n: float(np.mean([row[n] for row in losses if n in row])) for n in names}
            curve.add(training.step, before + clock.seconds, "train", means)
            losses = []
        if training.step % (20 * given.report) == 0:
            curve.add(training.step, before + clock.seconds, "valid", training.validate(unseen))
        if clock.save_now():
            training.save(checkpoint, before + clock.seconds)
    training.save(checkpoint, before + clock.seconds)
    if given.export is not None:
        training.export(given.export)


if __name__ == "__main__":
    main()
