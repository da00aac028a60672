"""SparkTTS: the one file that joins the parts.

text → pieces → prompt ids → drawn ids → codes → samples
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np

from spark_mlx.audio import files
from spark_mlx.backends.cpu import native, ops
from spark_mlx.checkpoints import hub
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.quantization import quantize, settle
from spark_mlx.checkpoints.weights import EmbeddingOnDisk, load_weights
from spark_mlx.codec import Codec, Samples
from spark_mlx.errors import GenerationError
from spark_mlx.generation import checks, pauses
from spark_mlx.generation.generate import Stage, generate, generate_batch
from spark_mlx.generation.sampling import Sampling
from spark_mlx.generation.stream_decoder import LOOK_AHEAD, Chunk, StreamDecoder
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.model.qwen2 import Qwen2
from spark_mlx.speech import Sentence, Speech
from spark_mlx.text import Piece, clean, segment
from spark_mlx.voice import Attributes, Voice

log = logging.getLogger(__name__)

LM_FILE = "lm.safetensors"

BATCH = 8  # pieces of a text that are written together
# Seconds of silence before the first sound of a streamed piece; after more it is drawn again.
LONGEST_ONSET = 1.0

# Spoken by nobody: it only gives the model something to imagine the voice with.
CREATION_TEXT = "The sun rises over the quiet hills, and a new day begins."


def load(model: str | Path | None = None, dtype: str | None = None) -> SparkTTS:
    """Loads a model.

    Args:
        model: a model folder, a hub id, or None for the default model: `$SPARK_MLX_MODEL`, else
            the downloaded one, else the one that comes with the package.
        dtype: what the language model computes in, "float32" or "bfloat16". None: bfloat16 on a
            GPU, float32 on a CPU.

    Raises:
        ModelError: there is no such model, or its folder is incomplete, damaged or too new.
    """
    folder = hub.resolve(model)
    config = ModelConfig.load(folder)
    native.start()
    codec = Codec.load(folder, config)
    vocabulary = Vocabulary.load(folder, codec.global_codes, codec.semantic_codes)
    lm = Qwen2(config.lm)
    if config.quantize is not None:
        quantize(lm, config.quantize)
    load_weights(lm, folder / LM_FILE)
    lm = settle(lm, dtype)
    if config.dtype == "float32" and ops.in_use() and dtype != "bfloat16":
        bits = getattr(lm.embed_tokens, "bits", None)
        lm.embed_tokens = EmbeddingOnDisk(folder / LM_FILE, "embed_tokens", bits)
    return SparkTTS(config, vocabulary, lm, codec)


class SparkTTS:
    """A loaded model.

    Attributes:
        lm: the generator; `lm(ids)` gives logits (1, T, vocab).
        codec: `codec.encode(samples)`, `codec.decode(global_tokens, semantic_tokens)`.
        vocabulary: text and codes ↔ ids.
        sample_rate: Hz.
    """

    def __init__(
        self, config: ModelConfig, vocabulary: Vocabulary, lm: Qwen2, codec: Codec
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.lm = lm
        self.codec = codec
        self.sample_rate = config.sample_rate
        if lm.in_any_thread:
            # Another thread may not go on with what this one has only begun.
            mx.eval(lm.parameters())

    def clone(
        self,
        source: files.Source,
        transcript: str | None = None,
        *,
        name: str | None = None,
        consent: str = "",
    ) -> Voice:
        """A voice from a clip of someone speaking.

        Args:
            source: an audio file, or samples (N,) or (N, channels) and their rate in Hz.
            transcript: what the clip says. With it, the voice also carries the clip's semantic
                tokens and follows its manner more closely, at the cost of longer prompts.
            name: what to call the voice; the file's name if not given.
            consent: how the voice's owner agreed to this; kept with the voice.

        Raises:
            AudioError: the clip cannot be read, or is too short, too long or silent.
        """
        if transcript is not None:
            transcript = clean(transcript)
        samples = files.reference(source, self.sample_rate, self.config.level_reference)
        origin = "samples" if isinstance(source, tuple) else Path(source).name
        return Voice(
            name=name or Path(origin).stem,
            global_tokens=self.codec.encode_speaker(samples),
            codec=self.codec.fingerprint,
            origin="cloned",
            source=origin,
            semantic_tokens=(None if transcript is None else self.codec.encode_semantic(samples)),
            transcript=transcript,
            consent=consent,
        )

    def create_voice(
        self,
        gender: str = "female",
        pitch: str = "moderate",
        speed: str = "moderate",
        *,
        pitch_value: int | None = None,
        speed_value: int | None = None,
        seed: int = 0,
        name: str | None = None,
        sampling: Sampling | None = None,
    ) -> Voice:
        """A voice that belongs to nobody, made up by the model.

        Args:
            gender: "female" or "male".
            pitch, speed: "very_low", "low", "moderate", "high" or "very_high".
            pitch_value: exact mean pitch in mels, 0 to 1000; the model chooses if None.
            speed_value: exact speed in syllables a second, 0 to 10; the model chooses if None.
            seed: another seed, another voice.

        Returns:
            A voice whose `attributes` hold the values that were used. It speaks every text with
            the same speaker, pitch and speed.
        """
        vocabulary = self.vocabulary
        prompt = vocabulary.create_prompt(CREATION_TEXT, gender, pitch, speed)
        stages = []
        forced = [vocabulary.start_acoustic]
        for value, codes in (
            (pitch_value, vocabulary.pitch_value),
            (speed_value, vocabulary.speed_value),
        ):
            if value is None:
                stages.append(Stage(codes.all(), 1, tuple(forced)))
                forced = []
            else:
                forced.append(codes.id(value))
        forced += [vocabulary.end_acoustic, vocabulary.start_global]
        token_num = self.config.speaker_encoder.token_num
        stages.append(Stage(vocabulary.global_.all(), token_num, tuple(forced)))
        ids = list(generate(self.lm, prompt, stages, sampling or Sampling(), _key(seed)))
        values, global_ids = ids[:-token_num], ids[-token_num:]
        if pitch_value is None:
            (pitch_value,) = vocabulary.pitch_value.codes([values.pop(0)])
        if speed_value is None:
            (speed_value,) = vocabulary.speed_value.codes([values.pop(0)])
        return Voice(
            name=name or f"{gender}-{pitch}-{speed}-{seed}",
            global_tokens=np.array(vocabulary.global_.codes(global_ids), dtype=np.int32),
            codec=self.codec.fingerprint,
            origin="created",
            source=f"seed {seed}",
            attributes=Attributes(
                gender=gender,
                pitch=pitch,
                speed=speed,
                pitch_value=pitch_value,
                speed_value=speed_value,
            ),
        )

    def say(
        self,
        text: str,
        voice: Voice | None = None,
        *,
        temperature: float = 0.8,
        top_k: int = 50,
        top_p: float = 0.95,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Speech:
        """Speaks a text. The same seed, model, text and voice give the same samples.

        Args:
            text: English and Chinese, mixed freely. A long text is spoken in pieces.
            voice: a cloned or created voice; None creates one with `create_voice()`.
            temperature, top_k, top_p: see `Sampling`.
            seed: another seed, another reading.
            progress: called with the number of pieces spoken so far and of all, after each.

        Raises:
            TextError: there is nothing to say, or far too much.
            VoiceError: the voice belongs to another codec.
            GenerationError: the model gave no sound, after two more tries with other seeds.
        """
        sampling = Sampling(temperature, top_k, top_p)
        pieces, voice = self._prepare(text, voice, sampling)
        spoken, warnings = self._speak(
            [piece.spoken for piece in pieces], voice, sampling, seed, progress
        )
        parts: list[Samples] = []
        sentences: list[Sentence] = []
        done = 0
        for i, (piece, samples) in enumerate(zip(pieces, spoken, strict=True)):
            if i:
                boundary = pieces[i - 1].boundary
                parts.append(pauses.pause(spoken[i - 1], samples, boundary, self.sample_rate))
                done += len(parts[-1])
            start, done = done, done + len(samples)
            times = start / self.sample_rate, done / self.sample_rate
            sentences.append(Sentence(piece.text, piece.span, *times))
            parts.append(samples)
        return Speech(np.concatenate(parts), self.sample_rate, warnings, tuple(sentences))

    def stream(
        self,
        text: str,
        voice: Voice | None = None,
        *,
        temperature: float = 0.8,
        top_k: int = 50,
        top_p: float = 0.95,
        seed: int = 0,
        look_ahead: int | None = LOOK_AHEAD,
        stop: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """Speaks a text while the model still writes; the chunks joined are the speech.

        The pieces of a long text come one after another, and what has been given cannot be taken
        back: an answer that does not end is cut off, not drawn again, and its last chunk carries
        a warning. One that begins with a second of silence has given nothing yet, and is.

        MLX wants a model to be used in the thread that loaded it, so `load` in the thread that
        takes the chunks. `SpeechQueue` does that.

        Args:
            look_ahead: how many codes behind a chunk are waited for; None for as many as make the
                samples those of the whole decode. The others are those of `say`.
            stop: may be set in any thread; the chunks then end within the time of one code.

        Raises:
            As `say`, but GenerationError.
        """
        sampling = Sampling(temperature, top_k, top_p)
        pieces, voice = self._prepare(text, voice, sampling)
        stop = stop or threading.Event()
        rate = self.sample_rate
        kept = int(pauses.LONGEST * rate)
        last: int | None = None  # the last piece that had a sound
        tail = np.zeros(0, dtype=np.float32)
        spoken = 0
        for i, piece in enumerate(pieces):
            if stop.is_set():
                return
            place = (piece.sentence, piece.text, piece.span, piece.spoken)
            for samples, warning in self._stream_piece(
                piece.spoken, i, voice, sampling, seed, look_ahead, stop
            ):
                if len(samples) and last is not None and last != i:
                    before = pieces[last]
                    boundary = max(passed.boundary for passed in pieces[last:i])
                    silence = pauses.pause(tail, samples, boundary, rate)
                    if len(silence):
                        where = (before.sentence, before.text, before.span, before.spoken)
                        yield Chunk(silence, rate, spoken / rate, last, *where, pause=True)
                    spoken += len(silence)
                    tail = tail[:0]
                yield Chunk(samples, rate, spoken / rate, i, *place, warning=warning)
                spoken += len(samples)
                tail = np.concatenate([tail, samples])[-kept:]
                last = i if len(samples) else last

    def _stream_piece(
        self,
        spoken: str,
        index: int,
        voice: Voice,
        sampling: Sampling,
        seed: int,
        look_ahead: int | None,
        stop: threading.Event,
    ) -> Iterator[tuple[Samples, str]]:
        """The samples of one piece of text, as they are settled, and a warning with the last."""
        for attempt in range(checks.RETRIES + 1):
            key = _key(seed + attempt, index)
            answer = self._stream_answer(spoken, voice, sampling, key, look_ahead, stop)
            final = attempt == checks.RETRIES
            onset = self._onset(answer, float("inf") if final else LONGEST_ONSET)
            if stop.is_set():
                return
            if onset is not None:
                yield onset
                yield from answer
                return
            log.info("seed %d: silence at the beginning of %r", seed + attempt, spoken)
        yield (
            np.zeros(0, dtype=np.float32),
            f"nothing but silence in {_shortened(spoken)}, {checks.RETRIES + 1} times",
        )

    def _onset(
        self, answer: Iterator[tuple[Samples, str]], longest: float
    ) -> tuple[Samples, str] | None:
        """An answer up to its first sound; None if that is `longest` seconds away, or nowhere."""
        held: list[Samples] = []
        for samples, warning in answer:
            held.append(samples)
            if not pauses.is_silent(samples, self.sample_rate):
                return np.concatenate(held), warning
            if sum(map(len, held)) > longest * self.sample_rate:
                break
        return None

    def _stream_answer(
        self,
        spoken: str,
        voice: Voice,
        sampling: Sampling,
        key: mx.array,
        look_ahead: int | None,
        stop: threading.Event,
    ) -> Iterator[tuple[Samples, str]]:
        """The samples of one answer, as they are settled, and a warning with the last of them."""
        decoder = StreamDecoder(self.codec, voice.global_tokens, look_ahead)
        prompt, stage = self.prompt(spoken, voice), self._speech_stage(spoken)
        mx.eval(key)  # as in __init__
        ended = False

        def write() -> Iterator[int]:
            nonlocal ended
            for id_ in generate(self.lm, prompt, [stage], sampling, key):
                if id_ == stage.end:
                    ended = True
                if ended or stop.is_set():
                    return
                yield from self.vocabulary.semantic.codes([id_])

        for samples in decoder.follow(write, ahead=self.lm.in_any_thread):
            if stop.is_set():
                return
            yield samples, ""
        if stop.is_set():
            return
        warning = "" if ended else f"no end, and was cut off, in {_shortened(spoken)}"
        rest = decoder.finish()
        if len(rest) or warning:
            yield rest, warning

    def prompt(self, text: str, voice: Voice) -> list[int]:
        """The ids that ask for `text` in this voice, up to where its semantic tokens follow."""
        tokens = voice.global_tokens.tolist()
        if voice.attributes is not None:
            return self.vocabulary.created_prompt(text, voice.attributes, tokens)
        if voice.transcript is None or voice.semantic_tokens is None:
            return self.vocabulary.clone_prompt(text, tokens)
        return self.vocabulary.clone_prompt(
            text, tokens, voice.transcript, voice.semantic_tokens.tolist()
        )

    def _prepare(
        self, text: str, voice: Voice | None, sampling: Sampling
    ) -> tuple[list[Piece], Voice]:
        """The pieces of a text, and a voice that this model can speak with."""
        pieces = segment(text, self.config.longest_piece)
        if voice is None:
            voice = self.create_voice(sampling=sampling)
        voice.check(
            self.codec.fingerprint,
            self.config.speaker_encoder.token_num,
            self.codec.global_codes,
            self.codec.semantic_codes,
        )
        return pieces, voice

    def _speak(
        self,
        pieces: list[str],
        voice: Voice,
        sampling: Sampling,
        seed: int,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[list[Samples], tuple[str, ...]]:
        """Pieces of a text → the samples of each, and what is wrong with some of them."""
        spoken: dict[int, Samples] = {}
        warnings: dict[int, str] = {}
        for attempt in range(checks.RETRIES + 1):
            for batch in self._batches(pieces, set(range(len(pieces))) - spoken.keys()):
                answers = self._answer(pieces, batch, voice, sampling, seed + attempt)
                for i, answer in zip(batch, answers, strict=True):
                    samples, fault = self._decode(voice, answer)
                    if fault is not None:
                        log.info("seed %d: %s in %r", seed + attempt, fault, pieces[i])
                        if attempt < checks.RETRIES:
                            continue
                        warnings[i] = f"{fault} in {_shortened(pieces[i])}, {attempt + 1} times"
                        if not len(samples):
                            raise GenerationError(
                                f"the model gave {warnings[i]}; try another seed or wording"
                            )
                    spoken[i] = samples
                    if progress is not None:
                        progress(len(spoken), len(pieces))
        in_order = range(len(pieces))
        return [spoken[i] for i in in_order], tuple(warnings[i] for i in in_order if i in warnings)

    @staticmethod
    def _batches(pieces: list[str], unspoken: set[int]) -> Iterator[list[int]]:
        """Pieces of about the same length together, so that none waits long for another."""
        by_length = sorted(unspoken, key=lambda i: (len(pieces[i]), i))
        for start in range(0, len(by_length), BATCH):
            yield by_length[start : start + BATCH]

    def _answer(
        self, pieces: list[str], batch: list[int], voice: Voice, sampling: Sampling, seed: int
    ) -> list[list[int]]:
        """The ids the model writes for the pieces of a batch."""
        stages = [self._speech_stage(pieces[i]) for i in batch]
        prompts = [self.prompt(pieces[i], voice) for i in batch]
        # A piece's key depends on its place in the text, so that it says the same in any batch.
        keys = [_key(seed, i) for i in batch]
        answers: list[list[int]] = [[] for _ in batch]
        for stream, id_ in generate_batch(self.lm, prompts, stages, sampling, keys):
            answers[stream].append(id_)
        return answers

    def _speech_stage(self, piece: str) -> Stage:
        """The part of an answer in which a piece of text is spoken."""
        return Stage(
            self.vocabulary.semantic.all(),
            checks.most_tokens(piece, self.sample_rate / self.config.hop),
            end=self.vocabulary.end,
            at_least=checks.FEWEST_TOKENS,
        )

    def _decode(self, voice: Voice, answer: list[int]) -> tuple[Samples, str | None]:
        """The ids of an answer → samples and what is wrong with them, if anything."""
        ended = answer[-1] == self.vocabulary.end
        tokens = self.vocabulary.semantic.codes(answer[:-1] if ended else answer)
        samples = self.codec.decode(voice.global_tokens, tokens)
        return checks.examine(samples, self.sample_rate, ended)


def _key(seed: int, index: int = 0) -> mx.array:
    """A random key; seeds may be any whole numbers."""
    return mx.random.key(((seed << 20) + index) % 2**64)


def _shortened(text: str, most: int = 40) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
