"""SpeechQueue: texts of any thread, spoken aloud one after another: texts → sound, and events.

Three threads beside the callers': one synthesizes, one gives the samples to the player a second
before they are heard, one delivers events. No caller waits for any of them.
"""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable
from types import TracebackType

from spark_mlx import voices
from spark_mlx.audio import player
from spark_mlx.errors import SparkError, TextError
from spark_mlx.generation.sampling import Sampling
from spark_mlx.speech import Chunk, Sentence, note
from spark_mlx.speech_queue.controls import QueueControls
from spark_mlx.speech_queue.events import Event, EventDispatcher, Utterance
from spark_mlx.speech_queue.job import MakeChunks, ScriptSource, SpeechJob, StreamSource
from spark_mlx.speech_queue.playback_thread import PlaybackThread
from spark_mlx.speech_queue.queue import QueuedUtterance, UtteranceQueue
from spark_mlx.speech_queue.report import Report
from spark_mlx.speech_queue.synthesis import Synthesis
from spark_mlx.speech_queue.synthesis_thread import SynthesisThread, default_voice
from spark_mlx.text.script import Script
from spark_mlx.tts import SparkTTS
from spark_mlx.voice import Voice

__all__ = ["Event", "Report", "SpeechQueue", "Synthesis", "Utterance"]

MAX_QUEUED = 1000  # texts

Watch = Callable[[Chunk, float], None]


class SpeechQueue(QueueControls):
    """Speak texts aloud, one after another; a context manager. Any thread may call its methods.

    `daemon.client.Client` has the same methods and speaks through the daemon.

        with SpeechQueue(spark_mlx.load) as speech:
            for event in speech.say("Hello. How are you?"):
                print(event.kind, event.text)

    Args:
        tts: loads a model, as `lambda: load("my-model")`; called in the thread that will use it.
            `say` can be called meanwhile.
        voice: of texts that name none: a voice, the name of one, an .npz file, or a function that
            gives one for the loaded model. None is the model's default.
        device: an output device for `Player`; None for the default one.
        rate: see the property.
        volume: see the property.
    """

    def __init__(
        self,
        tts: Callable[[], SparkTTS],
        *,
        voice: Voice | str | Callable[[SparkTTS], Voice] | None = None,
        device: str | int | None = None,
        rate: float = 1.0,
        volume: float = 1.0,
    ) -> None:
        rate, volume = player.checked_rate(rate), player.checked_volume(volume)
        found = voices.find(voice) if isinstance(voice, str) else voice
        events = EventDispatcher()
        shared = UtteranceQueue(events, rate)
        super().__init__(shared, PlaybackThread(shared, device, volume))
        self._events = events
        self._numbers = itertools.count(1)
        self._synthesis = SynthesisThread(shared, tts, found or default_voice)
        self._synthesis.start()
        self._playback.start()

    def __enter__(self) -> SpeechQueue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop at once and let the device go. `wait` first to hear all that was queued."""
        self.stop()
        with self._queue.changed:
            self._queue.closed = True
            for job in self._queue.syntheses:
                job.stop.set()
            self._queue.changed.notify_all()
        self._playback.close()
        self._synthesis.close()
        self._events.close()

    # Texts.

    def say(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        now: bool = False,
        start: int = 0,
        rate: float | None = None,
    ) -> Utterance:
        """Queue a text, of any length, and return at once.

        Args:
            voice: a voice, the name of one, an .npz file; None for the queue's own.
            now: stop everything else, and speak this at once.
            start: the character of `text` to begin at; `skip` can still go back before it.
            rate: for this utterance; None for the queue's.

        Returns:
            Its number; iterating over it gives its events.

        Raises:
            TextError: there is nothing to say, or too many texts wait already.
            VoiceError: there is no such voice.
            PlaybackError: no speech plays at that rate.
            ModelError: the model could not be loaded.
        """
        source = ScriptSource(Script(text, start), Sampling(), 0)
        return self._queue_up(self._job(source, voice), rate, now).number

    def play(
        self,
        text: str | MakeChunks,
        *,
        voice: Voice | str | None = None,
        rate: float | None = None,
        sampling: Sampling | None = None,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> Report:
        """Speak a text and return when it has been heard. An error or Ctrl-C stops it at once.

        Args:
            text: of any length; or a function that gives chunks, called in the synthesis thread
                with the loaded model and an event that is set when no more are wanted.
            voice, rate: as of `say`.
            sampling, seed: as of `SparkTTS.say`; without effect on chunks that are given.
            watch: called, in the thread that called `play`, with each chunk when it begins to be
                heard, and the seconds of speech before it.

        Raises:
            GenerationError: there was nothing to hear.
            PlaybackError: there is no output device, or it fails.
            As `say`, and whatever the function for chunks raises, as a SparkError.
        """
        source = (
            ScriptSource(Script(text), sampling or Sampling(), seed)
            if isinstance(text, str)
            else StreamSource(text)
        )
        before = self._playback.counts()
        heard: queue.SimpleQueue[tuple[Chunk, float] | None] = queue.SimpleQueue()
        queued = self._queue_up(self._job(source, voice), rate, heard=heard)
        found: dict[int, Sentence] = {}
        try:
            while (some := heard.get()) is not None:
                note(found, some[0])
                if watch is not None:
                    watch(*some)
        except BaseException:
            self.stop(queued.number)
            raise
        if queued.error is not None:
            raise queued.error
        underruns, waits = (
            now - then for now, then in zip(self._playback.counts(), before, strict=True)
        )
        return Report(
            self._synthesis.loading,
            queued.job.first,
            queued.job.work,
            queued.before,
            underruns,
            waits,
            tuple(found.values()),
            tuple(queued.warnings),
        )

    def synthesize(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        notify: Callable[[], None] | None = None,
    ) -> Synthesis:
        """Speech of a text for a caller who plays it. Works beside `say`.

        Args:
            notify: called, in some thread, when more can be taken or nothing more comes.

        Raises:
            As `say`.
        """
        job = self._job(ScriptSource(Script(text), Sampling(), 0), voice, notify)
        with self._queue.changed:
            self._check_open()
            self._queue.syntheses.append(job)
            self._queue.changed.notify_all()
        return Synthesis(job, self._queue)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` with every event, in a thread of its own, until the returned function
        is called."""
        return self._events.subscribe(callback)

    def _job(
        self,
        source: ScriptSource | StreamSource,
        voice: Voice | str | None,
        notify: Callable[[], None] | None = None,
    ) -> SpeechJob:
        if self._queue.failure is not None:
            raise self._queue.failure
        found = voices.find(voice) if isinstance(voice, str) else voice
        return SpeechJob(source, found, notify)

    def _queue_up(
        self,
        job: SpeechJob,
        rate: float | None,
        now: bool = False,
        heard: queue.SimpleQueue[tuple[Chunk, float] | None] | None = None,
    ) -> QueuedUtterance:
        if rate is not None:
            player.checked_rate(rate)
        with self._playback.silence() if now else self._queue.changed:
            if now:
                self._playback.pause(False)
                for queued in list(self._queue.utterances):
                    self._queue.end(queued, "stopped")
            self._check_open()
            if len(self._queue.utterances) >= MAX_QUEUED:
                raise TextError(f"{MAX_QUEUED} texts wait already; wait for some, or stop them")
            queued = QueuedUtterance(Utterance(next(self._numbers)), job, rate, heard)
            self._events.expect(queued.number)
            self._queue.utterances.append(queued)
            self._queue.changed.notify_all()
        return queued

    def _check_open(self) -> None:
        if self._queue.closed:
            raise SparkError("the speech queue was closed; make another one")
