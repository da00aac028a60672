"""The queue of utterances and syntheses, shared by callers, synthesis thread and playback thread.

Callers put jobs in, the synthesis thread asks for the most urgent, the playback thread plays the
first utterance. Every utterance ends here, whoever ends it.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass, field

from spark_mlx.errors import SparkError
from spark_mlx.speech import Chunk
from spark_mlx.speech_queue.events import Event, EventDispatcher, Utterance
from spark_mlx.speech_queue.job import SpeechJob, seconds
from spark_mlx.text.alignment import Span

# In seconds of speech.
AHEAD = 10.0  # synthesized before it is needed
URGENT = 2.0  # with less ahead, playback goes before syntheses for others

SHARE = 4  # every so many steps, work goes to the less urgent


@dataclass(eq=False)
class QueuedUtterance:
    """An utterance in the queue.

    Attributes:
        number, job: which it is, and what synthesizes it.
        rate: its own tempo; None for the queue's.
        heard: takes each chunk when it begins to be heard, and the seconds before it; None at
            the end.
        at: the sentence that is being heard, or was skipped to.
        told: whether the event of that sentence was sent.
        begun: whether any of it was heard.
        before: seconds heard before the player was last stopped.
        base: the player's position when it was given the first of `unheard`; None before that.
        written: seconds given to the player since then.
        kept: chunks of the sentence `at` that were heard.
        current: the chunk that is being heard.
        unheard: chunks given to the player and not heard yet, and where in `written` they begin.
        warnings: audible faults.
        retried: whether another device was tried for it.
        error: what ended it, if anything went wrong.
    """

    number: Utterance
    job: SpeechJob
    rate: float | None
    heard: queue.SimpleQueue[tuple[Chunk, float] | None] | None = None
    at: int = 0
    told: bool = False
    begun: bool = False
    before: float = 0.0
    base: float | None = None
    written: float = 0.0
    kept: list[Chunk] = field(default_factory=list)
    current: Chunk | None = None
    unheard: deque[tuple[float, Chunk]] = field(default_factory=deque)
    warnings: list[str] = field(default_factory=list)
    retried: bool = False
    error: SparkError | None = None

    @property
    def ahead(self) -> float:
        """Seconds that are synthesized and not heard."""
        return self.job.seconds + sum(seconds(chunk) for _, chunk in self.unheard)

    def requeue(self) -> None:
        """Requeue unplayed audio, the sentence `at` from its beginning."""
        given = [*self.kept, *(chunk for _, chunk in self.unheard)]
        self.job.ready.extendleft(reversed(given))
        self.kept.clear()
        self.unheard.clear()
        self.current = None
        self.base, self.written, self.told = None, 0.0, False


class UtteranceQueue:
    """Utterances and syntheses.

    Args:
        events: told of every utterance.
        rate: see below.

    Attributes:
        changed: guards all of this and what is in it; notified of every change. Reentrant, so
            that utterances can be ended within `PlaybackThread.silence`.
        utterances: the first is being heard.
        syntheses: jobs of those who take the samples themselves.
        rate: tempo of utterances that have none of their own.
        sample_rate: Hz; 0 until the model is loaded.
        failure: why the model could not be loaded.
        closed: whether nothing more is wanted.
    """

    def __init__(self, events: EventDispatcher, rate: float = 1.0) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.utterances: deque[QueuedUtterance] = deque()
        self.syntheses: list[SpeechJob] = []
        self.rate = rate
        self.sample_rate = 0
        self.failure: SparkError | None = None
        self.closed = False
        self._events = events
        self._turn = 0

    # To be called with `changed` held.

    def pick(self) -> SpeechJob | None:
        """The most urgent job; None while all are far enough ahead."""
        ahead = 0.0
        wanted = None
        for queued in self.utterances:
            ahead += queued.ahead
            if ahead >= AHEAD * max(1.0, queued.rate or self.rate):
                break
            if not queued.job.done:
                wanted = queued.job
                break
        others = [job for job in self.syntheses if not job.done and job.seconds < AHEAD]
        if wanted is None or not others:
            return wanted or (others[0] if others else None)
        self._turn += 1
        turn = self._turn % SHARE == 0
        return others[0] if turn == (ahead < URGENT) else wanted

    def tell(self, queued: QueuedUtterance, kind: str, number: int, when: float) -> None:
        """Tell of an event at a sentence, `when` seconds of the utterance having been heard."""
        source = queued.job.source
        found = source.sentence(number)
        span: Span = (0, 0) if found is None else found[1]
        message = "" if queued.error is None else str(queued.error)
        if kind == "end":
            message = "; ".join(queued.warnings)
        self._events.tell(
            Event(kind, int(queued.number), number, source.text[slice(*span)], span, when, message)
        )

    def end(self, queued: QueuedUtterance, kind: str, error: SparkError | None = None) -> None:
        """Take an utterance out of the queue, and tell."""
        queued.job.stop.set()
        queued.error = error
        self.utterances.remove(queued)
        self.tell(queued, kind, queued.at, queued.before)
        if queued.heard is not None:
            queued.heard.put(None)
        self.changed.notify_all()

    def forget(self, job: SpeechJob) -> None:
        """End a synthesis."""
        job.stop.set()
        if job in self.syntheses:
            self.syntheses.remove(job)
        self.changed.notify_all()
