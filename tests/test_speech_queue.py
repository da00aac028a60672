"""The speech queue with a stand-in for the player: what is spoken, skipped, held and told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import pytest

from spark_mlx.audio import player
from spark_mlx.audio.playback import portaudio
from spark_mlx.errors import ModelError, PlaybackError, SparkError, TextError, VoiceError
from spark_mlx.generation.sampling import Sampling
from spark_mlx.speech import Chunk
from spark_mlx.speech_queue import playback_thread, queue, service
from spark_mlx.speech_queue.events import Event
from spark_mlx.speech_queue.job import ScriptSource, SpeechJob
from spark_mlx.speech_queue.service import SpeechQueue
from spark_mlx.text.script import LONGEST_PASSAGE, Script
from spark_mlx.text.segmentation import Boundary
from spark_mlx.tts import SparkTTS, load

LONG = (
    "The first sentence is here. The second one follows it. Now there is a third one. "
    "And the fourth ends all of it."
)


class Stand:
    """Plays what is written to it when a test says so.

    Attributes:
        open_: those that are open.
        broken: what opening or writing raises.
    """

    open_: ClassVar[list[Stand]] = []
    broken: PlaybackError | None = None
    automatic = True  # whether all is heard as soon as it is written

    def __init__(self, sample_rate: int, *, device: object = None) -> None:
        self.sample_rate = sample_rate
        self.device = device
        self.rate = self.volume = 1.0
        self.underruns = self.waits = self.stops = 0
        self.paused = False
        self.heard = 0.0
        self.queued = 0.0
        self.blocks: list[np.ndarray] = []
        if Stand.broken is not None:
            raise Stand.broken

    def __enter__(self) -> Stand:
        Stand.open_.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Stand.open_.remove(self)

    @property
    def position(self) -> float:
        if Stand.automatic and not self.paused:
            self.play()
        return self.heard

    def play(self, seconds: float = float("inf")) -> None:
        """Has someone hear what is queued."""
        some = min(seconds, self.queued)
        self.heard += some
        self.queued -= some

    def write(self, samples: np.ndarray) -> None:
        if Stand.broken is not None:
            raise Stand.broken
        self.blocks.append(samples)
        self.queued += len(samples) / self.sample_rate

    def drain(self) -> None:
        stops = self.stops
        while self.queued > 1e-9 and stops == self.stops:
            if Stand.automatic and not self.paused:
                self.play()
            time.sleep(0.001)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def stop(self) -> None:
        self.stops += 1
        self.queued = 0.0


class Listener:
    """Collects events, and waits for some."""

    def __init__(self, spoken: SpeechQueue) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()
        spoken.subscribe(self._take)

    def _take(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, wanted: Callable[[Event], bool], timeout: float = 20.0) -> Event:
        """The first event that is wanted, of those that came or will come."""
        with self._changed:
            found: list[Event] = []

            def any_found() -> bool:
                found[:] = filter(wanted, self.events)
                return bool(found)

            assert self._changed.wait_for(any_found, timeout), self.events
            return found[0]

    def clear(self) -> None:
        with self._changed:
            self.events.clear()


@pytest.fixture(autouse=True)
def _stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(player, "Player", Stand)
    monkeypatch.setattr(portaudio, "restart", lambda: None)
    monkeypatch.setattr(Stand, "broken", None)
    monkeypatch.setattr(Stand, "automatic", True)
    monkeypatch.setattr(Stand, "open_", [])
    yield
    assert Stand.open_ == []


@pytest.fixture
def spoken(model: Path) -> Iterator[SpeechQueue]:
    with SpeechQueue(lambda: load(model)) as spoken:
        yield spoken


def opened(spoken: SpeechQueue) -> Stand:
    """The player, as soon as it was given something."""
    until(lambda: bool(Stand.open_) and bool(Stand.open_[0].blocks))
    return Stand.open_[0]


def until(true: Callable[[], bool], timeout: float = 20.0) -> None:
    latest = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < latest
        time.sleep(0.002)


def test_an_utterance_from_begin_to_end(spoken: SpeechQueue) -> None:
    events = list(spoken.say(LONG))
    assert [event.kind for event in events] == ["begin", *["sentence"] * 4, "end"]
    sentences = events[1:-1]
    assert " ".join(event.text for event in sentences) == LONG
    assert [event.text for event in sentences] == [LONG[slice(*e.span)] for e in sentences]
    assert [event.sentence for event in sentences] == [0, 1, 2, 3]
    times = [event.time for event in events]
    assert times == sorted(times)
    assert times[-1] > times[-2] > 0
    out = Stand.open_[0]
    assert times[-1] == pytest.approx(sum(map(len, out.blocks)) / 16_000)


def test_a_sentence_is_told_when_it_is_heard(
    spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    listener = Listener(spoken)
    spoken.say(LONG)
    out = opened(spoken)
    until(lambda: spoken.status()["ahead"] >= playback_thread.FED)
    assert listener.events == []
    out.play(0.01)
    assert listener.wait(lambda event: event.kind == "sentence").text == LONG[:27]
    monkeypatch.setattr(Stand, "automatic", True)
    listener.wait(lambda event: event.kind == "end")


def test_many_texts_in_order(spoken: SpeechQueue) -> None:
    listener = Listener(spoken)
    numbers = [spoken.say(f"Text number {i} of many.") for i in range(50)]
    assert spoken.wait(120)
    listener.wait(lambda event: event.last and event.utterance == numbers[-1])
    told = [event for event in listener.events if event.kind in ("sentence", "end")]
    assert [event.utterance for event in told] == [n for number in numbers for n in (number,) * 2]
    assert {event.text for event in told[::2]} == {f"Text number {i} of many." for i in range(50)}


def test_now_stops_everything_else(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    listener = Listener(spoken)
    first, second = spoken.say(LONG), spoken.say("Waits.")
    out = opened(spoken)
    stops = out.stops
    third = spoken.say("Urgent news.", now=True)
    assert out.stops > stops
    until(lambda: out.queued > 0)
    monkeypatch.setattr(Stand, "automatic", True)
    assert [event.kind for event in third] == ["begin", "sentence", "end"]
    kinds = {event.utterance: event.kind for event in listener.events if event.last}
    assert kinds == {first: "stopped", second: "stopped", third: "end"}


def test_stop_ends_all_or_one(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    numbers = [spoken.say(f"Text {name}.") for name in ("one", "two", "three", "four")]
    opened(spoken)
    spoken.stop(numbers[2])  # waits
    assert [event.kind for event in numbers[2]] == ["stopped"]
    spoken.stop(numbers[0])  # is heard
    assert [event.kind for event in numbers[0]][-1] == "stopped"
    spoken.stop(12345)  # long gone
    assert spoken.status()["queued"] == 2
    spoken.stop()
    assert [list(numbers[i])[-1].kind for i in (1, 3)] == ["stopped"] * 2
    assert spoken.wait(0)


def test_pause_holds_and_resume_goes_on(spoken: SpeechQueue) -> None:
    listener = Listener(spoken)
    spoken.pause()
    number = spoken.say(LONG)
    out = opened(spoken)
    assert out.paused
    assert spoken.status()["paused"]
    assert not spoken.wait(0.2)
    assert listener.events == []
    spoken.resume()
    assert list(number)[-1].kind == "end"
    assert not out.paused


def test_stop_and_now_end_a_pause(spoken: SpeechQueue) -> None:
    for end in (lambda: spoken.stop(), lambda: spoken.say("Now.", now=True)):
        spoken.pause()
        spoken.say(LONG)
        end()
        assert list(spoken.say("After it."))[-1].kind == "end"


def test_skip(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    listener = Listener(spoken)
    number = spoken.say(LONG)
    out = opened(spoken)

    def lands_on(sentence: int) -> None:
        until(lambda: out.queued > 0)
        out.play(0.01)
        told = listener.wait(lambda event: event.kind == "sentence")
        assert told.sentence == sentence
        assert told.text == told.text.strip() == LONG[slice(*told.span)]
        listener.clear()

    lands_on(0)
    for by, sentence in ((1, 1), (0, 1), (2, 3), (-1, 2), (-10, 0)):
        spoken.skip(by)
        lands_on(sentence)
    spoken.skip(1)
    spoken.skip(1)  # before anything was heard
    lands_on(2)
    spoken.skip(5)
    assert listener.wait(lambda event: event.last).kind == "end"
    assert spoken.wait(0)
    spoken.skip(1)  # nothing is left
    assert int(number) == 1


def test_skip_uses_what_is_made_already(
    spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    spoken.say("The first is here. The second is here.")
    out = opened(spoken)
    until(lambda: spoken._queue.utterances[0].job.done)
    stop = spoken._queue.utterances[0].job.stop
    spoken.skip(1)
    spoken.skip(0)
    assert spoken._queue.utterances[0].job.stop is stop  # not begun anew
    spoken.skip(-1)
    assert spoken._queue.utterances[0].job.stop is not stop
    assert out.stops == 3


def test_start_in_the_middle(spoken: SpeechQueue) -> None:
    start = LONG.index("Now")
    events = list(spoken.say(LONG, start=start))
    assert [event.span[0] for event in events[1:-1]] == [start, LONG.index("And")]
    assert [event.sentence for event in events[1:-1]] == [0, 1]


def test_back_before_the_start(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    listener = Listener(spoken)
    spoken.say(LONG, start=LONG.index("Now"))
    opened(spoken)
    spoken.skip(-1)
    monkeypatch.setattr(Stand, "automatic", True)
    told = listener.wait(lambda event: event.kind == "sentence")
    assert (told.sentence, told.text) == (-1, "The second one follows it.")
    listener.wait(lambda event: event.last)
    assert [event.sentence for event in listener.events if event.kind == "sentence"] == [-1, 0, 1]


def test_rate_and_volume(spoken: SpeechQueue) -> None:
    spoken.rate, spoken.volume = 2, 0.5
    list(spoken.say("One."))
    out = Stand.open_[0]
    assert (out.rate, out.volume) == (2.0, 0.5)
    list(spoken.say("Two.", rate=0.5))
    assert out.rate == 0.5
    list(spoken.say("Three."))
    assert out.rate == 2.0
    for wrong in (lambda: setattr(spoken, "rate", 9), lambda: spoken.say("Hi.", rate=0.1)):
        with pytest.raises(PlaybackError, match=r"give 0\.5 to 3"):
            wrong()
    with pytest.raises(PlaybackError, match="volume"):
        spoken.volume = -1


def test_what_cannot_be_said(spoken: SpeechQueue) -> None:
    for text in ("", " \n", "?!"):
        with pytest.raises(TextError):
            spoken.say(text)
    with pytest.raises(TextError, match="after character 5"):
        spoken.say("Text. ...", start=5)
    with pytest.raises(VoiceError, match="nobody"):
        spoken.say("Hi.", voice="nobody")
    assert spoken.wait(0)
    # What the pipeline would refuse is passed over.
    assert [event.kind for event in spoken.say("a bell \x07 and half a character \ud800.")][
        -1
    ] == "end"


def test_the_queue_has_an_end(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_QUEUED", 3)
    monkeypatch.setattr(Stand, "automatic", False)
    for _ in range(3):
        spoken.say("Hi there.")
    with pytest.raises(TextError, match="3 texts wait"):
        spoken.say("Hi.")
    spoken.say("Hi there.", now=True)


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    with SpeechQueue(lambda: load(tmp_path / "gone")) as spoken:
        with pytest.raises(ModelError, match="gone"):
            spoken.wait_loaded()
        with pytest.raises(ModelError, match="gone"):
            spoken.say("Hi.")


def test_a_text_that_fails_does_not_end_the_others(
    spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken.wait_loaded()
    stream = SparkTTS.stream

    def failing(self: SparkTTS, text: str, *args: Any, **more: Any) -> Iterator[Chunk]:
        if "bad" in text:
            raise RuntimeError("oops")
        return stream(self, text, *args, **more)

    monkeypatch.setattr(SparkTTS, "stream", failing)
    bad, good = spoken.say("A bad text."), spoken.say("A good text.")
    (event,) = bad
    assert (event.kind, event.message) == (
        "error",
        "a text could not be spoken (RuntimeError: oops)",
    )
    assert list(good)[-1].kind == "end"


def test_no_device(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "broken", PlaybackError("no device; plug one in"))
    numbers = [spoken.say(f"Text {name}.") for name in ("one", "two", "three")]
    for number in numbers:
        assert [(event.kind, event.message) for event in number] == [
            ("error", "no device; plug one in")
        ]
    # Others that play by themselves do not care.
    assert sum(len(chunk.samples) for chunk in spoken.synthesize("A text of words."))
    monkeypatch.setattr(Stand, "broken", None)
    assert list(spoken.say("It is back."))[-1].kind == "end"


def test_a_device_that_goes_away(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    number = spoken.say(LONG)
    out = opened(spoken)
    until(lambda: out.queued >= playback_thread.FED)
    out.play(0.3)
    gone = iter([PlaybackError("unplugged")])

    def write(self: Stand, samples: np.ndarray) -> None:
        if error := next(gone, None):
            raise error
        Stand.automatic = True
        self.blocks.append(samples)
        self.queued += len(samples) / self.sample_rate

    monkeypatch.setattr(Stand, "write", write)
    out.play()
    events = list(number)
    assert out not in Stand.open_
    assert events[-1].kind == "end"
    assert {event.sentence for event in events} == {0, 1, 2, 3}


def test_a_player_that_dies_unnoticed(spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    monkeypatch.setattr(playback_thread, "STILL", 0.1)
    number = spoken.say(" ".join([LONG] * 3))
    out = opened(spoken)
    until(lambda: out.queued >= playback_thread.FED)

    def drain(self: Stand) -> None:
        Stand.automatic = True
        if self is out:
            raise PlaybackError("it does not play any more")
        self.play()

    monkeypatch.setattr(Stand, "drain", drain)
    events = list(number)
    assert events[-1].kind == "end"
    assert {event.sentence for event in events} == set(range(12))


def test_synthesize_beside_speech(spoken: SpeechQueue) -> None:
    number = spoken.say(LONG)
    chunks = list(spoken.synthesize(LONG))
    numbers = [chunk.sentence for chunk in chunks]
    assert numbers == sorted(numbers)
    assert {LONG[slice(*chunk.span)] for chunk in chunks} == {e.text for e in number if e.text}
    assert all(chunk.samples.dtype == np.float32 for chunk in chunks)


def test_a_synthesis_waits_for_who_takes_it(spoken: SpeechQueue) -> None:
    sounds = spoken.synthesize(LONG * 20)
    job = sounds._job
    until(lambda: job.seconds >= queue.AHEAD)
    until(lambda: spoken._queue.pick() is None)
    assert job.seconds < queue.AHEAD + 3
    next(sounds)
    sounds.close()
    assert list(sounds) == []
    assert spoken._queue.syntheses == []


def test_speech_goes_first_when_it_is_short(spoken: SpeechQueue) -> None:
    spoken.wait_loaded()
    own, others = (
        SpeechJob(ScriptSource(Script(text), Sampling(), 0), None) for text in ("One.", "Two.")
    )
    with spoken._queue.changed:
        number = service.Utterance(99)
        spoken._queue.utterances.append(queue.QueuedUtterance(number, own, None))
        spoken._queue.syntheses.append(others)
        spoken._playback._held = True
        picked = [spoken._queue.pick() for _ in range(8)]
        spoken._playback._held = False
        spoken._queue.utterances.clear()
        spoken._queue.syntheses.clear()
    assert picked.count(own) == 6
    assert picked.count(others) == 2


def test_closing_ends_everything(model: Path) -> None:
    with SpeechQueue(lambda: load(model)) as spoken:
        number = spoken.say(LONG * 50)
        opened(spoken)
    assert list(number)[-1].kind == "stopped"
    with pytest.raises(SparkError, match="closed"):
        spoken.say("Hi.")


def test_memory_does_not_grow_with_the_text(
    spoken: SpeechQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stand, "automatic", False)
    spoken.say(LONG * 5000)  # half a million characters
    opened(spoken)
    until(lambda: spoken.status()["ahead"] >= queue.AHEAD)
    until(lambda: spoken._queue.pick() is None)
    assert spoken.status()["ahead"] < queue.AHEAD + 3
    assert len(spoken._queue.utterances[0].job.source._script._sentences) < 5


# The script.


def test_passages_are_the_text() -> None:
    text = "One. Two is longer, by far.\n\n* * *\n\n第三句。" * 200
    text += "A sentence. " * 200 + "word " * 2000 + "x" * 4000 + "。" * 9
    script = Script(text)
    assert all(p.end - p.start <= LONGEST_PASSAGE for p in script._passages)
    assert "".join(text[p.start : p.end] for p in script._passages) == text
    spoken = list(script.passages(0))
    assert all(any(map(str.isalnum, text[p.start : p.end])) for p in spoken)
    assert {p.boundary for p in spoken} == set(Boundary)


def test_sentences_are_numbered_from_the_start() -> None:
    text = "\n\n".join(f"Paragraph {i} begins here. It also ends here." for i in range(300))
    whole = Script(text)
    start = text.index("Paragraph 150")
    script = Script(text, start)
    assert script.sentence(0) == (0, (start, start + len("Paragraph 150 begins here.")))
    assert script.number_at(start + 5) == 0
    for number in (-300, -7, 1, 299):
        found, same = script.sentence(number), whole.sentence(number + 300)
        assert found is not None and same is not None
        assert found == (number, same[1])
        assert script.number_at(found[1][0]) == number
    assert script.sentence(300) is None
    assert script.sentence(-(10**9)) == (-300, (0, len("Paragraph 0 begins here.")))
