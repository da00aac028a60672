"""Sound on its way from the thread that makes it to the one that sends it.

source.speak(text, voice, feed)      a thread of the source calls feed.put … feed.close
while (sound := feed.take()): …      another one takes, and may stop the whole at any time
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from spark_mlx.errors import SparkError
from spark_mlx.speechd.protocol import Pcm
from spark_mlx.text.alignment import Span

# Seconds of speech that are made before they are sent: enough for a slow beginning of the next
# sentence.
AHEAD = 10.0


class Sound(NamedTuple):
    """A stretch of speech.

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


class Feed:
    """Stretches of speech, some seconds of them.

    Attributes:
        stopped: set when nobody wants any more.
    """

    def __init__(self, ahead: float = AHEAD) -> None:
        self.stopped = threading.Event()
        self._ahead = ahead
        self._changed = threading.Condition()
        self._sounds: deque[Sound] = deque()
        self._waiting = 0.0  # seconds of them
        self._closed = False
        self._error: SparkError | None = None
        self._on_stop: Callable[[], None] | None = None

    def put(self, sound: Sound) -> bool:
        """Hands a stretch over; waits while there is enough. False when no more is wanted."""
        with self._changed:
            self._sounds.append(sound)
            self._waiting += len(sound.samples) / sound.rate
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.stopped.is_set() or self._waiting < self._ahead)
        return not self.stopped.is_set()

    def close(self, error: SparkError | None = None) -> None:
        """Nothing more comes, because all is there or something went wrong."""
        with self._changed:
            self._closed, self._error = True, error
            self._changed.notify_all()

    def take(self) -> Sound | None:
        """The next stretch; None at the end or after a stop.

        Raises:
            SparkError: what went wrong, after all sound from before.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._sounds or self._closed or self.stopped.is_set())
            if self.stopped.is_set():
                return None
            if self._sounds:
                sound = self._sounds.popleft()
                self._waiting -= len(sound.samples) / sound.rate
                self._changed.notify_all()
                return sound
            if self._error is not None:
                raise self._error
            return None

    def stop(self) -> None:
        """Wants no more; both sides go on at once."""
        with self._changed:
            self.stopped.set()
            self._changed.notify_all()
            call, self._on_stop = self._on_stop, None
        if call is not None:
            call()

    def on_stop(self, call: Callable[[], None]) -> None:
        """Has `call` called when the feed is stopped, or now if it is already."""
        with self._changed:
            if not self.stopped.is_set():
                self._on_stop = call
                return
        call()
