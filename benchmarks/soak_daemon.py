"""Does the daemon hold? Reads to it for minutes while things go wrong, and says what was lost.

    python benchmarks/soak_daemon.py --minutes 30 --speed 4 --csv soak.csv --plot soak.svg

Needs Linux and PortAudio: the daemon plays into a pipe through ALSA's file plugin, which is read
`--speed` times as fast as a sound card would read it. Meanwhile clients are killed in the middle of
a sentence, malformed requests come, the device goes away and comes back, and the daemon is killed
and started again. Every sentence must be heard in order, or its utterance be reported; what was
reported is said again. At the end it measures how soon `stop` is silence.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import json
import mmap
import os
import queue
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from card import Card
from spark_mlx.daemon.client import Client, connect
from spark_mlx.errors import SparkError
from spark_mlx.speech_queue.events import Event

TEXT = 5  # sentences
QUEUED = 2  # texts at a time
PLACES = "in the park|at the station|by the river|on the hill|near the old mill|under the bridge"


def main() -> None:
    parser = argparse.ArgumentParser(description="Tries the daemon hard.")
    parser.add_argument("--minutes", type=float, default=1.0, help="of speech (1)")
    parser.add_argument("--speed", type=float, default=1.0, help="of the card (1)")
    parser.add_argument("--kills", type=int, default=50, help="of clients (50)")
    parser.add_argument("--malformed", type=int, default=1000, help="requests (1000)")
    parser.add_argument("--losses", type=int, default=4, help="of the device (4)")
    parser.add_argument("--restarts", type=int, default=2, help="of the daemon (2)")
    parser.add_argument("--stops", type=int, default=100, help="to measure (100)")
    parser.add_argument("--seed", type=int, default=0, help="other texts and faults (0)")
    parser.add_argument("--csv", type=Path, help="where to write a line a second")
    parser.add_argument("--plot", type=Path, help="where to draw it (needs matplotlib)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
    with tempfile.TemporaryDirectory(prefix="soak") as name:
        soak = Soak(Path(name), arguments)
        try:
            soak.run()
        finally:
            soak.close()
        report(soak, arguments)


# In the daemon's process.


def serve(folder: Path) -> None:
    """Runs the daemon with a device that tells when it was last given sound, and that can go."""
    import sounddevice

    from spark_mlx.cli import main as command

    with (folder / "heard").open("r+b") as file:
        heard = mmap.mmap(file.fileno(), 16)

    class Stream(sounddevice.OutputStream):
        def __init__(self, *, callback: Any, **settings: Any) -> None:
            if (folder / "gone").exists():
                raise sounddevice.PortAudioError("the device is gone")

            def watched(out: Any, frames: int, times: Any, status: Any) -> None:
                if (folder / "gone").exists():
                    raise sounddevice.CallbackAbort
                callback(out, frames, times, status)
                if abs(out).max() > 1e-4:
                    heard[:] = struct.pack("dd", time.monotonic(), self.latency)

            super().__init__(callback=watched, **settings)

    sounddevice.OutputStream = Stream
    sys.exit(command(["daemon"]))


# In the other one.


@dataclass
class Text:
    """Sentences that are said together; `heard` of them were."""

    first: int
    sentences: list[str]
    heard: int = 0

    @property
    def whole(self) -> str:
        return " ".join(self.sentences)


@dataclass
class Counts:
    """What happened."""

    sentences: int = 0
    reported: int = 0
    kills: int = 0
    malformed: int = 0
    losses: int = 0
    restarts: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    rows: list[tuple[float, float, float, int, str]] = field(default_factory=list)


class Soak:
    """The reader, who knows what must be heard next, and the one who makes trouble."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.counts = Counts()
        self._folder = folder
        self._arguments = arguments
        self._random = random.Random(arguments.seed)
        (folder / "heard").write_bytes(bytes(16))
        self._card = Card(folder, arguments.speed)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._said: dict[int, Text] = {}  # what is in the daemon, by utterance
        self._again: deque[Text] = deque()  # what was reported, to be said again
        self._next = 0  # the next new sentence
        self._due = 0  # the sentence that must be heard next
        self._others: dict[int, str] = {}  # how utterances of other clients ended
        self._begun = time.monotonic()
        self._mark = ""
        self._sampled = 0.0
        self._reading = True
        self._start()

    def close(self) -> None:
        self._client.close()
        self._daemon.kill()
        self._daemon.wait()
        self._card.close()

    def run(self) -> None:
        """Reads until so many minutes were heard, with faults spread over them."""
        arguments = self._arguments
        plan = []
        for name in ("kills", "malformed", "losses", "restarts"):
            count = _parts(name, arguments)
            plan += [(arguments.minutes * 60 * (i + 0.5) / count, name) for i in range(count)]
        plan.sort()
        whole = arguments.minutes * 60
        with tqdm(total=round(whole), unit="s", disable=None) as bar:
            while self.counts.seconds < whole:
                self._take(0.1)
                bar.update(round(self.counts.seconds) - bar.n)
                if plan and plan[0][0] <= self.counts.seconds:
                    self._mark = plan.pop(0)[1]
                    getattr(self, f"_{self._mark}")()
        for name in [name for _, name in plan]:
            getattr(self, f"_{name}")()
        self._reading = False
        self._until(lambda: not self._said, "the last text")
        self._measure_stops()

    # Reading.

    def _fill(self) -> None:
        """Keeps some texts in the queue, those that were reported first."""
        while len(self._said) < QUEUED:
            if self._again:
                text = self._again.popleft()
            else:
                numbers = range(self._next, self._next + TEXT)
                text = Text(self._next, [_sentence(i, self._random) for i in numbers])
                self._next += TEXT
            start = len(" ".join([*text.sentences[: text.heard], ""])) if text.heard else 0
            try:
                said = self._client.say(text.whole, start=start)
            except SparkError:
                self._again.appendleft(text)
                self._start()
                return
            self._said[int(said)] = text

    def _take(self, seconds: float) -> None:
        """Takes events for so long, and checks the order of what was heard."""
        latest = time.monotonic() + seconds
        if self._reading:
            self._fill()
        if time.monotonic() - self._sampled >= 1:
            self._sampled = time.monotonic()
            self._sample()
        while (left := latest - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return
            text = self._said.get(event.utterance)
            if text is None:
                self._others[event.utterance] = event.kind
            elif event.kind == "sentence":
                self._hear(text, event)
            elif event.last:
                self._over(text, event)

    def _hear(self, text: Text, event: Event) -> None:
        heard = text.whole[: event.span[0]].count(". ")
        number = text.first + heard
        # A sentence that was being heard when something broke may be heard again.
        if number not in (self._due, self._due - 1) or event.text != text.sentences[heard]:
            self.counts.faults.append(f"sentence {number} instead of {self._due}")
        self.counts.sentences += number == self._due
        self._due = max(self._due, number + 1)
        text.heard = heard

    def _over(self, text: Text, event: Event) -> None:
        del self._said[event.utterance]
        self.counts.seconds += event.time
        if event.kind == "end":
            if text.heard != TEXT - 1:
                self.counts.faults.append(f"the text of sentence {text.first} ended early")
            return
        self.counts.reported += 1
        self._again.append(text)
        self._again = deque(sorted(self._again, key=lambda again: again.first))
        # Those behind it would come before it: they are taken back, and wait until it is said.
        for utterance in [n for n, other in self._said.items() if other.first > text.first]:
            with contextlib.suppress(SparkError):
                self._client.stop(utterance)

    # Trouble.

    def _kills(self) -> None:
        """A client that is killed while its own sentence is heard takes that with it."""
        code = (
            "import json, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            's.sendall(b\'{"do":"say","follow":true,"text":"One who will be killed speaks.\'\n'
            "b' He wants to say a lot, and then some more, and more.\"}\\n')\n"
            "for line in s.makefile(): print(line, end='', flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, str(self._folder / "daemon.sock")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()

        def read(output: Iterable[str]) -> None:
            for line in output:
                lines.put(line)

        reader = threading.Thread(target=read, args=(process.stdout,))
        reader.start()
        number = 0
        found = {"event": ""}
        latest = time.monotonic() + 120
        while found.get("event") not in ("begin", "error", "stopped"):
            self._take(0.01)
            with contextlib.suppress(queue.Empty):
                found = json.loads(lines.get_nowait())
                number = found.get("utterance", number)
            if time.monotonic() > latest:
                raise SystemExit("waited two minutes for a client's turn")
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        self._until(functools.partial(self._is_over, number), "a killed client")
        self.counts.kills += 1

    def _malformed(self) -> None:
        """Requests that are none; each must be refused."""
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(20)
            raw.connect(str(self._folder / "daemon.sock"))
            with raw.makefile("rb") as answers:
                for _ in range(self._arguments.malformed // _parts("malformed", self._arguments)):
                    good = json.dumps({"do": "say", "text": "Never.", "mode": "now"}).encode()
                    line = bytearray(good[: self._random.randrange(1, len(good))])
                    line[self._random.randrange(len(line))] = self._random.choice(b'\xff{["\\:7')
                    raw.sendall(line + b"\n")
                    if json.loads(answers.readline())["ok"]:
                        self.counts.faults.append(f"{bytes(line)!r} was taken")
                    self.counts.malformed += 1

    def _losses(self) -> None:
        """The device goes away: for a moment, or for longer than the player waits."""
        gone = self._folder / "gone"
        gone.touch()
        self._take(1.0 if self.counts.losses % 2 == 0 else 8.0)
        gone.unlink()
        self.counts.losses += 1

    def _restarts(self) -> None:
        """The daemon is killed, and started again."""
        self._daemon.kill()
        self._daemon.wait()
        self._reading = False
        self._take(1.0)  # what was queued is reported
        self._reading = True
        if self._said:
            self.counts.faults.append(f"{len(self._said)} texts were not reported")
        self._start()
        self.counts.restarts += 1

    def _start(self) -> None:
        """Starts the daemon if it does not run, and connects."""
        if not hasattr(self, "_daemon") or self._daemon.poll() is not None:
            environment = {
                **os.environ,
                "SPARK_MLX_HOME": str(self._folder),
                "ALSA_CONFIG_PATH": str(self._card.config),
            }
            self._daemon: subprocess.Popen[str] = subprocess.Popen(
                [sys.executable, __file__, "--serve", str(self._folder)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert self._daemon.stderr is not None
            for line in self._daemon.stderr:
                if line == "spark-mlx: ready\n":
                    break
            threading.Thread(target=self._daemon.stderr.read, daemon=True).start()
        if hasattr(self, "_client"):
            self._client.close()
        client = connect(self._folder / "daemon.sock")
        if client is None:
            raise SystemExit("the daemon cannot be reached")
        self._client: Client = client
        client.subscribe(self._events.put)

    # Measuring.

    def _sample(self) -> None:
        if self._daemon.poll() is not None:
            return
        status = Path(f"/proc/{self._daemon.pid}/statm").read_text().split()
        memory = int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        now = self._sampled - self._begun
        heard = round(self.counts.seconds, 1)
        row = (round(now, 1), heard, round(memory, 1), self.counts.sentences, self._mark)
        self.counts.rows.append(row)
        self._mark = ""

    def _measure_stops(self) -> None:
        """The time from a call of `stop` to the last sound that the device was given, and what
        PortAudio says the device still holds then."""
        for _ in range(self._arguments.stops):
            begun = time.monotonic()
            said = self._client.say("This goes on for a while, and then for a while more. " * 9)
            self._until(functools.partial(self._sounds_after, begun), "a sound")
            self._take(self._random.uniform(0, 0.2))
            asked = time.monotonic()
            self._client.stop()
            self._until(functools.partial(self._is_over, int(said)), "the end of a stop")
            self._take(0.3)
            sounded, latency = self._sounded()
            self.counts.stops.append(max(0.0, sounded - asked) + latency)

    def _is_over(self, number: int) -> bool:
        """Whether another client's utterance has ended."""
        return self._others.get(number) in ("end", "stopped", "error")

    def _sounds_after(self, when: float) -> bool:
        return self._sounded()[0] > when

    def _sounded(self) -> tuple[float, float]:
        """When the device was last given sound, and its latency in seconds."""
        when, latency = struct.unpack("dd", (self._folder / "heard").read_bytes())
        return when, latency

    def _until(self, true: Callable[[], bool], what: str) -> None:
        latest = time.monotonic() + 60
        while not true():
            if time.monotonic() > latest:
                raise SystemExit(f"waited a minute for {what}")
            self._take(0.01)


def _parts(name: str, arguments: argparse.Namespace) -> int:
    """In how many parts a kind of fault comes."""
    count: int = getattr(arguments, name)
    return min(count, 10) if name == "malformed" else count


def _sentence(number: int, chance: random.Random) -> str:
    return f"Sentence {number} was found {chance.choice(PLACES.split('|'))} by one of us."


def report(soak: Soak, arguments: argparse.Namespace) -> None:
    """Prints what happened, and ends with status 1 if anything was lost."""
    counts = soak.counts
    print(
        f"heard              {counts.seconds / 60:.1f} min, {counts.sentences} sentences in order"
    )
    print(f"clients killed     {counts.kills}")
    print(f"malformed          {counts.malformed}, all refused")
    print(f"device lost        {counts.losses} times")
    print(f"daemon restarted   {counts.restarts} times")
    print(f"texts reported     {counts.reported}, all said again")
    if len(counts.rows) > 4:
        memory = [row[2] for row in counts.rows]
        quarter = len(memory) // 4
        first, last = (
            statistics.median(some) for some in (memory[quarter : 2 * quarter], memory[-quarter:])
        )
        print(f"memory             {first:.0f} MB in the second quarter, {last:.0f} MB in the last")
    if counts.stops:
        median, worst = statistics.median(counts.stops), max(counts.stops)
        print(f"stops              {len(counts.stops)}, median {median * 1e3:.0f} ms, ", end="")
        print(f"worst {worst * 1e3:.0f} ms")
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("seconds", "heard_s", "memory_mb", "sentences", "fault"))
            rows.writerows(counts.rows)
    if arguments.plot is not None:
        draw(counts, arguments.plot)
    for fault in counts.faults:
        print(f"fault: {fault}")
    if counts.faults:
        sys.exit(1)


def draw(counts: Counts, path: Path) -> None:
    """Memory over what was heard."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3), layout="constrained")
    axes.plot([row[1] / 60 for row in counts.rows], [row[2] for row in counts.rows], lw=1)
    for row in counts.rows:
        if row[4] in ("losses", "restarts"):
            axes.axvline(row[1] / 60, color="0.6" if row[4] == "losses" else "tab:red", lw=0.8)
    axes.set(xlabel="minutes of speech", ylabel="memory of the daemon, MB", ylim=(0, None))
    figure.savefig(path)


if __name__ == "__main__":
    main()
