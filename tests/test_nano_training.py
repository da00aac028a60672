"""Training nano, with next to no width: the parts, the steps, and going on after a stop."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx.utils import tree_flatten

import spark_mlx
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.model.bicodec.quantizers import FSQ, QuantizerConfig, SemanticQuantizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "nano"))

import checkpoints
import guide
import loop
import losses
import sequences
import train_codec
import train_lm
from config import NANO, tiny, tokenizer_json
from data import Corpus, SegmentBatches, shards
from discriminators import Discriminators, judges_loss, speaker_losses
from quantisation import Codebook, fsq_straight_through, straight_through, unit
from trainable import TrainableCodec

TINY = tiny()
CODES = (TINY.speaker_encoder.codes, TINY.quantizer.codebook_size)
SETTINGS = train_codec.Settings((2, 2, 2, 2), batch=2, seconds=0.3, warm_up=1, clusterings=1)
WORDS = ["One fine day.", "Two of them came home.", "Three.", "Four ducks on a pond, said he."]


def _tone(pitch: float, seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * 16_000)) / 16_000
    harmonics = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6))
    loudness = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)
    return (4000 * harmonics * loudness).astype(np.int16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sentences of tones in one shard, as the rendered ones are laid out."""
    folder = tmp_path_factory.mktemp("corpus")
    sounds = [_tone(100 + 40 * (i % 2), 1 + 0.3 * i) for i in range(4)]
    meta = [
        {"id": str(i), "text": text, "voice": "f1", "gender": "female", "pitch_value": 140 + i,
         "speed_value": 4, "pitch_label": "moderate", "speed_label": "low"}
        for i, text in enumerate(WORDS)
    ]  # fmt: skip
    np.savez(
        folder / "train-00000.npz",
        samples=np.concatenate(sounds),
        offsets=np.cumsum([0, *map(len, sounds)], dtype=np.int64),
        meta=np.array([json.dumps(m) for m in meta]),
    )
    return folder


def _batches(corpus: Path) -> SegmentBatches:
    sounds = Corpus(shards(corpus, "train"))
    return SegmentBatches(sounds, TINY, SETTINGS.batch, SETTINGS.seconds, seed=0)


def _codec_training(corpus: Path) -> train_codec.CodecTraining:
    return train_codec.CodecTraining(TINY, SETTINGS, _batches(corpus))


def _sentences() -> list[sequences.Coded]:
    rng = np.random.default_rng(0)
    meta = {"voice": "f1", "gender": "female", "pitch_value": 140, "speed_value": 4}
    return [
        sequences.Coded(
            rng.integers(0, CODES[0], 4).tolist(),
            rng.integers(0, CODES[1], 10 + i).tolist(),
            {**meta, "text": text, "pitch_label": "moderate", "speed_label": "low"},
            [(0, 0.0), (len(text), 0.02 * (10 + i))],
        )
        for i, text in enumerate(WORDS)
    ]


def _texts_of(ids: np.ndarray, vocabulary: Vocabulary) -> list[list[int]]:
    """The ids of the text in each row of a batch."""
    known = [vocabulary.encode(text) for text in WORDS]
    return [next(t for t in known if row[2 : 2 + len(t)].tolist() == t) for row in ids]


def _vocabulary() -> Vocabulary:
    return Vocabulary(tokenizer_json(*CODES), *CODES)


def _lm_training() -> train_lm.LMTraining:
    data = sequences.Sequences(_sentences(), _vocabulary(), most_tokens=200, seed=0)
    settings = train_lm.Settings(steps=20, warm_up=1, rate=3e-3)
    return train_lm.LMTraining(TINY, settings, data)


def _equal(a: dict, b: dict) -> bool:
    flat = dict(tree_flatten(b))
    return all(mx.array_equal(array, flat[name]).item() for name, array in tree_flatten(a))


# Losses


def test_equal_sounds_have_no_distance() -> None:
    sound = 0.1 * mx.random.normal((2, 6000), key=mx.random.key(0))
    terms = losses.SpectralLoss(16_000)(sound, sound)
    assert {name: round(term.item(), 6) for name, term in terms.items()} == dict.fromkeys(
        ("mel", "log", "linear", "phase"), 0
    )
    assert losses.waveform(sound, sound).item() == 0


def test_spectral_loss_has_a_gradient_even_from_silence() -> None:
    meant = mx.array(_tone(150, 0.4)[None] / 32768.0).astype(mx.float32)
    measure = losses.SpectralLoss(16_000)
    for said in (mx.zeros_like(meant), 0.5 * meant):
        slope = mx.grad(lambda x: sum(measure(x, meant).values()))(said)
        assert mx.isfinite(slope).all().item()
    assert mx.abs(slope).max().item() > 0


def test_a_sine_has_its_amplitude_at_every_resolution() -> None:
    time = mx.arange(16_000) / 16_000
    sine = 0.3 * mx.sin(2 * np.pi * 1000 * time)[None]
    for n_fft, _ in losses.RESOLUTIONS:
        middle = losses.magnitudes(sine, n_fft, n_fft // 4)[0, 16_000 * 2 // n_fft]
        assert middle.max().item() == pytest.approx(0.3, abs=1e-3)


def test_judges_learn_to_tell_and_teach_the_codec() -> None:
    mx.random.seed(0)
    judges = Discriminators()
    judges.train()
    real = mx.array(np.stack([_tone(120, 0.3), _tone(180, 0.3)]) / 32768.0).astype(mx.float32)
    made = 0.1 * mx.random.normal(real.shape)
    grade = nn.value_and_grad(judges, lambda: judges_loss(judges(real), judges(made)))
    optimiser = optim.AdamW(3e-4, bias_correction=True)
    first, gradients = grade()
    for _ in range(4):
        loop.update(judges, optimiser, gradients, 3e-4, 10)
        last, gradients = grade()
    assert last.item() < first.item()

    def teaching(x: mx.array) -> mx.array:
        return sum(speaker_losses(judges(real), judges(x)), mx.array(0.0))

    assert mx.abs(mx.grad(teaching)(made)).max().item() > 0
    assert speaker_losses(judges(real), judges(real))[1].item() == 0


# Quantisers


def test_gradients_pass_straight_through_the_semantic_quantiser() -> None:
    quantizer = SemanticQuantizer(QuantizerConfig(4, 16, 4))
    latents = unit(mx.random.normal((1, 5, 4), key=mx.random.key(0)))
    vectors, codes, commitment = straight_through(quantizer, latents)
    assert mx.array_equal(codes, quantizer.encode(latents))
    assert mx.allclose(vectors, quantizer.codebook(codes), atol=1e-6)
    assert commitment.item() > 0
    weights = mx.random.normal(latents.shape, key=mx.random.key(1))
    slope = mx.grad(lambda x: (straight_through(quantizer, x)[0] * weights).sum())(latents)
    assert mx.array_equal(slope, weights)


def test_fsq_rounds_as_the_runtime_does_and_has_a_gradient() -> None:
    fsq = FSQ(8, (4, 4, 3))
    x = mx.random.normal((2, 5, 8), key=mx.random.key(0))
    assert mx.allclose(fsq_straight_through(fsq, x), fsq.decode(fsq.encode(x)), atol=1e-5)
    slope = mx.grad(lambda x: mx.square(fsq_straight_through(fsq, x)).sum())(x)
    assert mx.abs(slope).min().item() > 0


def test_k_means_uses_the_codes_and_lowers_the_distance() -> None:
    rng = np.random.default_rng(0)
    latents = np.array(unit(mx.array(rng.normal(size=(2000, 8)).astype(np.float32))))
    book = Codebook.from_latents(latents, 64, seed=0)
    similarity = latents @ book.vectors.T
    assert len(np.unique(similarity.argmax(axis=1))) == 64
    drawn = latents[:64]
    assert similarity.max(axis=1).mean() > (latents @ drawn.T).max(axis=1).mean()


def test_dead_codes_start_again_where_latents_are() -> None:
    rng = np.random.default_rng(0)
    latents = np.array(unit(mx.array(rng.normal(size=(512, 8)).astype(np.float32))))
    latents[:, 0] = np.abs(latents[:, 0])
    # Half of the codes lie where no latent ever is.
    centres = np.concatenate([latents[:8], -np.eye(8, dtype=np.float32)[[0] * 8]])
    book = Codebook(np.ones(16, np.float32), centres)

    def chosen() -> np.ndarray:
        return (latents @ book.vectors.T).argmax(axis=1).astype(np.int32)

    assert len(np.unique(chosen())) == 8
    restarted = sum(book.update(latents, chosen(), (0, i)) for i in range(400))
    assert restarted == 8
    assert len(np.unique(chosen())) == 16


# The codec


def test_reference_is_another_part_of_the_sentence(corpus: Path) -> None:
    batches = _batches(corpus)
    samples = np.arange(20_000, dtype=np.float32)
    clip = batches._reference(samples, 2000, 9000)
    assert len(clip) == TINY.reference_samples
    assert clip.min() == 9000
    assert batches._reference(samples[:9000], 2000, 9000).min() == 0


def test_segments_are_heard_as_within_their_sentence(corpus: Path) -> None:
    batches = _batches(corpus)
    batch = batches(3)
    codec = TrainableCodec(TINY)
    assert codec.latents(batch.heard).shape[1] == batches.frames
    assert batch.samples.shape[1] == batches.frames * TINY.hop
    # A whole sentence, normalised by its own statistics, is what the runtime hears.
    sound = Corpus(shards(corpus, "train"))
    mean, deviation = sound.statistics(1)
    whole = mx.array(sound[1])[None]
    mine = codec.latents((whole - mean) / deviation)
    assert mx.allclose(mine, unit(codec.semantic(whole)), atol=1e-3)


def test_steps_lower_the_loss_of_a_batch(corpus: Path) -> None:
    batches = _batches(corpus)
    settings = dataclasses.replace(SETTINGS, steps=(100, 1, 1, 1), noise=0.0, rate=2e-3)
    training = train_codec.CodecTraining(TINY, settings, batches)
    training._batches = lambda step: batch  # type: ignore[assignment, return-value]
    training._batches.frames = batches.frames  # type: ignore[attr-defined]
    batch = batches(0)
    first, *_, last = [training.advance()["loss"] for _ in range(6)]
    assert last < first


def test_every_trained_parameter_has_a_gradient(corpus: Path) -> None:
    training = _codec_training(corpus)
    batch = training._batches(0)
    _, slopes = nn.value_and_grad(training.codec, lambda: training._loss(batch, "continuous")[0])()
    still = {name for name, slope in tree_flatten(slopes) if mx.abs(slope).max().item() == 0}
    # A shift of all keys alike changes no attention.
    assert {name for name in still if "k_proj.bias" not in name} == set()


def test_resumed_training_is_the_same_as_uninterrupted(corpus: Path, tmp_path: Path) -> None:
    whole = _codec_training(corpus)
    for step in range(8):
        if step in (3, 5, 7):  # within each phase but the first
            whole.save(tmp_path / f"{step}.safetensors", seconds=12.5)
        values = whole.advance()
    assert {"fooling", "matching"} <= values.keys()
    for start in (3, 5, 7):
        resumed = _codec_training(corpus)
        assert resumed.restore(tmp_path / f"{start}.safetensors") == 12.5
        for _ in range(start, 8):
            again = resumed.advance()
        assert again == values
        assert _equal(whole.codec.parameters(), resumed.codec.parameters())
        assert _equal(whole.average, resumed.average)


# The language model


def test_only_the_answer_is_learnt() -> None:
    vocabulary = _vocabulary()
    data = sequences.Sequences(_sentences(), vocabulary, most_tokens=500, seed=0)
    spoken = [*vocabulary.semantic.ids(_sentences()[1].semantic_tokens), vocabulary.end]
    pairs = {kind: data.sequence(1, kind, 0) for kind in sequences.SHARES}
    assert pairs["clone"].answer == pairs["transcript"].answer == spoken
    opening = vocabulary.semantic.ids(_sentences()[0].semantic_tokens)
    assert pairs["transcript"].prompt[-len(opening) :] == opening
    prompt, answer, _ = pairs["create"]
    assert prompt == vocabulary.create_prompt(WORDS[1], "female", "moderate", "low")
    assert answer[0] == vocabulary.start_acoustic
    assert answer[-len(spoken) :] == spoken
    joined = data.sequence(1, "clone", 0, following=2).answer
    more = vocabulary.semantic.ids(_sentences()[2].semantic_tokens)
    assert joined == [*spoken[:-1], *more, vocabulary.end]
    batch = sequences.TokenBatch.of(list(pairs.values()))
    ids, places = np.array(batch.ids), np.array(batch.places)
    assert np.array(batch.answers).tolist() == [
        id_ for written in pairs.values() for id_ in written.answer
    ]
    for row, (prompt, answer, _) in enumerate(pairs.values()):
        mine = places[places // ids.shape[1] == row] % ids.shape[1]
        # The first answer is due where the prompt's last token is given.
        assert mine.tolist() == list(range(len(prompt) - 1, len(prompt) + len(answer) - 1))
        assert ids[row, : len(prompt)].tolist() == prompt


def test_filling_up_a_batch_changes_no_loss() -> None:
    data = sequences.Sequences(_sentences(), _vocabulary(), most_tokens=500, seed=0)
    training = _lm_training()
    pairs = [data.sequence(0, "clone", 1), data.sequence(3, "create", 3)]

    def loss(written: list[sequences.Written]) -> float:
        return train_lm.answer_loss(training.lm, sequences.TokenBatch.of(written))[0].item()

    alone = [loss([written]) for written in pairs]
    counts = [len(written.answer) for written in pairs]
    together = loss(pairs)
    assert together == pytest.approx(np.average(alone, weights=counts), rel=1e-5)


def test_batches_know_where_in_the_text_the_speech_is() -> None:
    vocabulary = _vocabulary()
    data = sequences.Sequences(_sentences(), vocabulary, 500, seed=0, single_epochs=1)
    (batch,) = data.epoch(0)
    near, speaks = (np.array(x) for x in batch.paths.near())
    assert speaks.sum() == sum(len(s.semantic_tokens) for s in _sentences())
    ids, answers = np.array(batch.ids), iter(np.array(batch.answers).tolist())
    semantic = vocabulary.semantic.all()
    for row, place in zip(*divmod(np.array(batch.places), ids.shape[1]), strict=True):
        # Where a semantic token is the answer, and nowhere else, there are letters to look at.
        assert speaks[row, place] == (next(answers) in semantic)
    for row, texts in enumerate(_texts_of(ids, vocabulary)):
        first, *_, last = (ids[row][near[row, i]].tolist() for i in np.flatnonzero(speaks[row]))
        assert first == texts[: len(first)]
        assert texts[-3:] == [id_ for id_ in last if id_ < 256][-3:]


def test_letters_are_counted_from_where_the_prompts_text_begins() -> None:
    data = sequences.Sequences(_sentences(), _vocabulary(), 500, seed=0)
    alone = data.sequence(1, "clone", 0).due
    assert alone == sorted(alone)
    assert data.sequence(1, "create", 0).due == alone
    after = data.sequence(1, "transcript", 0).due
    assert after == [letter + len(WORDS[0]) for letter in alone]
    two = data.sequence(1, "clone", 0, following=2)
    assert two.due == sorted(two.due)
    assert len(two.due) == len(two.answer) - 1
    assert len(WORDS[1]) < two.due[len(alone)] < two.due[-1] < len(WORDS[1]) + 1 + len(WORDS[2])
    # Of a text that was cleaned nobody knows where its words are.
    other = dataclasses.replace(_sentences()[0], meta={**_sentences()[0].meta, "text": "a  b"})
    assert np.isnan(other.due("a b")).all()


def test_guide_asks_for_the_letters_that_are_due() -> None:
    training = _lm_training()
    pair = sequences.Sequences(_sentences(), _vocabulary(), 500, 0).sequence(1, "clone", 0)
    batch = sequences.TokenBatch.of([pair])
    slope = nn.value_and_grad(training.lm, lambda: train_lm.answer_loss(training.lm, batch)[1])
    first, gradients = slope()
    for _ in range(20):
        loop.update(training.lm, training.optimiser, gradients, 3e-3, 1.0)
        last, gradients = slope()
    assert last.item() < 0.8 * first.item()


def test_guide_changes_nothing_of_what_is_computed() -> None:
    lm = _lm_training().lm
    pair = sequences.Sequences(_sentences(), _vocabulary(), 500, 0).sequence(1, "clone", 0)
    batch = sequences.TokenBatch.of([pair])
    found, _ = guide.hidden(lm, lm.embed(batch.ids), batch.paths)
    assert mx.allclose(found, lm.hidden(lm.embed(batch.ids), lm.make_cache()), atol=1e-5)


def test_an_epoch_has_every_sentence_once() -> None:
    data = sequences.Sequences(_sentences(), _vocabulary(), most_tokens=120, seed=0)
    end = _vocabulary().end
    batches = list(data.epoch(0))
    assert len(batches) > 1
    assert sum(int((batch.answers == end).sum().item()) for batch in batches) == len(WORDS)


def test_lm_learns_and_resumes_as_if_never_interrupted(tmp_path: Path) -> None:
    whole = _lm_training()
    found = []
    for step in range(8):
        if step == 5:
            whole.save(tmp_path / "lm.safetensors", seconds=1)
        found.append(whole.advance())
    assert found[-1]["loss"] < found[0]["loss"]
    assert found[-1]["epoch"] > 0
    resumed = _lm_training()
    resumed.restore(tmp_path / "lm.safetensors")
    assert [resumed.advance() for _ in range(3)] == found[5:]
    assert _equal(whole.lm.parameters(), resumed.lm.parameters())
    other = dataclasses.replace(TINY.fingerprint, codec="another")
    resumed.config = dataclasses.replace(TINY, fingerprint=other)
    with pytest.raises(ValueError, match="another codec"):
        resumed.restore(tmp_path / "lm.safetensors")


# What is left behind


def test_export_speaks(corpus: Path, tmp_path: Path) -> None:
    codec = _codec_training(corpus)
    # Untrained, it would whisper below what counts as speech.
    last = codec.codec.bicodec.wave_generator.model[-1]
    last.weight = 300 * last.weight
    codec.average = codec.codec.parameters()
    for _ in range(3):
        codec.advance()
    config = codec.export(tmp_path / "model")
    codes = train_lm.encoded(corpus, tmp_path / "lm", tmp_path / "model", config, "train")
    sentences = sequences.load(codes, corpus)
    assert [s.meta["text"] for s in sentences] == WORDS
    data = sequences.Sequences(sentences, _vocabulary(), most_tokens=500, seed=0)
    lm = train_lm.LMTraining(config, train_lm.Settings(), data)
    lm.advance()
    final = lm.export(tmp_path / "model")
    assert final.fingerprint.codec == config.fingerprint.codec

    tts = spark_mlx.load(tmp_path / "model")
    samples = Corpus(shards(corpus, "train"))[1]
    assert tts.codec.encode(samples).semantic_tokens.tolist() == sentences[1].semantic_tokens
    voice = tts.clone((samples, 16_000), transcript=WORDS[1])
    assert len(tts.say("Hello.", voice=voice).samples) > 0


def test_checkpoints_keep_trees_and_numbers(tmp_path: Path) -> None:
    tree = {"a": [{"b": mx.arange(3)}, {"b": mx.ones((2, 2))}]}
    for step in (1, 2):
        checkpoints.save(tmp_path / "x" / "c.safetensors", {"model": tree}, {"step": step})
    parts, numbers = checkpoints.load(tmp_path / "x" / "c.safetensors")
    assert numbers == {"step": 2}
    assert _equal(tree, parts["model"])
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["c.safetensors"]


def test_curve_drops_what_was_lost(tmp_path: Path) -> None:
    curve = loop.Curve(tmp_path / "c.csv", 0)
    for step in (10, 20, 30):
        curve.add(step, step / 2, "train", {"loss": 1 / step})
    loop.Curve(tmp_path / "c.csv", 20).add(25, 13, "train", {"loss": 0.5})
    rows = (tmp_path / "c.csv").read_text().splitlines()
    assert rows[0] == "step,seconds,kind,name,value"
    assert [int(row.split(",")[0]) for row in rows[1:]] == [10, 20, 25]


def test_rate_rises_then_falls() -> None:
    rates = [loop.cosine(step, 100, 1.0, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    settings = train_codec.Settings((5, 5, 5, 5), warm_up=1)
    phases = [settings.phase(step) for step in (4, 5, 10, 15, 99)]
    assert phases == ["continuous", "quantised", "decoding", "adversarial", "adversarial"]
    # Each phase after the codebook's begins anew, from the bottom.
    assert settings.learning_rate(9) < settings.learning_rate(10) > settings.learning_rate(14)


def test_an_update_that_is_not_finite_changes_nothing() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight
    slopes = {"weight": mx.full((2, 2), float("nan")), "bias": mx.zeros(2)}
    loop.update(layer, optim.AdamW(1e-3), slopes, 1e-3, 1.0, weight_decay=0.1)
    assert mx.array_equal(layer.weight, before)


def test_nano_has_the_published_lengths() -> None:
    assert NANO.hop == 320
    assert NANO.prenet.input_channels == NANO.quantizer.input_dim == NANO.encoder.out_channels
    widths = {NANO.speaker_encoder.out_dim, NANO.prenet.out_channels, NANO.prenet.condition_dim}
    assert widths == {NANO.wave_generator.input_channel}
    assert len(_vocabulary().semantic.all()) == CODES[1]


def test_what_is_not_trained_keeps_its_bits_in_the_average() -> None:
    layer = nn.Linear(8, 8)
    average = layer.parameters()
    for step in range(100):
        average = loop.averaged(average, layer, step)
    assert _equal(average, layer.parameters())
