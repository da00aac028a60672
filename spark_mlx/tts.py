"""SparkTTS: the one file that joins the parts.

text → pieces → prompt ids → drawn ids → codes → samples
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np

from spark_mlx import backends, voices
from spark_mlx.audio import files
from spark_mlx.backends import Backend
from spark_mlx.checkpoints import hub
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.quantization import convert_dtype, quantize
from spark_mlx.checkpoints.weights import load_weights
from spark_mlx.codec import Codec
from spark_mlx.errors import check_argument
from spark_mlx.generation import creation, streaming, whole
from spark_mlx.generation.language_model import LanguageModel
from spark_mlx.generation.request import SpeechRequest, random_key
from spark_mlx.generation.sampling import Sampling
from spark_mlx.generation.stream_decoder import LOOK_AHEAD
from spark_mlx.generation.vocabulary import Vocabulary
from spark_mlx.model.qwen2 import Qwen2
from spark_mlx.speech import Chunk, Speech
from spark_mlx.text import PreparedText, clean, prepare
from spark_mlx.voice import Voice

LM_FILE = "lm.safetensors"

# A voice, the name of one, an .npz file, or a recording to clone.
AnyVoice: TypeAlias = "Voice | str | PathLike[str]"


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
    codec = Codec.load(folder, config, backend.accelerate, backend.new_stream(), backend.stretches)
    vocabulary = Vocabulary.load(
        folder, codec.global_codes, codec.semantic_codes, config.lm.vocab_size
    )
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
        check_argument("source", source, (str, PathLike, tuple), "a file, or (samples, rate)")
        for argument, value in (("transcript", transcript), ("name", name), ("consent", consent)):
            check_argument(argument, value or "", str, "a string")
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
        for argument, text in (("gender", gender), ("pitch", pitch), ("speed", speed)):
            check_argument(argument, text, str, "a string")
        for argument, number in (("pitch_value", pitch_value), ("speed_value", speed_value)):
            check_argument(argument, number or 0, (int, np.integer), "a whole number")
        check_argument("seed", seed, (int, np.integer), "a whole number")
        with self._computing:
            attributes, tokens = creation.create(
                self.lm,
                self.vocabulary,
                self.config.speaker_encoder.token_num,
                (gender, pitch, speed),
                pitch_value,
                speed_value,
                sampling or Sampling(),
                random_key(int(seed)),
            )
        return Voice(
            name=name or f"{gender}-{pitch}-{speed}-{seed}",
            global_tokens=np.array(tokens, dtype=np.int32),
            codec=self.codec.fingerprint,
            origin="created",
            source=f"seed {seed}",
            attributes=attributes,
        )

    @overload
    def say(
        self,
        text: str,
        voice: AnyVoice | None = None,
        *,
        temperature: float = 0.8,
        top_k: int = 50,
        top_p: float = 0.95,
        seed: int = 0,
        force: bool = False,
        progress: whole.Progress | None = None,
        first_piece: int = 0,
    ) -> Speech: ...

    @overload
    def say(
        self,
        text: list[str] | tuple[str, ...],
        voice: AnyVoice | None = None,
        *,
        temperature: float = 0.8,
        top_k: int = 50,
        top_p: float = 0.95,
        seed: int = 0,
        force: bool = False,
        progress: whole.Progress | None = None,
        first_piece: int = 0,
    ) -> list[Speech]: ...

    def say(
        self,
        text: str | list[str] | tuple[str, ...],
        voice: AnyVoice | None = None,
        *,
        temperature: float = 0.8,
        top_k: int = 50,
        top_p: float = 0.95,
        seed: int = 0,
        force: bool = False,
        progress: whole.Progress | None = None,
        first_piece: int = 0,
    ) -> Speech | list[Speech]:
        """Speak a text, or several at once. The same seed, model, text and voice give the same
        samples.

        Args:
            text: in the languages of the model, mixed freely. A long one is spoken in pieces. A
                list gives a list of speeches, faster than one after the other.
            voice: a voice, the name of a saved one, an .npz file, or a recording to clone; None
                for the default voice, else one made with `create_voice()`.
            temperature, top_k, top_p: see `Sampling`.
            seed: another seed, another reading.
            force: speak even what is written in a script that the model does not read.
            progress: called with the number of pieces spoken so far and of all, after each.
            first_piece: number of the first piece, of a text that is spoken in several calls.

        Raises:
            TextError: there is nothing to say, far too much, or mostly in another script.
            VoiceError: there is no such voice, or it belongs to another codec.
            GenerationError: the model gave no sound, after two more tries with other seeds.
            ArgumentError: an argument is of the wrong type.
        """
        check_argument("text", text, (str, list, tuple), "a string, or a list of strings")
        texts = [text] if isinstance(text, str) else text
        prepared = [self._prepare(one, force, first_piece) for one in texts]
        request = self._request(voice, Sampling(temperature, top_k, top_p), seed)
        speeches = whole.say(request, prepared, progress)
        return speeches[0] if isinstance(text, str) else speeches

    def stream(
        self,
        text: str,
        voice: AnyVoice | None = None,
        *,
        temperature: float = 0.8,
        top_k: int = 50,
        top_p: float = 0.95,
        seed: int = 0,
        force: bool = False,
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
        prepared = self._prepare(text, force, first_piece)
        request = self._request(voice, Sampling(temperature, top_k, top_p), seed)
        stop = stop or threading.Event()
        yield from streaming.stream(request, prepared, look_ahead, stop)

    def prompt(self, text: str, voice: Voice) -> list[int]:
        """Return the ids that ask for `text` in a voice, up to where semantic tokens follow."""
        return self.vocabulary.prompt(text, voice)

    def __repr__(self) -> str:
        layers, width = self.config.lm.num_hidden_layers, self.config.lm.hidden_size
        spoken = ", ".join(self.config.languages or ["any language"])
        return f"<SparkTTS: {layers} layers of {width}, {self.sample_rate} Hz, {spoken}>"

    def _prepare(self, text: str, force: bool, first: int) -> PreparedText:
        """Cut a text into pieces that suit the model."""
        check_argument("text", text, str, "a string")
        config = self.config
        languages = None if force else config.languages
        return prepare(text, config.longest_piece, config.single_sentences, languages, first)

    def _voice(self, voice: AnyVoice | None, sampling: Sampling) -> Voice:
        """Find the voice to speak with, and refuse one that belongs to another model."""
        if voice is None:
            known = voices.default(self.codec.fingerprint)
            voice = known or self.create_voice(sampling=sampling)
        elif not isinstance(voice, Voice):
            wanted = "a Voice, a name, an .npz file or a recording"
            check_argument("voice", voice, (str, PathLike), wanted)
            recording = Path(voice).suffix.lower() in files.RECORDINGS
            voice = self.clone(voice) if recording else voices.find(voice)
        voice.check(
            self.codec.fingerprint,
            self.config.speaker_encoder.token_num,
            self.codec.global_codes,
            self.codec.semantic_codes,
        )
        return voice

    def _request(self, voice: AnyVoice | None, sampling: Sampling, seed: int) -> SpeechRequest:
        check_argument("seed", seed, (int, np.integer), "a whole number")
        return SpeechRequest(
            lm=self.lm,
            codec=self.codec,
            vocabulary=self.vocabulary,
            sample_rate=self.sample_rate,
            tokens_per_second=self.sample_rate / self.config.hop,
            voice=self._voice(voice, sampling),
            sampling=sampling,
            seed=int(seed),
            computing=self._computing,
            prefetch=self.backend.prefetch,
        )
