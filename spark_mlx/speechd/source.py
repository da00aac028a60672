"""Where the module's sound is made: in the daemon when one runs, else by a model of its own.

text, voice → a `Feed`, filled by a thread of the source
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spark_mlx.errors import DaemonError, SparkError, TextError
from spark_mlx.speechd.feed import Feed, Sound
from spark_mlx.speechd.listing import fingerprints
from spark_mlx.speechd.sound import pcm

if TYPE_CHECKING:
    from spark_mlx.daemon.client import Client
    from spark_mlx.tts import SparkTTS
    from spark_mlx.voice import Voice

log = logging.getLogger(__name__)


class Source(Protocol):
    """Something that speaks a text.

    Attributes:
        failure: why it never will; None while it may.
    """

    failure: SparkError | None

    def speak(self, text: str, voice: str | None, feed: Feed) -> None:
        """Has a thread fill `feed`, and returns at once. The voice None is the source's own."""


class OwnModel:
    """A model that is loaded in a thread of its own, which then speaks one text after another.

    Args:
        model: as of `spark_mlx.load`.
    """

    def __init__(self, model: str | None) -> None:
        self.failure: SparkError | None = None
        self._model = model
        self._folder: Path | None = None
        self._wanted: queue.SimpleQueue[tuple[str, str | None, Feed]] = queue.SimpleQueue()
        self._voices: dict[str, tuple[int, Voice]] = {}
        self._resolved = threading.Event()
        threading.Thread(target=self._run, name="spark-mlx model", daemon=True).start()

    def speak(self, text: str, voice: str | None, feed: Feed) -> None:
        self._wanted.put((text, voice, feed))

    def identity(self) -> str | None:
        """What tells its speech from another model's; None when there is no model."""
        self._resolved.wait()
        return None if self._folder is None else _identity(self._folder, None)

    def _run(self) -> None:
        tts, own = self._load()
        while True:
            text, name, feed = self._wanted.get()
            error = self.failure
            if tts is not None and own is not None and not feed.stopped.is_set():
                error = self._fill(tts, text, own, name, feed)
            feed.close(error)

    def _load(self) -> tuple[SparkTTS | None, Voice | None]:
        """The model and the voice it makes up, of which a failure is kept."""
        # MLX wants to be used in one thread, and its import takes its time.
        from spark_mlx.checkpoints import hub
        from spark_mlx.tts import load

        try:
            self._folder = hub.resolve(self._model)
            self._resolved.set()
            tts = load(self._folder)
            return tts, tts.create_voice()
        except SparkError as error:
            log.error("%s", error)
            self.failure = error
        except Exception as error:  # whoever waits must be told, not left waiting
            log.exception("the model could not be loaded")
            self.failure = SparkError(f"the model could not be loaded ({error})")
        finally:
            self._resolved.set()
        return None, None

    def _fill(
        self, tts: SparkTTS, text: str, own: Voice, name: str | None, feed: Feed
    ) -> SparkError | None:
        """Speaks one text; gives back what went wrong."""
        try:
            voice = own if name is None else self._voice(name)
            for chunk in tts.stream(text, voice, stop=feed.stopped):
                if chunk.warning:
                    log.warning("%s", chunk.warning)
                if len(chunk.samples):
                    sound = Sound(pcm(chunk.samples), tts.sample_rate, chunk.span, chunk.sentence)
                    if not feed.put(sound):
                        return None
        except TextError as error:  # nothing to say, as in "?!"
            log.info("%s", error)
        except SparkError as error:
            return error
        except Exception as error:  # one text must not end all others
            log.exception("a text could not be spoken")
            return SparkError(f"a text could not be spoken ({error})")
        return None

    def _voice(self, name: str) -> Voice:
        """A voice by its name, read again when its file has changed."""
        from spark_mlx import voices

        path = next((entry.path for entry in voices.listing() if entry.name == name), None)
        stamp = 0 if path is None else path.stat().st_mtime_ns
        if name not in self._voices or self._voices[name][0] != stamp:
            self._voices[name] = stamp, voices.find(name)
        return self._voices[name][1]


class Daemon:
    """The daemon, asked over a connection for each text: a stop closes it, wherever it is."""

    failure: SparkError | None = None

    def speak(self, text: str, voice: str | None, feed: Feed) -> None:
        threading.Thread(
            target=self._fill, args=(text, voice, feed), name="spark-mlx text", daemon=True
        ).start()

    def _fill(self, text: str, voice: str | None, feed: Feed) -> None:
        error: SparkError | None = None
        try:
            client = connect()
            if client is None:
                raise DaemonError("the daemon is gone; start it again with: spark-mlx daemon")
            with client:
                feed.on_stop(client.close)
                for samples, span, sentence in client.synthesize(text, voice, 1.0):
                    if not feed.put(Sound(samples, client.sample_rate, span, sentence)):
                        break
        except TextError as said:
            log.info("%s", said)
        except SparkError as said:
            error = said
        except Exception as said:  # whoever waits must be told, not left waiting
            if not feed.stopped.is_set():
                log.exception("the daemon's answer could not be read")
            error = SparkError(f"the daemon's answer could not be read ({said})")
        feed.close(error)


class Sources:
    """The daemon or an own model, whichever there is when a text is to be spoken.

    Args:
        model: of the own model.
        daemon: whether a daemon is looked for.

    Attributes:
        identity: what tells the speech of whoever spoke last from another model's; None before
            that is known.
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
        """Whoever speaks now. An own model is begun to load when it is needed."""
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
        """Why nobody will ever speak; None while somebody may."""
        failure = None if self._own is None else self._own.failure
        if failure is None or (self._daemon is not None and _status() is not None):
            return None
        return failure


def connect() -> Client | None:
    """A client of the daemon; None when none runs that we may talk to."""
    from spark_mlx.daemon import client

    try:
        return client.connect()
    except SparkError as error:
        log.warning("%s", error)
        return None


def _status() -> dict[str, Any] | None:
    """What the daemon says of itself; None when none runs, or it does not answer."""
    client = connect()
    if client is None:
        return None
    try:
        with client:
            return {"model": None, "voice": None, **client.status()}
    except SparkError as error:
        log.warning("%s", error)
        return None


def _identity(folder: Path, voice: object) -> str:
    """Tells the speech of a model, and of the voice it uses by default, from others."""
    told = json.dumps([fingerprints(folder) or str(folder), voice], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
