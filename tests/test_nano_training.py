"""The recipe's own parts in torch: tokens, losses, discriminators, batches, resuming."""

# ruff: noqa: E402 (without torch there is nothing to import)

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training" / "nano"))

import checkpoint
import loop
import losses
import mel as mels
import speaking_model
import token_model
import train_decoder
import train_listener
import train_lm
import train_tokens
from data import HOP, Clips
from discriminators import Discriminators, judges_loss, speaker_losses
from encoded import Encoded, encode
from listener import ConvLayer
from qwen import Qwen2
from sequences import Sequences
from sizes import TINY
from tokens import SemanticQuantizer
from vocabulary import Vocabulary
from voice_encoder import FSQ

TEXTS = ("Good morning to you all.", "How are you?", "It is a fine day for a walk.")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as `render.py` writes them: tones that know their F0, in two voices."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("valid", 4)):
        pcm, lines = [], []
        columns: dict[str, list[Any]] = {n: [] for n in ("phonemes", "f0", "phase", "seconds")}
        offsets, word_offsets = [0], [0]
        for i in range(count):
            frames, hertz = int(rng.integers(110, 140)), float(rng.uniform(100, 250))
            time = np.arange(frames * HOP) / 16_000
            pcm.append((9000 * np.sin(2 * np.pi * hertz * time)).astype("<i2"))
            middles = (np.arange(frames) + 0.5) * HOP / 16_000
            columns["phonemes"].append(rng.integers(1, 60, frames).astype(np.uint8))
            columns["f0"].append(np.full(frames, hertz, np.float32))
            columns["phase"].append((hertz * middles % 1).astype(np.float32))
            text = TEXTS[i % len(TEXTS)]
            words = len(text.split())
            columns["seconds"].append(np.linspace(0, frames / 50, words + 1, dtype=np.float32))
            offsets.append(offsets[-1] + frames)
            word_offsets.append(word_offsets[-1] + words + 1)
            lines.append(json.dumps({"id": f"{split}-{i}", "text": text, "phonemes": "ɡʊd æ"}))
        np.concatenate(pcm).tofile(folder / f"{split}.pcm")
        arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
        np.savez(
            folder / f"{split}.npz",
            offsets=np.array(offsets),
            word_offsets=np.array(word_offsets),
            speaker=np.arange(count, dtype=np.int32) % 2,
            **arrays,
        )
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def tokens(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a token model of no training, and the corpus as its tokens."""
    folder = tmp_path_factory.mktemp("tokens")
    torch.manual_seed(0)
    model = token_model.TokenModel(TINY)
    model.quantizer.begin(torch.randn(300, TINY.codebook_dim))
    loop.save(folder / "tokens.pt", {"model": model.state_dict()})
    frozen = speaking_model.listening(folder, TINY, "cpu")
    for split in ("train", "valid"):
        encode(frozen, Clips(corpus, split), folder / f"{split}.npz")
    return folder


def encoded(corpus: Path, tokens: Path) -> Encoded:
    return Encoded(Clips(corpus, "train"), tokens / "train.npz")


def test_batches_are_the_same_for_a_step(corpus: Path) -> None:
    clips = Clips(corpus, "train")
    a, b = (clips.batch(3, 96, (0, 5)) for _ in range(2))
    assert torch.equal(a.samples, b.samples)
    assert a.samples.shape == (3, 96 * HOP + 80)
    assert a.phonemes.shape == a.f0.shape == a.said.shape == (3, 96)
    for row, (i, start) in enumerate(zip(a.clips.tolist(), a.starts.tolist(), strict=True)):
        sound = clips.samples(i)[start * HOP :][:100]
        np.testing.assert_array_equal(a.samples[row, :100].numpy(), sound)


def test_a_convolution_by_blocks_is_a_convolution() -> None:
    for kernel, stride, length in ((10, 5, 400), (3, 2, 41), (3, 2, 40), (2, 2, 33)):
        layer = ConvLayer(3, 8, kernel, stride)
        x = torch.randn(2, length, 3)
        plain = layer.layer_norm(layer.conv(x.transpose(1, 2)).transpose(1, 2))
        expected = torch.nn.functional.gelu(plain)
        torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)


def test_speaker_mel_is_the_runtimes() -> None:
    mx = pytest.importorskip("mlx.core")
    runtime = pytest.importorskip("spark_mlx.model.mel")
    config = runtime.MelConfig(16_000, 1024, 640, 320, 10, None, 80)
    sound = np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32)
    expected = np.array(runtime.MelSpectrogram(config)(mx.array(sound)))
    found = mels.SpeakerMel()(torch.from_numpy(sound)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_codes_have_the_gradient_of_their_latents() -> None:
    quantizer = SemanticQuantizer(16, 8, 12)
    latents = torch.randn(2, 5, 8, requires_grad=True)
    assert not quantizer.quantised
    quantizer.begin(torch.randn(100, 8))
    assert quantizer.quantised
    vectors, codes, apart = quantizer(latents)
    torch.testing.assert_close(vectors, quantizer.decode(codes))
    vectors.sum().backward()
    assert latents.grad.abs().sum() > 0
    assert 0 < apart < 4
    norms = quantizer.codebook.weight.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones(16))


def test_a_codebook_follows_its_latents() -> None:
    torch.manual_seed(0)
    quantizer = SemanticQuantizer(8, 8, 12)
    quantizer.begin(torch.eye(8).repeat(4, 1) + 0.01 * torch.randn(32, 8))
    moved = torch.nn.functional.normalize(torch.eye(8) + 0.2, dim=-1)
    before = (quantizer.codebook.weight[quantizer.nearest(moved)] * moved).sum(-1).mean()
    for _ in range(300):
        quantizer.follow(moved, quantizer.nearest(moved))
    after = (quantizer.codebook.weight[quantizer.nearest(moved)] * moved).sum(-1).mean()
    assert after > before
    assert after > 0.99


def test_fsq_decodes_what_it_encodes() -> None:
    fsq = FSQ(6, (4, 4))
    rounded, codes = fsq(torch.randn(2, 3, 6))
    torch.testing.assert_close(fsq.decode(codes), rounded)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 16


def test_equal_sounds_have_no_distance() -> None:
    sound = 0.1 * torch.randn(2, 4800)
    terms = losses.SpectralLoss()(sound, sound)
    assert terms["mel"] == 0
    assert terms["phase"] < 0.01
    turned = losses.SpectralLoss()(-sound, sound)
    assert turned["mel"] < 1e-3
    assert turned["phase"] > 1.9


def test_losses_have_a_gradient_even_from_silence() -> None:
    silence = torch.zeros(1, 4800, requires_grad=True)
    terms = losses.SpectralLoss()(silence, 0.1 * torch.randn(1, 4800))
    sum(terms.values()).backward()
    assert torch.isfinite(silence.grad).all()
    assert silence.grad.abs().max() > 0


def test_judges_learn_to_tell() -> None:
    torch.manual_seed(0)
    judges = Discriminators(4)
    optimiser = torch.optim.AdamW(judges.parameters(), 3e-3)
    real = torch.sin(torch.arange(4800) * 0.1).repeat(2, 1)
    made = (0.3 * torch.randn(2, 4800)).requires_grad_()
    found = []
    for _ in range(12):
        loss = judges_loss(judges(real), judges(made.detach()))
        found.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert found[-1] < 0.7 * found[0]
    fooling, matching = speaker_losses(judges(real), judges(made))
    (fooling + matching).backward()
    assert made.grad.abs().max() > 0


def tokens_training() -> train_tokens.Training:
    settings = train_tokens.Settings(steps=20, batch=2, frames=48, begin=2)
    return train_tokens.Training(
        dataclasses.replace(TINY, codebook_size=32), settings, "cpu", half=False
    )


def test_tokens_are_learnt(corpus: Path) -> None:
    training, clips = tokens_training(), Clips(corpus, "train")
    values = [training.advance(train_tokens.draw(clips, 2, 48, (0, i))) for i in range(5)]
    assert "dead" in values[-1]  # there is a codebook by now
    assert all(math.isfinite(value) for value in values[-1].values())
    assert training.validate(clips, 1)["phoneme"] > 0


def test_a_decoder_learns_and_what_listens_stays(corpus: Path, tokens: Path) -> None:
    frozen = speaking_model.listening(tokens, TINY, "cpu")
    model = speaking_model.SpeakingModel(TINY, frozen)
    for parameter in model.learning():
        parameter.requires_grad_(True)
    settings = train_decoder.Settings(10, 2, 2, 12, 4, warm_up=1, adversarial=2)
    training = train_decoder.Training(model, frozen, settings, "cpu", half=False)
    before = loop.snapshot(model)
    data = encoded(corpus, tokens)
    values = [training.advance(data) for _ in range(4)]
    assert "fooling" not in values[1]
    assert values[3]["fooling"] > 0
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    listens = ("quantizer.codebook", "speaker_encoder.speaker_encoder", "speaker_encoder.perceiver")
    assert not any(name.startswith(listens) for name in changed)
    assert not any("project_in" in name for name in changed)
    assert {name.partition(".")[0] for name in changed} >= {"prenet", "wave_generator", "quantizer"}

    # A restored training goes on with the same numbers.
    state = training.state()
    expected = training.advance(data)
    again = train_decoder.Training(model, frozen, settings, "cpu", half=False)
    again.restore({**state, "step": 4})
    assert again.step == 4
    assert expected["mel"] == pytest.approx(again.advance(data)["mel"], rel=0.2)


def test_a_packed_state_goes_on(corpus: Path, tokens: Path, tmp_path: Path) -> None:
    training = tokens_training()
    clips = Clips(corpus, "train")
    for i in range(4):
        training.advance(train_tokens.draw(clips, 2, 48, (0, i)))
    loop.save(tmp_path / "build" / "tokens" / "tokens.pt", training.state())
    checkpoint.pack(tmp_path / "build", tmp_path / "packed")
    checkpoint.unpack(tmp_path / "packed", tmp_path / "again")
    again = tokens_training()
    again.restore(loop.load(tmp_path / "again" / "tokens" / "tokens.pt", "cpu"))
    assert (again.step, again.began) == (4, 4)
    for name, value in training.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert again.model.quantizer.quantised


def test_a_listener_learns(corpus: Path, tokens: Path) -> None:
    frozen = speaking_model.listening(tokens, TINY, "cpu")
    model = train_listener.ListenerModel(TINY)
    batch = Clips(corpus, "train").batch(2, 48, (0,), 80)
    settings = train_listener.Settings()
    terms = train_listener.losses(model, frozen, batch, settings)
    train_listener.total(terms, settings).backward()
    assert all(p.grad is not None for p in model.parameters())


def sequences(corpus: Path, tokens: Path) -> Sequences:
    return Sequences(encoded(corpus, tokens), Vocabulary(TINY), 1200, 0)


def test_only_the_answer_is_learnt(corpus: Path, tokens: Path) -> None:
    made, vocabulary = sequences(corpus, tokens), Vocabulary(TINY)
    data = encoded(corpus, tokens)
    for kind, opening in (("clone", 0), ("transcript", data.clips.frames(4)), ("create", 0)):
        prompt, answer, due = made.sequence(2, kind, 4)
        assert answer[-1] == vocabulary.mark["im_end"]
        assert answer[-1 - len(due) : -1] == vocabulary.semantic(list(data.tokens(2)))
        assert prompt.count(vocabulary.mark["start_content"]) == 1
        if opening:
            assert prompt[-opening:] == vocabulary.semantic(list(data.tokens(4)))
    batches = list(made.epoch(0))
    assert sum(len(batch.ids) for batch in batches) == len(data.clips)
    for batch in batches:
        ends = (batch.answers == vocabulary.mark["im_end"]).sum(1)
        assert (ends == 1).all()


def test_batches_know_which_letter_is_due(corpus: Path, tokens: Path) -> None:
    made = sequences(corpus, tokens)
    _, _, due = made.sequence(1, "clone", 3)  # "How are you?", an even pace
    assert due == sorted(due)
    assert due[0] < 1
    assert due[-1] > len("How are ")
    batch = next(made.epoch(0))
    near, speaks = batch.near(3.0)
    assert near[speaks].any(-1).all()
    assert not near[..., :2].any()  # the task and the mark before the text


def test_a_language_model_learns(corpus: Path, tokens: Path) -> None:
    made, vocabulary = sequences(corpus, tokens), Vocabulary(TINY)
    model = Qwen2(TINY.lm, vocabulary.size)
    training = train_lm.Training(model, made, train_lm.Settings(40, 1200, 3e-3, 2), "cpu", False)
    first = training.advance()
    for _ in range(20):
        last = training.advance()
    assert last["loss"] < first["loss"]
    assert first["astray"] > 0
    state = training.state()
    again = train_lm.Training(model, made, training.settings, "cpu", False)
    again.restore(state)
    assert (again.step, again.epoch, again.place) == (21, training.epoch, training.place)


def test_a_curve_drops_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    curve = loop.Curve(path, 0)
    for step in (10, 20, 30):
        curve.add(step, step, "train", {"loss": 1 / step})
    loop.Curve(path, 20).add(30, 30, "train", {"loss": 0.5})
    rows = path.read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "10", "20", "30"]
    assert rows[-1].endswith("0.5")


def test_the_rate_rises_then_falls() -> None:
    rates = [loop.cosine(step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] < 0.06
