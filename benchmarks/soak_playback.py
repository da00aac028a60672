"""Does playback hold on this machine? Plays for minutes, and measures how fast it stops.

    python benchmarks/soak_playback.py --minutes 3 --stops 100

A soft tone in chunks of random size goes to the default output device; the same seed gives the same
chunks. It prints how often the sound broke off, what that did to memory, and the time from a call
of `stop` to silence: until the device was given the last frame that is not silent, and what
PortAudio says the device still holds then.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import sounddevice
from tqdm import tqdm

from spark_mlx.audio.player import Player
from spark_mlx.errors import SparkError

RATE = 16_000
LONGEST = 16_000  # samples of a chunk


class Meter(sounddevice.OutputStream):  # type: ignore[misc]
    """A stream that notes what it is given. The player knows nothing of it."""

    opened: Meter

    def __init__(self, *, callback: Any, **settings: Any) -> None:
        self.calls = 0
        self.late = 0.0  # the longest time between two callbacks
        self.longest = 0.0  # the longest time in one of them
        self.called = self.sounded = 0.0

        def measured(out: Any, frames: int, times: Any, status: Any) -> None:
            begun = time.perf_counter()
            if self.calls:
                self.late = max(self.late, begun - self.called)
            self.calls, self.called = self.calls + 1, begun
            callback(out, frames, times, status)
            now = time.perf_counter()
            self.longest = max(self.longest, now - begun)
            if out.any():
                self.sounded = now

        super().__init__(callback=measured, **settings)
        Meter.opened = self


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures playback.")
    parser.add_argument("--minutes", type=float, default=1.0, help="of sound (1)")
    parser.add_argument("--stops", type=int, default=0, help="how often to measure a stop (0)")
    parser.add_argument("--rate", type=float, default=1.0, help="the tempo, 0.5 to 3 (1)")
    parser.add_argument("--device", help="an index or a part of a name (the default device)")
    parser.add_argument("--seed", type=int, default=0, help="other chunks (0)")
    arguments = parser.parse_args()

    sounddevice.OutputStream = Meter
    random = np.random.default_rng(arguments.seed)
    try:
        with Player(RATE, device=arguments.device, rate=arguments.rate) as player:
            soak(player, random, int(arguments.minutes * 60 * RATE))
            if arguments.stops:
                report([stop(player, random) for _ in tqdm(range(arguments.stops), disable=None)])
    except SparkError as error:
        sys.exit(str(error))


def soak(player: Player, random: np.random.Generator, count: int) -> None:
    """Plays `count` samples, and prints how that went."""
    first = tone(0, LONGEST)
    player.write(first)
    player.drain()  # whatever is made only once is there now
    before, begun, written = memory(), time.perf_counter(), 0
    with tqdm(total=count, unit="sample", unit_scale=True, disable=None) as bar:
        while written < count:
            size = min(count - written, int(np.exp(random.uniform(0, np.log(LONGEST)))))
            player.write(tone(written, size))
            written += size
            bar.update(size)
    player.drain()
    seconds, stream = time.perf_counter() - begun, Meter.opened
    print(f"played            {written / RATE:.2f} s in {seconds:.2f} s")
    print(f"heard             {player.position - len(first) / RATE:.2f} s")
    print(f"underruns         {player.underruns}")
    print(f"waits             {player.waits}")
    print(f"callbacks         {stream.calls}, {stream.late * 1e3:.1f} ms apart at most")
    print(f"longest callback  {stream.longest * 1e3:.2f} ms")
    print(f"output latency    {stream.latency * 1e3:.1f} ms")
    print(f"memory            {before:.1f} MB before, {memory():.1f} MB after")


def stop(player: Player, random: np.random.Generator) -> float:
    """Seconds from a call of `stop` to silence."""
    player.write(tone(0, 2 * RATE))
    latest = time.perf_counter() + 5
    begun = player.position
    while player.position < begun + 0.02 and time.perf_counter() < latest:
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.1))
    stream, asked = Meter.opened, time.perf_counter()
    player.stop()
    time.sleep(0.3)
    return max(0.0, stream.sounded - asked) + float(stream.latency)


def report(times: list[float]) -> None:
    print(f"stops             {len(times)}")
    print(f"median stop       {statistics.median(times) * 1e3:.1f} ms")
    print(f"slowest stop      {max(times) * 1e3:.1f} ms")


def tone(start: int, count: int) -> np.ndarray:
    """A soft tone of 220 Hz, (count,), from the sample `start` on."""
    place = np.arange(start, start + count, dtype=np.float64)
    return (0.05 * np.sin(2 * np.pi * 220 / RATE * place)).astype(np.float32)


def memory() -> float:
    """Megabytes that this process uses; where the system does not say, that it ever used."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


if __name__ == "__main__":
    main()
