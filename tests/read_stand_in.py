"""A stand-in for a speech engine: it tells what it would speak, in time, and makes no sound.

As a script it is `spark-mlx read` with that engine; `SPARK_MLX_STAND_IN` holds the seconds that
each sentence takes, the name of a file for the log of what it was asked to do, and a fault.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from spark_mlx.speech_queue.events import Event
from spark_mlx.text import sentence_spans


class StandIn:
    """A `SpeechEngine` of the reader."""

    def __init__(self, seconds: float = 0.01, log: Path | None = None) -> None:
        self.asked: list[str] = []
        self.fault = ""  # the next utterances end with this error
        self._seconds = seconds
        self._log = log
        self._rate = 1.0
        self._listeners: list[Callable[[Event], None]] = []
        self._queue: list[tuple[int, str, int]] = []
        self._spoken: int | None = None
        self._numbers = 0
        self._skip: int | None = None
        self._stopped = False
        self._paused = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._note("close")
        with self._changed:
            self._closed = self._stopped = True
            self._changed.notify_all()
        self._thread.join(5)

    @property
    def rate(self) -> float:
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = rate
        self._note(f"rate {rate:.2f}")

    def say(self, text: str, *, voice: str | None = None, now: bool = False, start: int = 0) -> int:
        self._note(f"say {'now ' if now else ''}{text[start : start + 20]!r}")
        with self._changed:
            self._numbers += 1
            if now:
                self._drop()
            self._queue.append((self._numbers, text, start))
            self._changed.notify_all()
            return self._numbers

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def stop(self, utterance: int | None = None) -> None:
        self._note("stop")
        with self._changed:
            if utterance is None:
                self._drop()
            elif utterance == self._spoken:
                self._stopped = True
            else:
                self._queue = [item for item in self._queue if item[0] != utterance]
            self._changed.notify_all()

    def pause(self) -> None:
        self._note("pause")
        self._paused = True

    def resume(self) -> None:
        self._note("resume")
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def skip(self, sentences: int) -> None:
        self._note(f"skip {sentences}")
        with self._changed:
            self._skip = sentences
            self._changed.notify_all()

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                print(what, file=file)

    def _drop(self) -> None:
        for number, _, _ in self._queue:
            self._tell(Event("stopped", number))
        self._queue.clear()
        self._stopped = self._spoken is not None
        self._paused = False

    def _tell(self, event: Event) -> None:
        for listener in list(self._listeners):
            listener(event)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._queue)
                if self._closed:
                    return
                number, text, start = self._queue.pop(0)
                self._spoken, self._stopped, self._skip = number, False, None
            self._tell(self._speak(number, text, start))
            self._spoken = None

    def _speak(self, number: int, text: str, start: int) -> Event:
        if self.fault:
            return Event("error", number, message=self.fault)
        self._tell(Event("begin", number))
        spans = sentence_spans(text)
        at = next((i for i, span in enumerate(spans) if span[1] > start), len(spans))
        while at < len(spans):
            self._tell(Event("sentence", number, at, text[slice(*spans[at])], spans[at]))
            ends = time.monotonic() + self._seconds
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopped or self._skip is not None,
                    max(0.0, ends - time.monotonic()),
                )
                self._changed.wait_for(lambda: self._stopped or not self._paused)
                if self._stopped:
                    return Event("stopped", number)
                at = max(0, at + (1 if self._skip is None else self._skip))
                self._skip = None
        return Event("end", number)


if __name__ == "__main__":
    seconds, log, fault = os.environ["SPARK_MLX_STAND_IN"].split(",")
    from spark_mlx import cli
    from spark_mlx.cli import read

    stand_in = StandIn(float(seconds), Path(log))
    stand_in.fault = fault
    read._engine = lambda args: stand_in
    sys.exit(cli.main(["read", *sys.argv[1:]]))
