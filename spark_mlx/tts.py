"""SparkTTS: the one file that joins the parts.

text → pieces → prompt ids → drawn ids → codes → samples
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from spark_mlx import backends
from spark_mlx.audio import files
from spark_mlx.backends import Backend
from spark_mlx.checkpoints import hub
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.quantization import convert_dtype, quantize
from spark_mlx.checkpoints.weights import load_weights
from spark_mlx.codec import Codec
from spark_mlx.generation import creation, streaming, whole
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.request import SpeechRequest, random_key
from spark_mlx.generation.sampling import Sampling
from spark_mlx.generation.stream_decoder import LOOK_AHEAD
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.model.qwen2 import Qwen2
from spark_mlx.speech import Chunk, Speech
from spark_mlx.text import clean, dropped, segment
from spark_mlx.voice import Voice

LM_FILE = "lm.safetensors"


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
    backend = backends.choose()
    folder = hub.resolve(model)
    config = ModelConfig.load(folder)
    codec = Codec.load(folder, config, backend.accelerate, backend.new_stream())
    vocabulary = Vocabulary.load(folder, codec.global_codes, codec.semantic_codes)
    with backend.new_stream():
        lm = Qwen2(config.lm)
        if config.quantize is not None:
            quantize(lm, config.quantize)
        load_weights(lm, folder / LM_FILE)
        convert_dtype(lm, dtype or backend.default_dtype)
        stored = folder / LM_FILE if config.dtype == "float32" else None
        fitted = backend.language_model(lm, stored)
    return SparkTTS(config, vocabulary, fitted, codec, backend)


class SparkTTS:
    """A loaded model.

    Attributes:
        lm: the generator; `lm(ids)` gives logits (1, T, vocab).
        backend: what fitted the model to this machine; `backend.name` is "mlx" or "cpu".
        codec: `codec.encode(samples)`, `codec.decode(global_tokens, semantic_tokens)`.
        vocabulary: text and codes ↔ ids.
        sample_rate: Hz.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary,
        lm: LanguageModel,
        codec: Codec,
        backend: Backend,
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.lm = lm
        self.codec = codec
        self.backend = backend
        self.sample_rate = config.sample_rate
        # Held for each step of the language model; the codec has one of its own.
        self._computing = backend.new_stream()

    def clone(
        self,
        source: files.Source,
        transcript: str | None = None,
        *,
        name: str | None = None,
        consent: str = "",
    ) -> Voice:
        """Clone a voice from a clip of someone speaking.

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
        """Create the voice of a person who does not exist.

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
        with self._computing:
            attributes, tokens = creation.create(
                self.lm,
                self.vocabulary,
                self.config.speaker_encoder.token_num,
                (gender, pitch, speed),
                pitch_value,
                speed_value,
                sampling or Sampling(),
                random_key(seed),
            )
        return Voice(
            name=name or f"{gender}-{pitch}-{speed}-{seed}",
            global_tokens=np.array(tokens, dtype=np.int32),
            codec=self.codec.fingerprint,
            origin="created",
            source=f"seed {seed}",
            attributes=attributes,
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
        first_piece: int = 0,
    ) -> Speech:
        """Speak a text. The same seed, model, text and voice give the same samples.

        Args:
            text: English and Chinese, mixed freely. A long text is spoken in pieces.
            voice: a cloned or created voice; None creates one with `create_voice()`.
            temperature, top_k, top_p: see `Sampling`.
            seed: another seed, another reading.
            progress: called with the number of pieces spoken so far and of all, after each.
            first_piece: number of the first piece, of a text that is spoken in several calls.

        Raises:
            TextError: there is nothing to say, or far too much.
            VoiceError: the voice belongs to another codec.
            GenerationError: the model gave no sound, after two more tries with other seeds.
        """
        pieces = segment(text, self.config.longest_piece, self.config.single_sentences)
        request = self._request(voice, Sampling(temperature, top_k, top_p), seed)
        speech = whole.say(request, pieces, progress, first_piece)
        damage = dropped(text)
        return replace(speech, warnings=(*speech.warnings, damage)) if damage else speech

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
        first_piece: int = 0,
    ) -> Iterator[Chunk]:
        """Speak a text while the model still writes; the chunks joined are the speech.

        The pieces of a long text come one after another, and what has been given cannot be taken
        back: an answer that does not end is cut off, not drawn again, and its last chunk carries
        a warning. One that begins with a second of silence has given nothing yet, and is.

        Args:
            look_ahead: how many codes behind a chunk are waited for; None for as many as make the
                samples those of the whole decode. The others are those of `say`.
            stop: may be set in any thread; the chunks then end within the time of one code.
            first_piece: as of `say`.

        Raises:
            As `say`, but GenerationError.
        """
        pieces = segment(text, self.config.longest_piece, self.config.single_sentences)
        request = self._request(voice, Sampling(temperature, top_k, top_p), seed)
        stop = stop or threading.Event()
        yield from streaming.stream(request, pieces, look_ahead, stop, dropped(text), first_piece)

    def prompt(self, text: str, voice: Voice) -> list[int]:
        """Return the ids that ask for `text` in a voice, up to where semantic tokens follow."""
        return self.vocabulary.prompt(text, voice)

    def _request(self, voice: Voice | None, sampling: Sampling, seed: int) -> SpeechRequest:
        """Make a request with a voice that this model can speak with.

        Raises:
            VoiceError: it cannot.
        """
        if voice is None:
            voice = self.create_voice(sampling=sampling)
        voice.check(
            self.codec.fingerprint,
            self.config.speaker_encoder.token_num,
            self.codec.global_codes,
            self.codec.semantic_codes,
        )
        return SpeechRequest(
            lm=self.lm,
            codec=self.codec,
            vocabulary=self.vocabulary,
            sample_rate=self.sample_rate,
            tokens_per_second=self.sample_rate / self.config.hop,
            voice=voice,
            sampling=sampling,
            seed=seed,
            computing=self._computing,
            prefetch=self.backend.prefetch,
        )
