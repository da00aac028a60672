"""SparkTTS as its callers see it: voices made, texts spoken, answers that go wrong."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import spark_mlx
from conftest import REFERENCE, Arrays, on_each_backend
from spark_mlx.errors import (
    AudioError,
    ConfigError,
    GenerationError,
    ModelError,
    TextError,
    VoiceError,
)
from spark_mlx.generation import pauses, whole
from spark_mlx.generation.generate import Stage
from spark_mlx.generation.prefetch import Prefetch
from spark_mlx.speech import sentences
from spark_mlx.text import Boundary, syllables
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

CLIP = REFERENCE / "short.wav"


@pytest.fixture(scope="module")
def voice(tts: SparkTTS) -> Voice:
    return tts.clone(CLIP)


def test_public_names() -> None:
    assert set(spark_mlx.__all__) <= set(dir(spark_mlx))
    for name in spark_mlx.__all__:
        assert getattr(spark_mlx, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        spark_mlx.nothing  # noqa: B018


@on_each_backend
def test_codec_round_trip(tts: SparkTTS, reference: Arrays) -> None:
    codes = tts.codec.encode(reference["short.wav_16k"])
    assert codes.global_tokens.dtype == codes.semantic_tokens.dtype == np.int32
    samples = tts.codec.decode(codes.global_tokens, codes.semantic_tokens)
    assert samples.dtype == np.float32
    assert samples.shape == (320 * len(codes.semantic_tokens),)
    assert np.abs(samples - reference["short.wav_recon"][0, 0]).max() < 1e-4


@pytest.mark.parametrize(
    ("global_tokens", "semantic_tokens", "complaint"),
    [
        ([0] * 31, [1], "32 global tokens, not 31"),
        ([0] * 31 + [4096], [1], "between 0 and 4095, not 4096"),
        ([0] * 32, [1, -1], "between 0 and 255, not -1"),
        ([0] * 32, [[1]], "one row"),
    ],
)
def test_codec_refuses_impossible_tokens(
    tts: SparkTTS, global_tokens: list[int], semantic_tokens: list[int], complaint: str
) -> None:
    with pytest.raises(VoiceError, match=complaint):
        tts.codec.decode(global_tokens, semantic_tokens)


def test_no_tokens_no_samples(tts: SparkTTS) -> None:
    assert tts.codec.decode([0] * 32, []).shape == (0,)


def test_codec_refuses_other_shapes(tts: SparkTTS) -> None:
    with pytest.raises(AudioError, match=r"\(2, 3\)"):
        tts.codec.encode(np.zeros((2, 3), dtype=np.float32))


def test_cloning_without_transcript_never_opens_the_encoder(model: Path, tmp_path: Path) -> None:
    for file in ("config.json", "tokenizer.json", "lm.safetensors", "codec.safetensors"):
        (tmp_path / file).symlink_to(model / file)
    tts = spark_mlx.load(tmp_path)
    voice = tts.clone(CLIP)
    assert voice.semantic_tokens is None
    assert len(tts.say("Hi.", voice=voice).samples) > 0
    with pytest.raises(ModelError, match=r"encoder\.safetensors is missing"):
        tts.clone(CLIP, transcript="a transcript.")


@on_each_backend
def test_cloning_samples_equals_cloning_the_file(tts: SparkTTS, reference: Arrays) -> None:
    import soundfile

    samples, rate = soundfile.read(CLIP)
    assert np.array_equal(
        tts.clone((samples, rate)).global_tokens, reference["short.global_tokens"][0, 0]
    )


@on_each_backend
def test_same_seed_same_samples(tts: SparkTTS, voice: Voice) -> None:
    first, again, other = (tts.say("Hello.", voice=voice, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples)


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_any_whole_number_is_a_seed(tts: SparkTTS, voice: Voice, seed: int) -> None:
    assert len(tts.say("Hi.", voice=voice, seed=seed).samples) > 0
    assert tts.create_voice(seed=seed) == tts.create_voice(seed=seed)


def test_voice_survives_saving(tts: SparkTTS, voice: Voice, tmp_path: Path) -> None:
    voice.save(tmp_path / "v.npz")
    loaded = Voice.load(tmp_path / "v.npz")
    assert loaded == voice
    assert np.array_equal(
        tts.say("Hello.", voice=loaded).samples, tts.say("Hello.", voice=voice).samples
    )


@on_each_backend
def test_created_voice(tts: SparkTTS) -> None:
    voice = tts.create_voice(gender="male", pitch="high", speed="moderate", seed=1)
    again = tts.create_voice(gender="male", pitch="high", speed="moderate", seed=1)
    other = tts.create_voice(gender="male", pitch="high", speed="moderate", seed=2)
    assert voice == again
    assert not np.array_equal(voice.global_tokens, other.global_tokens)
    assert voice.global_tokens.shape == (32,)
    assert voice.attributes is not None
    assert voice.attributes.gender == "male"
    assert 0 <= voice.attributes.pitch_value <= 1000
    assert 0 <= voice.attributes.speed_value <= 10


@on_each_backend
@pytest.mark.parametrize("exact", [{"pitch_value": 250}, {"speed_value": 4}, {}])
def test_exact_values_are_kept(tts: SparkTTS, exact: dict[str, int]) -> None:
    voice = tts.create_voice(**exact)
    both = tts.create_voice(**{"pitch_value": 250, "speed_value": 4, **exact})
    assert voice.attributes is not None
    assert both.attributes is not None
    for name, value in exact.items():
        assert getattr(voice.attributes, name) == value
    assert (both.attributes.pitch_value, both.attributes.speed_value) == (250, 4)


def test_impossible_values_are_refused(tts: SparkTTS) -> None:
    with pytest.raises(ConfigError, match="pitch_value is between 0 and 1000, not 1001"):
        tts.create_voice(pitch_value=1001)
    with pytest.raises(ConfigError, match="pitch is one of"):
        tts.create_voice(pitch="deep")


def test_creation_keeps_one_voice_over_sentences(
    tts: SparkTTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = tts.create_voice(seed=3)
    used = []
    decode = tts.codec.decode
    monkeypatch.setattr(
        tts.codec, "decode", lambda g, s: (used.append(np.array(g).tolist()), decode(g, s))[1]
    )
    text = "First sentence here. " * 15
    tts.say(text, voice=voice)
    assert len(used) > 1
    assert all(tokens == voice.global_tokens.tolist() for tokens in used)


def test_a_voice_of_another_codec_is_refused(tts: SparkTTS, voice: Voice) -> None:
    import dataclasses

    stranger = dataclasses.replace(voice, codec="0" * 64)
    with pytest.raises(VoiceError, match="another codec"):
        tts.say("Hello.", voice=stranger)


@pytest.mark.parametrize("text", ["", "  \n", "?!…", "🙂", "\x00\udc80", "x" * 100_000])
def test_texts_that_cannot_be_spoken(tts: SparkTTS, voice: Voice, text: str) -> None:
    with pytest.raises(TextError):
        tts.say(text, voice=voice)


def test_pieces_together_give_what_they_give_alone(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "A first piece of the text.\nA second, longer than the first.\nThe third."
    together = tts.say(text, voice=voice)
    monkeypatch.setattr("spark_mlx.generation.whole.BATCH", 1)
    alone = tts.say(text, voice=voice)
    assert together.samples.shape == alone.samples.shape
    assert np.abs(together.samples - alone.samples).max() < 1e-4


@on_each_backend
def test_streamed_chunks_are_the_speech(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing_noise(tts, monkeypatch)
    text = "A first piece of the text.\nAnd then the second one."
    chunks = list(tts.stream(text, voice=voice, look_ahead=None))
    joined = np.concatenate([chunk.samples for chunk in chunks])
    spoken = tts.say(text, voice=voice)
    assert spoken.warnings == ()  # nothing was drawn again
    assert spoken.duration > 4
    assert np.abs(joined - spoken.samples).max() < 1e-4
    assert [chunk.piece for chunk in chunks] == sorted(chunk.piece for chunk in chunks)
    assert {chunk.text for chunk in chunks} == set(text.splitlines())
    ends = np.cumsum([len(chunk.samples) for chunk in chunks]) / tts.sample_rate
    assert [chunk.start for chunk in chunks] == pytest.approx([0, *ends[:-1]])


def writing_noise(tts: SparkTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each answer be 110 random codes that its key chooses, and its end."""

    def generate(
        _lm: object, _prompt: object, _stages: object, _: object, key: mx.array
    ) -> Iterator[int]:
        codes = mx.random.randint(0, tts.codec.semantic_codes, (110,), key=key).tolist()
        return iter([*map(tts.vocabulary.semantic.id, codes), tts.vocabulary.end])

    def generate_batch(
        lm: object, prompts: object, stages: object, sampling: object, keys: list[mx.array]
    ) -> Iterator[tuple[int, int]]:
        for stream, key in enumerate(keys):
            for id_ in generate(lm, prompts, stages, sampling, key):
                yield stream, id_

    monkeypatch.setattr("spark_mlx.generation.streaming.generate", generate)
    monkeypatch.setattr("spark_mlx.generation.whole.generate_batch", generate_batch)


@on_each_backend
def test_streaming_starts_before_the_model_has_written(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()

    def generate(lm: object, prompt: object, stages: list[Stage], *_: object) -> Iterator[int]:
        for code in range(80):
            if code == 14:  # ten codes and the look-ahead
                assert heard.wait(10)
            yield tts.vocabulary.semantic.id(code)
        yield tts.vocabulary.end

    monkeypatch.setattr("spark_mlx.generation.streaming.generate", generate)
    # It writes in a thread of its own, and goes on when the first chunk was heard.
    monkeypatch.setattr(type(tts.backend), "prefetch", lambda _, make: Prefetch(make))
    chunks = tts.stream("Good morning.", voice=voice, look_ahead=4)
    next(chunks)
    heard.set()
    assert sum(len(chunk.samples) for chunk in chunks) == (80 - 10) * tts.config.hop


LETTER = (
    "Dear\u00ad Tom, it costs $5.\r\n\r\n"
    "A second paragraph begins here. With a second sentence, which it has.\n"
    "好的，我们明天早上九点再见。"
)
HOP = 320
TONE = (0.3 * np.sin(np.arange(HOP) * 0.3)).astype(np.float32)


def saying(
    tts: SparkTTS, monkeypatch: pytest.MonkeyPatch, answers: Sequence[str] = ("." + "o" * 50,)
) -> list[int]:
    """Makes the model answer so, in turn: `.` is a code of silence, `o` one of sound, `…` no end.

    Returns:
        The seeds of the answers, as random keys.
    """
    keys: list[int] = []

    def ids(key: mx.array) -> Iterator[int]:
        answer = answers[min(len(keys), len(answers) - 1)]
        keys.append(key.tolist()[-1])
        yield from (tts.vocabulary.semantic.id(".o".index(c)) for c in answer.rstrip("…"))
        if not answer.endswith("…"):
            yield tts.vocabulary.end

    def generate(lm: object, prompt: object, stages: object, _: object, key: mx.array) -> object:
        return ids(key)

    def generate_batch(
        lm: object, prompts: object, stages: object, _: object, keys: list[mx.array]
    ) -> Iterator[tuple[int, int]]:
        for i, key in enumerate(keys):
            yield from ((i, id_) for id_ in ids(key))

    def decode(
        voice: object, tokens: Sequence[int], start: int = 0, stop: int | None = None
    ) -> np.ndarray:
        parts = [code * TONE for code in tokens[start:stop]]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    monkeypatch.setattr("spark_mlx.generation.streaming.generate", generate)
    monkeypatch.setattr("spark_mlx.generation.whole.generate_batch", generate_batch)
    monkeypatch.setattr(tts.codec, "decode", decode)
    return keys


def test_sentences_know_their_places_and_times(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(tts, monkeypatch)
    sentences = tts.say(LETTER, voice=voice).sentences
    assert [sentence.text for sentence in sentences] == [
        "Dear\u00ad Tom, it costs $5.",
        "A second paragraph begins here.",
        "With a second sentence, which it has.",
        "好的，我们明天早上九点再见。",
    ]
    assert [LETTER[slice(*sentence.span)] for sentence in sentences] == [s.text for s in sentences]
    assert [s.end - s.start for s in sentences] == pytest.approx([51 * 0.02] * 4)
    gaps = [b.start - a.end for a, b in itertools.pairwise(sentences)]
    # Each answer begins with 20 ms of silence, which count.
    paragraph, sentence = (pauses.PAUSES[b] - 0.02 for b in (Boundary.PARAGRAPH, Boundary.SENTENCE))
    assert gaps == pytest.approx([paragraph, sentence, paragraph])


@on_each_backend
def test_a_stream_is_what_say_says(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(tts, monkeypatch, ["." * 12 + "o" * 300 + "."])
    speech = tts.say(LETTER, voice=voice)
    chunks = list(tts.stream(LETTER, voice=voice))
    assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), speech.samples)
    assert sentences(chunks) == speech.sentences
    by_piece = {chunk.piece: chunk for chunk in chunks}
    assert by_piece[0].spoken == "Dear Tom, it costs five dollars."
    assert [by_piece[i].sentence for i in range(4)] == [0, 1, 2, 3]
    assert all(LETTER[slice(*chunk.span)] == chunk.text for chunk in chunks)
    assert [chunk.piece for chunk in chunks if chunk.pause] == [0, 1, 2]
    assert not any(chunk.samples.any() for chunk in chunks if chunk.pause)
    for before, after in itertools.pairwise(chunks):
        assert before.end == pytest.approx(after.start)


def test_a_streamed_answer_that_begins_with_silence_is_drawn_again(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = saying(tts, monkeypatch, ["." * 200 + "o", "." * 20, "..." + "o" * 40])
    chunks = list(tts.stream("Good morning.", voice=voice))
    assert len(set(keys)) == 3
    assert sum(len(chunk.samples) for chunk in chunks) == 43 * HOP
    assert not any(chunk.warning for chunk in chunks)


def test_a_late_beginning_is_better_than_none(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = saying(tts, monkeypatch, ["." * 200 + "o" * 40])
    chunks = list(tts.stream("Good morning.", voice=voice))
    assert len(keys) == 3
    assert sum(len(chunk.samples) for chunk in chunks) == 240 * HOP


def test_a_streamed_piece_without_sound_is_reported(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(tts, monkeypatch, ["o" * 40, *["." * 20] * 3, "o" * 40])
    text = "This is the first one. This is the second.\nThis is the third."
    chunks = list(tts.stream(text, voice=voice))
    warnings = [(chunk.piece, chunk.warning) for chunk in chunks if chunk.warning]
    assert warnings == [(1, "nothing but silence in 'This is the second.', 3 times")]
    assert [sentence.text for sentence in sentences(chunks)] == [
        "This is the first one.",
        "This is the third.",
    ]
    (pause,) = (chunk for chunk in chunks if chunk.pause)
    assert pause.piece == 0
    assert len(pause.samples) == pauses.PAUSES[Boundary.PARAGRAPH] * tts.sample_rate


def test_a_streamed_answer_without_end_is_reported(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(tts, monkeypatch, ["o" * 40 + "…"])
    *rest, last = tts.stream("Good morning.", voice=voice)
    assert last.warning == "no end, and was cut off, in 'Good morning.'"
    assert not any(chunk.warning for chunk in rest)


def test_damaged_characters_are_left_out_with_a_warning(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(tts, monkeypatch)
    speech = tts.say("Good\x1b morning.", voice=voice)
    assert speech.warnings == ("1 control character was left out (U+001B)",)
    *spoken, last = tts.stream("Good\x1b morning.", voice=voice)
    assert last.warning == speech.warnings[0]
    assert not len(last.samples)
    assert {chunk.spoken for chunk in spoken} == {"Good morning."}
    assert not any(chunk.warning for chunk in spoken)


@on_each_backend
def test_a_stream_can_be_stopped(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = saying(tts, monkeypatch)
    stop = threading.Event()
    stream = tts.stream(LETTER, voice=voice, stop=stop)
    next(stream)
    stop.set()
    assert list(stream) == []
    assert len(keys) == 1


# Answers that go wrong. `generate_batch` is replaced, the rest is real.

SILENCE = np.zeros(320, dtype=np.float32)


def answering(
    tts: SparkTTS, monkeypatch: pytest.MonkeyPatch, lengths: Sequence[int], ends: Sequence[bool]
) -> list[int]:
    """Makes the model answer with that many tokens, ended or not, in turn; returns the bounds."""
    bounds: list[int] = []

    def generate_batch(
        lm: object, prompts: object, stages: list[Stage], *_: object
    ) -> Iterator[tuple[int, int]]:
        for stream, stage in enumerate(stages):
            turn = len(bounds)
            bounds.append(stage.count)
            yield from [(stream, tts.vocabulary.semantic.id(9))] * lengths[turn]
            if ends[turn]:
                yield stream, tts.vocabulary.end

    monkeypatch.setattr("spark_mlx.generation.whole.generate_batch", generate_batch)
    return bounds


def test_an_answer_without_end_is_retried(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = answering(tts, monkeypatch, [60, 60, 20], [False, False, True])
    speech = tts.say("Hello.", voice=voice)
    assert len(bounds) == 3
    assert len(speech.samples) == 20 * 320
    assert speech.warnings == ()


def test_an_answer_that_never_ends_is_reported(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = answering(tts, monkeypatch, [60] * 3, [False] * 3)
    speech = tts.say("Hello.", voice=voice)
    assert len(bounds) == 3
    assert len(speech.samples) == 60 * 320
    assert len(speech.warnings) == 1
    assert "'Hello.'" in speech.warnings[0]


LONG = "A sentence that takes noticeably longer to say, than the first one."


def test_an_answer_too_short_for_its_words_is_drawn_again(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = saying(tts, monkeypatch, ["o" * 40, "o" * 10 + "." * 90, "o" * 100])
    speech = tts.say(LONG, voice=voice)
    assert len(set(keys)) == len(keys) == 3
    assert len(speech.samples) == 100 * HOP
    assert speech.warnings == ()


def test_words_that_stay_too_short_are_spoken_in_parts(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken: list[list[int]] = []
    clone = type(tts.vocabulary).clone_prompt
    monkeypatch.setattr(
        type(tts.vocabulary),
        "clone_prompt",
        lambda self, text, *rest: (spoken.append(text), clone(self, text, *rest))[1],
    )
    saying(tts, monkeypatch, [*["o" * 40] * 3, "o" * 60])
    done: list[tuple[int, int]] = []
    speech = tts.say(LONG, voice=voice, progress=lambda *counts: done.append(counts))
    parts = ["A sentence that takes noticeably longer to say.", "than the first one."]
    assert sorted(spoken) == sorted([LONG] * 3 + parts)
    assert done == [(1, 1)]
    assert speech.warnings == ()
    pause = int(pauses.PAUSES[Boundary.CLAUSE] * tts.sample_rate)
    assert len(speech.samples) == (60 + 60) * HOP + pause
    assert [sentence.text for sentence in speech.sentences] == [LONG]


def test_parts_that_are_too_short_are_reported(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = saying(tts, monkeypatch, ["o" * 10])
    speech = tts.say("A sentence of several unpronounceable words.", voice=voice)
    assert len(set(keys)) == 3 * 3  # three attempts at the whole, its halves and their halves
    assert len(speech.warnings) >= 2
    assert all(w.startswith("too little speech for the words in ") for w in speech.warnings)
    chunks = list(tts.stream("A sentence of several unpronounceable words.", voice=voice))
    assert [chunk.warning.partition(" in ")[0] for chunk in chunks if chunk.warning]


def test_the_words_of_a_stream_that_is_too_short_follow_in_parts(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = saying(tts, monkeypatch, ["o" * 40, "o" * 60])
    chunks = list(tts.stream(LONG, voice=voice))
    assert len(keys) == 3
    assert not any(chunk.warning for chunk in chunks)
    pause = int(pauses.PAUSES[Boundary.CLAUSE] * tts.sample_rate)
    assert sum(len(chunk.samples) for chunk in chunks) == (40 + 60 + 60) * HOP + 2 * pause
    assert {chunk.text for chunk in chunks} == {LONG}


def test_the_model_cannot_end_before_there_is_time_for_every_word(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    least: list[int] = []
    generate_batch = whole.generate_batch

    def watched(lm: object, prompts: object, stages: list[Stage], *rest: Any) -> object:
        least.extend(stage.at_least for stage in stages)
        return generate_batch(lm, prompts, stages, *rest)

    monkeypatch.setattr(whole, "generate_batch", watched)
    speech = tts.say(f"Hi there.\n{LONG}", voice=voice)
    assert least[:2] == [8, int(0.08 * syllables(LONG) * 50)]
    for sentence, tokens in zip(speech.sentences, least, strict=False):
        assert (sentence.end - sentence.start) * 50 >= tokens


def test_the_bound_grows_with_the_text(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = answering(tts, monkeypatch, [20, 100], [True] * 2)
    tts.say("Hi.", voice=voice)
    tts.say("A sentence that takes noticeably longer to say than the first one.", voice=voice)
    assert 100 <= bounds[0] < bounds[1] < 1500


def test_silence_is_retried_cut_and_reported(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone = np.sin(np.arange(16_000)).astype(np.float32)
    hollow = np.concatenate([tone, np.zeros(5 * 16_000, np.float32), tone])
    bounds = answering(tts, monkeypatch, [300] * 3, [True] * 3)
    monkeypatch.setattr(tts.codec, "decode", lambda *_: hollow)
    speech = tts.say("Hello.", voice=voice)
    assert len(bounds) == 3
    assert "silence" in speech.warnings[0]
    assert speech.duration == pytest.approx(2.5, abs=0.05)


def test_nothing_but_silence_is_an_error(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(tts, monkeypatch, [20] * 3, [True] * 3)
    monkeypatch.setattr(tts.codec, "decode", lambda _, tokens: np.tile(SILENCE, len(tokens)))
    with pytest.raises(GenerationError, match="3 times"):
        tts.say("Hello.", voice=voice)


# Models that cannot be loaded.


def test_unknown_dtype_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError, match="not float16"):
        spark_mlx.load(model, dtype="float16")


def test_bfloat16_speaks(model: Path, voice: Voice) -> None:
    tts = spark_mlx.load(model, dtype="bfloat16")
    assert len(tts.say("Hello.", voice=voice).samples) > 0


def test_a_short_text_is_read_the_same_in_a_stream(
    tts: SparkTTS, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first answer has no end, and both draw it again."""
    whole = tts.say("hi", voice=voice)
    streamed = list(tts.stream("hi", voice=voice, look_ahead=None))
    joined = np.concatenate([chunk.samples for chunk in streamed])
    np.testing.assert_allclose(joined, whole.samples, atol=1e-4)
    assert [chunk.warning for chunk in streamed if chunk.warning] == list(whole.warnings)


def test_a_text_in_several_calls_is_read_as_in_one(tts: SparkTTS, voice: Voice) -> None:
    one, two = "This is the first sentence.", "This is the other one."
    both = tts.say(f"{one} {two}", voice=voice)
    again = tts.say(two, voice=voice, first_piece=1)
    start = round(both.sentences[1].start * tts.sample_rate)
    np.testing.assert_allclose(again.samples, both.samples[start:], atol=1e-4)
    chunks = list(tts.stream(two, voice=voice, look_ahead=None, first_piece=1))
    assert {chunk.piece for chunk in chunks} == {1}
    joined = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_allclose(
        joined[: len(again.samples)], again.samples[: len(joined)], atol=1e-3
    )
