"""Trains nano's language model: sentences as codes → lm.safetensors.

    python examples/nano/train_lm.py build/nano/audio build/nano/lm \
        --model build/nano/model --minutes 60

The model folder holds the trained codec already (`train_codec.py --export`). Sentences it has not
encoded yet are encoded first; a codec with other tokens needs a new `out` folder (checked).
Run again, it goes on from its last checkpoint, with the same numbers as without the interruption.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

import checkpoints
import guide
import sequences
from config import tokenizer_json
from data import shards
from loop import Clock, Curve, Tree, averaged, cosine, keep_memory, update
from sequences import Sequences, TokenBatch
from spark_mlx.codec.codec import Codec
from spark_mlx.cpu import softmax
from spark_mlx.lm import Qwen2
from spark_mlx.model_config import ModelConfig
from spark_mlx.tokens import Vocabulary


@dataclasses.dataclass(frozen=True)
class Settings:
    """`most_tokens`: of a batch, fillings included."""

    steps: int = 20_000
    most_tokens: int = 4096
    rate: float = 1e-3
    warm_up: int = 300
    weight_decay: float = 0.1
    largest_gradient: float = 1.0
    guide_weight: float = 0.5
    seed: int = 0


def answer_loss(lm: Qwen2, batch: TokenBatch) -> tuple[mx.array, mx.array]:
    """The mean cross-entropy of the answers' tokens alone, in nats, and what `guide` adds to it."""
    hidden, astray = guide.hidden(lm, lm.embed(batch.ids), batch.paths)
    # Only where an answer is due is the widest layer computed.
    asked = hidden.reshape(-1, hidden.shape[-1])[batch.places]
    logits = lm.embed_tokens.as_linear(asked)
    found = mx.take_along_axis(softmax(logits), batch.answers[:, None], axis=-1)
    return -mx.log(mx.maximum(found, 1e-30)).mean(), astray


class LMTraining:
    """The language model and all else that a step changes."""

    def __init__(self, config: ModelConfig, settings: Settings, data: Sequences) -> None:
        mx.random.seed(settings.seed)
        self.config, self.settings, self._data = config, settings, data
        self.lm = Qwen2(config.lm)
        for layer in self.lm.layers:
            # What each layer adds begins smaller the more layers there are (GPT-2).
            for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
                linear.weight = linear.weight / math.sqrt(2 * len(self.lm.layers))
        self.lm.train()
        self.optimiser = optim.AdamW(1e-3, betas=[0.9, 0.95], weight_decay=0, bias_correction=True)
        self.average: Tree = self.lm.parameters()
        self.step = self.epoch = self.place = self.tokens = 0
        self._batches = self._epoch()
        self._grade = nn.value_and_grad(self.lm, self._loss)
        mx.eval(self.lm.parameters())

    def advance(self) -> dict[str, float]:
        """One step. Returns its losses by name."""
        batch = next(self._batches, None)
        if batch is None:
            self.epoch, self.place = self.epoch + 1, 0
            self._batches = self._epoch()
            batch = next(self._batches)
        settings = self.settings
        rate = cosine(self.step, settings.steps, settings.rate, settings.warm_up)
        (_, loss, astray), gradients = self._grade(batch)
        limits = (settings.largest_gradient, settings.weight_decay)
        norm = update(self.lm, self.optimiser, gradients, rate, *limits)
        self.average = averaged(self.average, self.lm, self.step)
        self.step += 1
        self.place += 1
        self.tokens += batch.ids.size
        epoch = float(self.epoch)
        return {"loss": loss.item(), "astray": astray.item(), "norm": norm, "epoch": epoch}

    def validate(self, data: Sequences, number: int = 16) -> dict[str, float]:
        """The loss on sentences never trained on, with the averaged weights."""
        own = self.lm.parameters()
        self.lm.update(self.average)
        pairs = zip(range(number), data.epoch(0), strict=False)
        losses = [answer_loss(self.lm, batch)[0].item() for _, batch in pairs]
        self.lm.update(own)
        return {"loss": float(np.mean(losses))}

    def save(self, path: Path, seconds: float) -> None:
        parts = {
            "model": self.lm.parameters(),
            "average": self.average,
            "optimiser": self.optimiser.state,
        }
        names = ("step", "epoch", "place", "tokens")
        numbers = {name: getattr(self, name) for name in names}
        numbers |= {"seconds": seconds, "codec": self.config.fingerprint.codec}
        checkpoints.save(path, parts, numbers)

    def restore(self, path: Path) -> float:
        """Goes on from a checkpoint. Returns the seconds of training behind it.

        Raises:
            ValueError: it was trained on the codes of another codec.
        """
        parts, numbers = checkpoints.load(path)
        if numbers["codec"] != self.config.fingerprint.codec:
            raise ValueError(f"{path} was trained on another codec's codes; give another folder")
        self.lm.update(parts["model"])
        self.average = parts["average"]
        self.optimiser.state = parts["optimiser"]
        self.step, self.epoch, self.place, self.tokens = (
            int(numbers[name]) for name in ("step", "epoch", "place", "tokens")
        )
        self._batches = self._epoch()
        return float(numbers["seconds"])

    def export(self, folder: Path) -> ModelConfig:
        """Writes the averaged model beside the codec of a model folder."""
        lm = Qwen2(self.config.lm)
        lm.update(self.average)
        return checkpoints.export(folder, self.config, lm=lm)

    def _loss(self, batch: TokenBatch) -> tuple[mx.array, mx.array, mx.array]:
        loss, astray = answer_loss(self.lm, batch)
        return loss + self.settings.guide_weight * astray, loss, astray

    def _epoch(self) -> Iterator[TokenBatch]:
        """What is left of the present epoch."""
        batches = self._data.epoch(self.epoch)
        for _ in range(self.place):
            next(batches)
        return batches


def encoded(corpus: Path, folder: Path, model: Path, config: ModelConfig, split: str) -> list[Path]:
    """The shards of codes of a split, made where they are missing."""
    codec: Codec | None = None
    folder = folder / f"codes-{config.fingerprint.codec[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for sound in shards(corpus, split):
        codes = folder / sound.name
        if not codes.exists():
            print(f"encoding {sound.name}", file=sys.stderr, flush=True)
            codec = codec or Codec.load(model, config)
            sequences.encode(codec, sound, codes)
        made.append(codes)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains nano's language model.")
    parser.add_argument("corpus", type=Path, help="the folder of rendered shards")
    parser.add_argument("out", type=Path, help="the folder for codes, checkpoint and curve")
    parser.add_argument("--model", type=Path, required=True, help="the model folder, with a codec")
    parser.add_argument("--minutes", type=float, help="stop after this long; run again to go on")
    parser.add_argument("--every", type=float, default=5, help="minutes between checkpoints (5)")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--tokens", type=int, default=Settings.most_tokens, help="of a batch")
    parser.add_argument("--rate", type=float, default=Settings.rate, help="highest learning rate")
    parser.add_argument("--single", type=int, default=8, help="epochs of single sentences (8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", default="valid", help="the split to validate on")
    parser.add_argument("--report", type=int, default=50, help="steps between reports (50)")
    given = parser.parse_args()
    keep_memory()

    config = ModelConfig.load(given.model)
    clock = Clock(given.minutes, given.every)
    codes = (config.speaker_encoder.codes, config.quantizer.codebook_size)
    vocabulary = Vocabulary(tokenizer_json(*codes), *codes)
    data, unseen = (
        Sequences(
            sequences.load(
                encoded(given.corpus, given.out, given.model, config, split), given.corpus
            ),
            vocabulary,
            given.tokens,
            given.seed,
            given.single,
        )
        for split in ("train", given.validation)
    )
    settings = Settings(given.steps, given.tokens, given.rate, seed=given.seed)
    training = LMTraining(config, settings, data)
    checkpoint = given.out / "lm.safetensors"
    before = training.restore(checkpoint) if checkpoint.exists() else 0.0
    curve = Curve(given.out / "lm.csv", training.step)
    losses: list[float] = []
    since, tokens = clock.seconds, training.tokens
    while training.step < settings.steps and not clock.over():
        values = training.advance()
        losses.append(values["loss"])
        if training.step % given.report == 0:
            values["loss"] = float(np.mean(losses))
            values["tokens/s"] = (training.tokens - tokens) / (clock.seconds - since)
            curve.add(training.step, before + clock.seconds, "train", values)
            losses = []
        if training.step % (20 * given.report) == 0:
            curve.add(training.step, before + clock.seconds, "valid", training.validate(unseen))
        if clock.save_now():
            training.save(checkpoint, before + clock.seconds)
        if training.step % given.report == 0:  # after what is not training
            since, tokens = clock.seconds, training.tokens
    training.save(checkpoint, before + clock.seconds)
    training.export(given.model)


if __name__ == "__main__":
    main()
