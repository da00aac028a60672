"""Where the module's speech is made: in the daemon when one runs, else by a speech queue here.

text, voice → `Speech`: sounds as they come
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from spark_mlx.daemon import client
from spark_mlx.daemon.address import default_path
from spark_mlx.daemon.connection import AudioStream
from spark_mlx.errors import SparkError
from spark_mlx.speechd.listing import fingerprints
from spark_mlx.speechd.protocol import Pcm
from spark_mlx.speechd.shaping import pcm
from spark_mlx.text.alignment import Span

if TYPE_CHECKING:
    from spark_mlx.speech_queue.service import SpeechQueue
    from spark_mlx.speech_queue.synthesis import Synthesis
    from spark_mlx.tts import SparkTTS

log = logging.getLogger(__name__)


class Sound(NamedTuple):
    """A part of speech.

    Attributes:
        samples: (N,).
        rate: Hz.
        span: of the sentence it belongs to: its first character, and the one after the last.
        sentence: its number.
    """

    samples: Pcm
    rate: int
    span: Span
    sentence: int


class Speech(Protocol):
    """Speech of one text. Iterating waits for the next sound, and raises SparkError when the text
    cannot be spoken; `close`, in any thread, ends the iteration at once."""

    def __iter__(self) -> Iterator[Sound]: ...
    def close(self) -> None: ...


class Source(Protocol):
    """Something that speaks a text.

    Attributes:
        failure: why it never will; None while it may.
    """

    @property
    def failure(self) -> SparkError | None: ...
    def speak(self, text: str, voice: str | None) -> Speech:
        """Begin to speak. The voice None is the source's own.

        Raises:
            SparkError: the text cannot be spoken.
        """


class OwnModel:
    """A speech queue of this process.

    Args:
        model: as of `spark_mlx.load`.
    """

    def __init__(self, model: str | None) -> None:
        # Imports MLX, which takes its time.
        from spark_mlx.speech_queue.service import SpeechQueue

        self._model = model
        self._folder: Path | None = None
        self._resolved = threading.Event()
        self._queue: SpeechQueue = SpeechQueue(self._load)

    @property
    def failure(self) -> SparkError | None:
        return self._queue.failure

    def speak(self, text: str, voice: str | None) -> Speech:
        return _OwnSpeech(self._queue.synthesize(text, voice=voice))

    def identity(self) -> str | None:
        """A digest that tells its speech from another model's; None when there is no model."""
        self._resolved.wait()
        return None if self._folder is None else _identity(self._folder, None)

    def _load(self) -> SparkTTS:
        from spark_mlx.checkpoints import hub
        from spark_mlx.tts import load

        try:
            self._folder = hub.resolve(self._model)
            self._resolved.set()
            return load(self._folder)
        except SparkError as error:
            log.error("%s", error)
            raise
        finally:
            self._resolved.set()


class _OwnSpeech:
    def __init__(self, synthesis: Synthesis) -> None:
        self._synthesis = synthesis
        self.close = synthesis.close

    def __iter__(self) -> Iterator[Sound]:
        for chunk in self._synthesis:
            if chunk.warning:
                log.warning("%s", chunk.warning)
            yield Sound(pcm(chunk.samples), chunk.sample_rate, chunk.span, chunk.sentence)


class Daemon:
    """The daemon, asked over a connection of its own for each text."""

    failure: SparkError | None = None

    def speak(self, text: str, voice: str | None) -> Speech:
        return _DaemonSpeech(AudioStream(default_path(), text, voice))


class _DaemonSpeech:
    def __init__(self, stream: AudioStream) -> None:
        self._stream = stream
        self.close = stream.close

    def __iter__(self) -> Iterator[Sound]:
        for sound in self._stream:
            yield Sound(sound.samples, self._stream.sample_rate, sound.span, sound.sentence)


class Sources:
    """The daemon or an own model, whichever there is when a text is to be spoken.

    Args:
        model: of the own model.
        daemon: whether a daemon is looked for.

    Attributes:
        identity: a digest that tells the speech of the last source from another model's; None
            before that is known.
    """

    def __init__(self, model: str | None, daemon: bool = True) -> None:
        self.identity: str | None = None
        self._model = model
        self._daemon = Daemon() if daemon else None
        self._own: OwnModel | None = None
        self._lock = threading.Lock()

    def folder(self) -> Path | None:
        """The folder of the model that will speak; None if it has to be fetched first.

        Raises:
            ModelError: there is no model.
        """
        if self._daemon is not None and (status := _status()) is not None:
            folder = Path(str(status["model"]))
            if folder.is_dir():
                return folder
        from spark_mlx.checkpoints import hub  # imports MLX

        wanted = self._model or os.environ.get(hub.VARIABLE) or ""
        if wanted.count("/") == 1 and not Path(wanted).parent.is_dir():
            return None  # a hub id, and fetching takes long
        return hub.resolve(self._model)

    def current(self) -> Source:
        """The source for the next text. An own model is loaded when it is first needed."""
        with self._lock:
            # A model that is loaded already answers sooner than a daemon, and in the same voice.
            if self._own is None or self._own.failure is not None:
                if self._daemon is not None and (status := _status()) is not None:
                    self.identity = _identity(Path(str(status["model"])), status["voice"])
                    return self._daemon
                self._own = self._own or OwnModel(self._model)
            self.identity = self._own.identity() or self.identity
            return self._own

    def failure(self) -> SparkError | None:
        """Why no source will ever speak; None while one may."""
        failure = None if self._own is None else self._own.failure
        if failure is None or (self._daemon is not None and _status() is not None):
            return None
        return failure


def _status() -> dict[str, Any] | None:
    """The daemon's status; None when none runs that we may talk to, or it does not answer."""
    try:
        daemon = client.connect()
        if daemon is None:
            return None
        with contextlib.closing(daemon):
            return {"model": None, "voice": None, **daemon.status()}
    except SparkError as error:
        log.warning("%s", error)
        return None


def _identity(folder: Path, voice: object) -> str:
    """A digest of a model and of the voice it uses by default, "default" for its own."""
    told = json.dumps([fingerprints(folder) or str(folder), voice or "default"], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
