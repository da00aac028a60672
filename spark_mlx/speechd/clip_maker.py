"""Make clips of the names of characters and keys while no message is spoken.

names → clips, in a thread of its own, which gives way to a message at once
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from spark_mlx.errors import SparkError
from spark_mlx.speechd import names
from spark_mlx.speechd.clips import Clips
from spark_mlx.speechd.message_speaker import joined
from spark_mlx.speechd.source import Sound, Source, Speech

log = logging.getLogger(__name__)

# Seconds without a message before the thread begins again; a user who types has shorter pauses.
REST = 1.0
# A name that takes longer than this, in seconds, is a slip of the model, and drawn only once.
LONGEST = 4.0


class ClipMaker:
    """Make the clips of the voice that was wanted last.

    Args:
        source: gives the source of speech.
    """

    def __init__(self, source: Callable[[], Source]) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._job: tuple[Clips, str | None, str] | None = None
        self._done: tuple[Clips, str | None, str] | None = None
        self._held = False
        self._interrupted = False  # a message came while a clip was made
        self._speech: Speech | None = None
        threading.Thread(target=self._run, name="spark-mlx clips", daemon=True).start()

    def want(self, clips: Clips, voice: str | None, language: str) -> None:
        """Make the missing clips of a voice, soon."""
        with self._changed:
            job = clips, voice, language
            if self._job is None or self._job[1:] != job[1:] or self._job[0] is not clips:
                self._job = job
                self._changed.notify_all()

    def hold(self) -> None:
        """Give way to a message at once."""
        with self._changed:
            self._held = self._interrupted = True
            speech = self._speech
        if speech is not None:
            speech.close()

    def go_on(self) -> None:
        """The message has ended."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._job is not self._done)
                job = self._job
            assert job is not None
            try:
                if not self._all(job):
                    continue
            except SparkError as error:
                log.warning("clips are not made: %s", error)
            except Exception:  # clips are a comfort; speech goes on without them
                log.exception("clips are not made")
            self._done = job

    def _all(self, job: tuple[Clips, str | None, str]) -> bool:
        """Make the missing clips; False if another voice is wanted in the middle."""
        clips, voice, language = job
        for name in names.known(language):
            while clips.get(name) is None:
                self._wait()
                if self._job is not job:
                    return False
                if self._one(clips, voice, name):
                    break
        return True

    def _wait(self) -> None:
        """Wait until there has been no message for a while."""
        with self._changed:
            while self._held:
                self._changed.wait_for(lambda: not self._held)
                if self._changed.wait_for(lambda: self._held, REST):
                    continue

    def _one(self, clips: Clips, voice: str | None, name: str) -> bool:
        """Make a clip; False if a message came between."""
        with self._changed:
            if self._held:
                return False
            self._interrupted = False
        speech = self._source().speak(name, voice)
        with self._changed:
            self._speech = speech
            if self._interrupted:
                speech.close()
        heard: list[Sound] = []
        seconds = 0.0
        try:
            for sound in speech:
                heard.append(sound)
                seconds += len(sound.samples) / sound.rate
                if seconds >= LONGEST:
                    break
        finally:
            speech.close()
            with self._changed:
                self._speech = None
        if not self._interrupted and heard:
            clips.put(name, joined(heard), keep=True)
        return not self._interrupted
