"""A reading follows its speaker, and its keys lead it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from read_stand_in import StandIn
from spark_mlx.errors import DaemonError, PlaybackError
from spark_mlx.reader import navigation
from spark_mlx.reader.documents import Block, Document
from spark_mlx.reader.engine import SpeechEngine, State
from spark_mlx.reader.reading import Reading
from spark_mlx.speech_queue.events import Event

HOLD = 60.0  # seconds a sentence: longer than any test, so that nothing moves by itself
DOCUMENT = Document.of(
    "x",
    [
        Block("Heading one", 1),
        Block("First sentence here. Second sentence here. Third sentence here."),
        Block("Heading two", 2),
        *(Block(f"Paragraph {name} tells of the sea. " * 8) for name in ("four", "five", "six")),
        Block("The last words are these."),
    ],
)


def wait_for(reading: Reading, what: Callable[[], bool]) -> list[str]:
    """Polls until something is so; gives the sentences that were heard."""
    heard: list[str] = []
    until = time.monotonic() + 10
    while not what():
        heard += [reading.document.text[a:b] for a, b in reading.poll()]
        assert time.monotonic() < until, (reading.state, reading.take_notices())
        time.sleep(0.002)
    return heard


def now(reading: Reading) -> str:
    """The sentence that the reading is at."""
    return reading.document.text[slice(*reading.span)]


@pytest.fixture
def begin() -> Iterator[Callable[..., tuple[Reading, StandIn]]]:
    readings: list[Reading] = []

    def begin(seconds: float = HOLD, **options: object) -> tuple[Reading, StandIn]:
        stand_in = StandIn(seconds)
        reading = Reading(DOCUMENT, lambda: stand_in, **options)  # type: ignore[arg-type]
        readings.append(reading)
        reading.start()
        if seconds == HOLD:
            wait_for(reading, lambda: reading.state is State.SPEAKING)
        return reading, stand_in

    yield begin
    for reading in readings:
        reading.close()


Begin = Callable[..., tuple[Reading, StandIn]]


def sentences() -> list[str]:
    return [
        DOCUMENT.text[a:b]
        for i in range(len(DOCUMENT.paragraphs))
        for a, b in DOCUMENT.sentences(i)
    ]


def test_every_sentence_is_heard_in_order(begin: Begin) -> None:
    reading, stand_in = begin(0.001)
    assert wait_for(reading, lambda: reading.state is State.ENDED) == sentences()
    assert reading.per_cent == 100
    given = [what for what in stand_in.asked if what.startswith("say")]
    assert len(given) >= 2  # in parts, so that the first one begins at once
    reading.toggle()  # from the end it begins anew
    assert wait_for(reading, lambda: reading.state is State.ENDED) == sentences()


def test_from_a_place_on(begin: Begin) -> None:
    place = DOCUMENT.text.index("Third")
    reading, stand_in = begin(0.001, position=place, greeting="Going on.")
    assert reading.take_notices() == ["Going on."]
    heard = wait_for(reading, lambda: reading.state is State.ENDED)
    assert heard == sentences()[3:]
    assert stand_in.asked[0] == "say now 'Going on.'"


def test_pause_and_go_on(begin: Begin) -> None:
    reading, stand_in = begin()
    reading.toggle()
    assert (reading.state, stand_in.asked[-1]) == (State.PAUSED, "pause")
    reading.toggle()
    assert (reading.state, stand_in.asked[-1]) == (State.SPEAKING, "resume")


def test_by_sentence(begin: Begin) -> None:
    reading, stand_in = begin()
    for expected in sentences()[1:4]:
        navigation.sentence(reading, 1)
        assert now(reading) == expected  # at once, not only when it is heard
        wait_for(reading, reading._connection._inbox.empty)
        assert now(reading) == expected
    for expected in [*sentences()[2::-1], sentences()[0]]:
        navigation.sentence(reading, -1)
        assert now(reading) == expected
    assert reading.take_notices() == ["this is the first sentence"]
    navigation.sentence(reading, 0)
    assert now(reading) == sentences()[0]
    # Within what it was given, the speaker does it itself: it may have the sentence ready.
    assert stand_in.asked.count("skip 1") == 3


def test_by_sentence_past_what_was_given(begin: Begin) -> None:
    reading, _ = begin()
    for expected in sentences()[1:]:
        navigation.sentence(reading, 1)
        assert now(reading) == expected
        reading.poll()
    navigation.sentence(reading, 1)
    assert now(reading) == sentences()[-1]
    assert "the end is here" in reading.take_notices()
    for expected in sentences()[-2::-1]:
        navigation.sentence(reading, -1)
        assert now(reading) == expected
        reading.poll()


def test_a_skip_is_heard(begin: Begin) -> None:
    reading, _ = begin()
    navigation.sentence(reading, 1)
    assert (
        wait_for(reading, lambda: now(reading) == sentences()[1] and bool(reading._window.current))
        == []
    )
    assert wait_for_heard(reading) == [sentences()[1]]


def wait_for_heard(reading: Reading) -> list[str]:
    heard: list[str] = []
    until = time.monotonic() + 10
    while not heard and time.monotonic() < until:
        heard = [reading.document.text[a:b] for a, b in reading.poll()]
        time.sleep(0.002)
    return heard


def test_by_paragraph_and_heading(begin: Begin) -> None:
    reading, _ = begin()
    navigation.paragraph(reading, 1)
    assert now(reading) == "First sentence here."
    navigation.sentence(reading, 1)
    navigation.paragraph(reading, -1)  # first to the beginning of this one
    assert now(reading) == "First sentence here."
    navigation.paragraph(reading, -1)
    assert now(reading) == "Heading one"
    navigation.heading(reading, 1)
    assert now(reading) == "Heading two"
    navigation.heading(reading, 1)
    navigation.heading(reading, -1)
    assert now(reading) == "Heading one"
    navigation.heading(reading, -1)
    assert reading.take_notices() == [
        "there is no heading further on",
        "there is no heading before",
    ]
    navigation.edge(reading, last=True)
    assert now(reading) == "The last words are these."
    navigation.paragraph(reading, 1)
    assert reading.take_notices() == ["this is the last paragraph"]
    navigation.edge(reading, last=False)
    assert now(reading) == "Heading one"


def test_moving_while_paused_stays_paused(begin: Begin) -> None:
    reading, stand_in = begin()
    reading.toggle()
    navigation.paragraph(reading, 1)
    assert reading.state is State.PAUSED
    assert now(reading) == "First sentence here."
    assert not [what for what in stand_in.asked[1:] if what.startswith("say now")]
    # The daemon is not held up, and what was given before is not heard any more.
    assert stand_in.asked[-3:] == ["stop", "stop", "resume"]
    reading.toggle()
    assert reading.state is State.SPEAKING
    assert "say now" in " ".join(stand_in.asked[-2:])
    assert wait_for_heard(reading) == ["First sentence here."]


def test_search(begin: Begin) -> None:
    reading, _ = begin()
    navigation.search_again(reading, 1)
    assert reading.take_notices() == ["nothing was searched for yet; / searches"]
    navigation.search(reading, "TELLS  of the")
    assert DOCUMENT.paragraph_at(reading.span[0]) == 3
    first = reading.span
    navigation.search_again(reading, 1)
    assert reading.span > first
    navigation.search_again(reading, -1)
    assert reading.span == first
    navigation.search_again(reading, -1)
    assert DOCUMENT.paragraph_at(reading.span[0]) == 5
    assert reading.take_notices() == ["from the end again"]
    navigation.search(reading, "second")
    assert reading.take_notices() == ["from the start again"]
    assert now(reading) == "Second sentence here."
    navigation.search(reading, "(no [such")
    assert reading.take_notices() == ["not found"]
    assert now(reading) == "Second sentence here."


def test_rate(begin: Begin) -> None:
    reading, stand_in = begin()
    assert reading.rate == 180
    reading.change_rate(1)
    assert (reading.rate, stand_in.rate) == (200, pytest.approx(200 / 180))
    for _ in range(30):
        reading.change_rate(-1)
    assert (reading.rate, stand_in.rate) == (90, 0.5)
    for _ in range(30):
        reading.change_rate(1)
    assert (reading.rate, stand_in.rate) == (540, 3)


def test_the_rate_of_the_speaker_is_left_alone(begin: Begin) -> None:
    stand_in = StandIn(HOLD)
    stand_in._rate = 1.5
    reading = Reading(DOCUMENT, lambda: stand_in)
    reading.start()
    wait_for(reading, lambda: reading.state is State.SPEAKING)
    assert reading.rate == 270
    assert not [what for what in stand_in.asked if what.startswith("rate")]
    reading.close()
    _, asked = begin(rate=240)
    assert asked.asked[0] == "rate 1.33"


def test_the_place_is_kept(begin: Begin) -> None:
    kept: list[int] = []
    reading, _ = begin(keep=kept.append)
    navigation.sentence(reading, 1)
    reading.toggle()
    reading.keep()
    assert kept == [DOCUMENT.sentences(1)[0][0]]  # once, as it did not change
    navigation.edge(reading, last=True)
    reading.close()
    assert kept[1:] == [DOCUMENT.text.index("The last")]


def test_the_end_is_kept(begin: Begin) -> None:
    kept: list[int] = []
    reading, _ = begin(0.001, keep=kept.append)
    wait_for(reading, lambda: reading.state is State.ENDED)
    assert kept == [DOCUMENT.end]
    navigation.sentence(reading, -1)
    assert now(reading) == sentences()[-1]


def test_a_place_that_cannot_be_kept(begin: Begin) -> None:
    def refuse(place: int) -> None:
        raise OSError(28, "No space left on device")

    reading, _ = begin(keep=refuse)
    reading.keep()
    navigation.edge(reading, last=True)
    reading.keep()
    assert reading.take_notices() == ["the place cannot be kept (No space left on device)"]


def test_stopped_by_someone_else(begin: Begin) -> None:
    reading, stand_in = begin()
    stand_in.stop()
    wait_for(reading, lambda: reading.state is State.PAUSED)
    assert reading.take_notices() == ["stopped; space goes on"]
    reading.toggle()
    assert wait_for_heard(reading) == [sentences()[0]]


def test_a_text_that_fails_is_passed_over(begin: Begin) -> None:
    reading, stand_in = begin()
    stand_in.fault = "the model gave no sound"
    navigation.sentence(reading, 1)
    navigation.edge(reading, last=False)
    wait_for(reading, lambda: reading.state is State.FAILED)
    # First it goes on with what comes next, then it tries again, then it waits for someone.
    assert reading.take_notices() == [
        "the model gave no sound",
        "the model gave no sound; space tries again",
    ]
    stand_in.fault = ""
    reading.toggle()
    assert len(wait_for_heard(reading)) == 1
    assert reading.state is State.SPEAKING


def test_no_speaker() -> None:
    refusals = 1

    def connect() -> AbstractContextManager[SpeechEngine]:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise PlaybackError("there is no sound here")
        return StandIn(HOLD)

    reading = Reading(DOCUMENT, connect)
    reading.start()
    wait_for(reading, lambda: reading.state is State.FAILED)
    assert reading.failure == "there is no sound here"
    for action in (
        reading.toggle,
        lambda: navigation.sentence(reading, 1),
        lambda: reading.change_rate(1),
    ):
        action()
    wait_for(reading, lambda: reading.state is State.SPEAKING)
    assert reading.rate == 200
    reading.close()


def test_closing_takes_back_what_was_given(begin: Begin) -> None:
    reading, stand_in = begin()
    reading.close()
    assert stand_in.asked[-3:] == ["stop", "stop", "close"]
    assert not stand_in._listeners


def test_paused_while_it_loads() -> None:
    loaded = threading.Event()
    stand_in = StandIn(HOLD)

    def connect() -> StandIn:
        assert loaded.wait(10)
        return stand_in

    reading = Reading(DOCUMENT, connect, greeting="Going on.")
    reading.start()
    for expected in (State.PAUSED, State.LOADING, State.PAUSED):
        reading.toggle()
        assert reading.state is expected
    navigation.paragraph(reading, 1)
    loaded.set()
    wait_for(reading, lambda: reading._connection.engine is not None)
    assert stand_in.asked == []
    reading.toggle()
    assert wait_for_heard(reading) == ["First sentence here."]
    reading.close()


class Mortal(StandIn):
    """A daemon that can be killed."""

    dead = False

    def say(self, text: str, **options: object) -> int:
        if self.dead:
            raise DaemonError("the daemon is gone")
        return super().say(text, **options)  # type: ignore[arg-type]

    def die(self) -> None:
        self.dead = True
        for number in range(1, self._numbers + 1):
            self._tell(Event("error", number, message="the daemon is gone"))


def test_another_speaker_takes_over() -> None:
    first, second = Mortal(HOLD), StandIn(HOLD)
    speakers: list[StandIn] = [first, second]
    reading = Reading(DOCUMENT, lambda: speakers.pop(0))
    reading.start()
    wait_for(reading, lambda: reading.state is State.SPEAKING)
    navigation.paragraph(reading, 1)
    assert wait_for_heard(reading) == ["First sentence here."]
    first.die()
    assert wait_for_heard(reading) == ["First sentence here."]
    assert reading.state is State.SPEAKING
    assert second.asked[0] == "say now 'First sentence here.'"
    assert "close" in first.asked
    reading.close()


def test_no_other_speaker_takes_over() -> None:
    first = Mortal(HOLD)
    speakers: list[StandIn] = [first]

    def connect() -> StandIn:
        if not speakers:
            raise PlaybackError("there is no sound here")
        return speakers.pop()

    reading = Reading(DOCUMENT, connect)
    reading.start()
    wait_for(reading, lambda: reading.state is State.SPEAKING)
    first.die()
    wait_for(reading, lambda: reading.state is State.FAILED)
    assert reading.failure == "there is no sound here"
    speakers.append(StandIn(HOLD))
    reading.toggle()
    assert wait_for_heard(reading) == ["Heading one"]
    reading.close()
