"""SparkTTS: the one file that joins the parts.

text → pieces → prompt ids → drawn ids → codes → samples
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np

from spark_mlx import audio, cpu, hub
from spark_mlx import text as texts
from spark_mlx.codec.codec import Codec, Samples
from spark_mlx.errors import GenerationError
from spark_mlx.generate import Stage, generate, generate_batch
from spark_mlx.lm import Qwen2
from spark_mlx.model_config import ModelConfig
from spark_mlx.precision import quantize, settle
from spark_mlx.sampling import Sampling
from spark_mlx.speech import Speech
from spark_mlx.tokens import Vocabulary
from spark_mlx.voice import Attributes, Voice
from spark_mlx.weights import EmbeddingOnDisk, load_weights

log = logging.getLogger(__name__)

LM_FILE = "lm.safetensors"

# The official code never writes more; it is a minute of speech.
MOST_TOKENS = 3000
# Nothing anyone says is shorter than this, so an answer cannot end before it: 0.16 s.
FEWEST_TOKENS = 8
# An answer may last this many times what its text should, and so many seconds more.
LENGTH_MARGIN, LENGTH_SLACK = 3.0, 2.0
# Silence within speech that no speaker makes, and what is left of it when retries do not help.
LONGEST_SILENCE, KEPT_SILENCE = 3.0, 0.5
RETRIES = 2
BATCH = 8  # pieces of a text that are written together
PAUSE = 0.25  # seconds between the pieces of a long text

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
    codec = Codec.load(folder, config)
    vocabulary = Vocabulary.load(folder, codec.global_codes, codec.semantic_codes)
    lm = Qwen2(config.lm)
    if config.quantize is not None:
        quantize(lm, config.quantize)
    load_weights(lm, folder / LM_FILE)
    settle(lm, dtype)
    plain = config.quantize is None and config.dtype == "float32"
    if plain and cpu.in_use() and dtype != "bfloat16":
        lm.embed_tokens = EmbeddingOnDisk(folder / LM_FILE, "embed_tokens.weight")
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

    def clone(
        self,
        source: audio.Source,
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
        samples = audio.reference(source, self.sample_rate, self.config.level_reference)
        origin = "samples" if isinstance(source, tuple) else Path(source).name
        return Voice(
            name=name or Path(origin).stem,
            global_tokens=self.codec.encode_speaker(samples),
            codec=self.codec.fingerprint,
            origin="cloned",
            source=origin,
            semantic_tokens=(None if transcript is None else self.codec.encode_semantic(samples)),
            transcript=None if transcript is None else texts.clean(transcript),
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
        ids = list(generate(self.lm, prompt, stages, sampling or Sampling(), mx.random.key(seed)))
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
        pieces = texts.split(texts.clean(text))
        sampling = Sampling(temperature, top_k, top_p)
        if voice is None:
            voice = self.create_voice(sampling=sampling)
        self._check(voice)
        spoken: dict[int, Samples] = {}
        warnings: dict[int, str] = {}
        for attempt in range(RETRIES + 1):
            # Pieces of about the same length share a batch, so that none waits for another.
            unspoken = sorted(set(range(len(pieces))) - spoken.keys(), key=lambda i: len(pieces[i]))
            for start in range(0, len(unspoken), BATCH):
                batch = unspoken[start : start + BATCH]
                answers = self._answer([pieces[i] for i in batch], voice, sampling, seed, batch)
                for i, answer in zip(batch, answers, strict=True):
                    samples, fault = self._decode(voice, answer)
                    if fault is None:
                        spoken[i] = samples
                    elif attempt < RETRIES:
                        log.info("seed %d: %s in %r", seed, fault, pieces[i])
                    elif not len(samples):
                        raise GenerationError(
                            f"the model gave {fault} for {_shortened(pieces[i])}, {RETRIES + 1} "
                            "times; try another seed or another wording"
                        )
                    else:
                        spoken[i] = samples
                        what = _shortened(pieces[i])
                        warnings[i] = f"{fault} in {what}, after {RETRIES + 1} tries"
                    if progress is not None:
                        progress(len(spoken), len(pieces))
            seed += 1
        pause = np.zeros(int(PAUSE * self.sample_rate), dtype=np.float32)
        parts = [spoken[0]]
        for i in range(1, len(pieces)):
            parts += [pause, spoken[i]]
        ordered = tuple(warnings[i] for i in sorted(warnings))
        return Speech(np.concatenate(parts), self.sample_rate, ordered)

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

    def _check(self, voice: Voice) -> None:
        voice.check(
            self.codec.fingerprint,
            self.config.speaker_encoder.token_num,
            self.codec.global_codes,
            self.codec.semantic_codes,
        )

    def _answer(
        self, pieces: list[str], voice: Voice, sampling: Sampling, seed: int, indices: list[int]
    ) -> list[list[int]]:
        """The ids the model writes for some pieces of a text, all of them in one batch."""
        vocabulary = self.vocabulary
        stages = [
            Stage(
                vocabulary.semantic.all(),
                self._most_tokens(piece),
                end=vocabulary.end,
                at_least=FEWEST_TOKENS,
            )
            for piece in pieces
        ]
        # A piece's key depends on its place in the text, so that it says the same in any batch.
        keys = [mx.random.key((seed << 20) + i) for i in indices]
        prompts = [self.prompt(piece, voice) for piece in pieces]
        answers: list[list[int]] = [[] for _ in pieces]
        for stream, id_ in generate_batch(self.lm, prompts, stages, sampling, keys):
            answers[stream].append(id_)
        return answers

    def _most_tokens(self, piece: str) -> int:
        """The most semantic tokens that saying a piece of text can take."""
        seconds = LENGTH_SLACK + LENGTH_MARGIN * texts.expected_seconds(piece)
        return min(MOST_TOKENS, int(seconds * self.sample_rate / self.config.hop))

    def _decode(self, voice: Voice, answer: list[int]) -> tuple[Samples, str | None]:
        """The ids of an answer → samples and what is wrong with them, if anything."""
        ended = answer[-1] == self.vocabulary.end
        tokens = self.vocabulary.semantic.codes(answer[:-1] if ended else answer)
        return self._fault(self.codec.decode(voice.global_tokens, tokens), ended)

    def _fault(self, samples: Samples, ended: bool) -> tuple[Samples, str | None]:
        """What of an answer's samples can be used, and what is wrong with them."""
        silences = audio.silences(samples, self.sample_rate, seconds=0)
        if not len(samples) or silences == [(0, len(samples))]:
            return samples[:0], "nothing but silence"
        kept, longest = (int(s * self.sample_rate) for s in (KEPT_SILENCE, LONGEST_SILENCE))
        keep = np.ones(len(samples), dtype=bool)
        for start, end in silences:
            if end - start > longest:
                keep[start + kept : end] = False
        if not keep.all():
            return samples[keep], f"more than {LONGEST_SILENCE:g} s of silence"
        if not ended:
            return samples, "no end, and was cut off,"
        return samples, None


def _shortened(text: str, most: int = 40) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
