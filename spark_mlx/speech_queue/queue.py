"""The queue of what is to be said: utterances, one after another, and texts that others play.

Callers put texts in, the worker asks which is the most urgent, and the mouth speaks the first.
Whoever ends an utterance, it is told here.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from spark_mlx.speech_queue.events import Event, Herald, Utterance
from spark_mlx.speech_queue.synthesis_thread import Job, Stretch
from spark_mlx.text.alignment import Span

# All in seconds of speech.
AHEAD = 10.0  # that is made before it is heard
URGENT = 2.0  # ahead: with less, what is heard goes before what others play

SHARE = 4  # every so many steps, work goes to the less urgent


@dataclass(eq=False)
class Said:
    """An utterance in the queue.

    Attributes:
        number, job: which it is, and what makes it.
        rate: its own; None for the speaker's.
        at: the sentence that is being heard, or was gone to.
        told: whether its event was sent.
        begun: whether any of it was heard.
        before: seconds heard before the player was last stopped.
        base: the player's position when it was given the first of `unheard`; None before that.
        written: seconds given to it since then.
        kept: stretches of the sentence `at` that were heard.
        unheard: others that were given to the player, and where in `written` they begin.
        warnings: what can be heard to be wrong.
        retried: whether another device was tried for it.
    """

    number: Utterance
    job: Job
    rate: float | None
    at: int = 0
    told: bool = False
    begun: bool = False
    before: float = 0.0
    base: float | None = None
    written: float = 0.0
    kept: list[Stretch] = field(default_factory=list)
    unheard: deque[tuple[float, Stretch]] = field(default_factory=deque)
    warnings: list[str] = field(default_factory=list)
    retried: bool = False

    @property
    def ahead(self) -> float:
        """Seconds that are made and not heard."""
        return self.job.seconds + sum(stretch.seconds for _, stretch in self.unheard)

    def take_back(self) -> None:
        """Makes ready again what the player was given and nobody heard, the sentence `at` whole."""
        given = [*self.kept, *(stretch for _, stretch in self.unheard)]
        self.job.ready.extendleft(reversed(given))
        self.kept.clear()
        self.unheard.clear()
        self.base, self.written, self.told = None, 0.0, False


class Queue:
    """What is to be said. Callers, worker and mouth share it.

    Args:
        herald: what it tells events.

    Attributes:
        changed: guards all of this and what is in it; notified of every change. Reentrant: a
            caller may hold it in `Mouth.silence` and tell events of what it ends.
        utterances: of which the first is being heard.
        syntheses: the texts of those who play them themselves.
        rate: the tempo of utterances that have none of their own.
        closed: whether nothing more is wanted.
    """

    def __init__(self, herald: Herald, rate: float) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.utterances: deque[Said] = deque()
        self.syntheses: list[Job] = []
        self.rate = rate
        self.closed = False
        self._herald = herald
        self._turn = 0

    # For who has the lock.

    def pick(self) -> Job | None:
        """The job that the worker should go on with."""
        ahead = 0.0
        wanted = None
        for said in self.utterances:
            ahead += said.ahead
            if ahead >= AHEAD * max(1.0, self.rate):
                break
            if not said.job.done:
                wanted = said.job
                break
        others = [job for job in self.syntheses if not job.done and job.seconds < AHEAD]
        if wanted is None or not others:
            return wanted or (others[0] if others else None)
        self._turn += 1
        turn = self._turn % SHARE == 0
        return others[0] if turn == (ahead < URGENT) else wanted

    def tell(self, said: Said, kind: str, number: int, when: float, message: str = "") -> None:
        """Tells of an event at a sentence, `when` seconds of the utterance having been heard."""
        found = said.job.script.sentence(number)
        span: Span = (0, 0) if found is None else found[1]
        text = said.job.script.text[slice(*span)]
        self._herald.tell(Event(kind, int(said.number), number, text, span, when, message))

    def end(self, said: Said, kind: str, message: str = "") -> None:
        """Takes an utterance out of the queue, and tells."""
        said.job.stop.set()
        self.utterances.remove(said)
        self.tell(said, kind, said.at, said.before, message)
        self.changed.notify_all()

    def forget(self, job: Job) -> None:
        """Ends a synthesis."""
        job.stop.set()
        if job in self.syntheses:
            self.syntheses.remove(job)
