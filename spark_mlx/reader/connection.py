"""Open a speech engine in the background and bring its events to the reading's thread."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from spark_mlx.errors import SparkError
from spark_mlx.reader.engine import OpenEngine, SpeechEngine

if TYPE_CHECKING:
    from spark_mlx.speech_queue.events import Event


class EngineConnection:
    """One engine at a time; callbacks run where `actions` are taken, never in the engine's thread.

    Args:
        open_engine: returns the engine as a context manager; may take seconds.
        on_open, on_event, on_failure: called with the engine, each event, and an error message.

    Attributes:
        engine: the open engine, or None while it is opened and after it failed.
    """

    def __init__(
        self,
        open_engine: OpenEngine,
        *,
        on_open: Callable[[SpeechEngine], None],
        on_event: Callable[[Event], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.engine: SpeechEngine | None = None
        self._open_engine = open_engine
        self._on_open = on_open
        self._on_event = on_event
        self._on_failure = on_failure
        self._resources = contextlib.ExitStack()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def open(self) -> None:
        """Close the former engine and open a new one, in a thread of its own; return at once."""
        self.engine = None
        former, self._resources = self._resources, contextlib.ExitStack()
        threading.Thread(
            target=self._open, args=(former,), name="spark-mlx read", daemon=True
        ).start()

    def next_action(self) -> Callable[[], None] | None:
        """Take the next callback that is due; None when there is none."""
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Leave the engine.

        Raises:
            SparkError: it is gone already.
        """
        self._resources.close()

    def _open(self, former: contextlib.ExitStack) -> None:
        with contextlib.suppress(SparkError):
            former.close()
        try:
            engine = self._resources.enter_context(self._open_engine())
        except SparkError as error:
            self._inbox.put(functools.partial(self._on_failure, str(error)))
        else:
            self._inbox.put(functools.partial(self._begin, engine))

    def _begin(self, engine: SpeechEngine) -> None:
        self.engine = engine
        self._resources.callback(
            engine.subscribe(
                lambda event: self._inbox.put(functools.partial(self._on_event, event))
            )
        )
        self._on_open(engine)
