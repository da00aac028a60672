"""Damage to bytes, drawn with a fixed seed, and the limits that every input is held to."""

from __future__ import annotations

import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from spark_mlx.errors import SparkError

MOST_SECONDS = 5.0  # of this process's own time, for one input
MOST_BYTES = 1 << 30  # that the process may grow by, for all inputs of a test
_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def count(usual: int) -> int:
    """How many inputs a test draws; `make fuzz` sets more."""
    return int(os.environ.get("SPARK_MLX_FUZZ", usual))


def damaged(data: bytes, inputs: int, seed: int, words: Sequence[bytes] = ()) -> Iterator[bytes]:
    """Copies with bytes changed, cut, repeated or moved, or with words of the format put in."""
    draw = random.Random(seed)
    for _ in range(inputs):
        copy = bytearray(data)
        for _ in range(draw.choice((1, 1, 2, 4, 16))):
            at = draw.randrange(len(copy) + 1)
            length = draw.choice((1, 2, 8, 64))
            match draw.randrange(6):
                case 0:
                    copy[at : at + 1] = bytes([draw.randrange(256)])
                case 1:
                    del copy[at : at + length]
                case 2:
                    copy[at:at] = copy[at : at + length] * draw.choice((1, 2, 100))
                case 3:
                    copy[at : at + length] = bytes(draw.choices((0, 1, 127, 128, 255), k=length))
                case 4:
                    copy[at:at] = draw.choice(words) if words else b"\xff"
                case _:
                    other = draw.randrange(len(copy) + 1)
                    copy[at : at + length] = copy[other : other + length]
            copy = copy or bytearray(b"\0")
        yield bytes(copy)


def survives(action: Callable[[], object]) -> bool:
    """Run an action; True if it succeeds, False if it is refused in one short line.

    Any other exception, a longer time or message is a failure.
    """
    begun = time.process_time()
    try:
        action()
    except SparkError as error:
        message = str(error)
        assert message
        assert len(message) < 2000
        assert "\n" not in message
        return False
    finally:
        seconds = time.process_time() - begun
        assert seconds < MOST_SECONDS, seconds
    return True


def memory() -> int:
    """The most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
