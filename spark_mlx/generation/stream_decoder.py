"""Codes as they come → samples without seams.

The codec turns a sentence into sound as a whole, but each of its layers looks only so far to both
sides. So a stretch of codes can be decoded as soon as enough codes behind it are there: decoded
with its neighbours, of which only the settled middle is kept. With a look-ahead of at least the
receptive field the samples are those of the whole decode; with less they differ by little, as
docs/streaming.md shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from spark_mlx.audio.files import Samples
from spark_mlx.codec import Codec, Tokens
from spark_mlx.errors import ConfigError
from spark_mlx.generation.prefetch import Prefetched

# Codes: the first stretch is short, so that sound starts at once; each next one is half as long
# again, so that little is decoded twice.
FIRST_STRETCH, GROWTH, LONGEST_STRETCH = 10, 1.5, 100
LOOK_AHEAD = 16


class StreamDecoder:
    """Decodes the codes of one sentence while they come.

    Args:
        global_tokens: (G,), the voice.
        look_ahead: how many codes behind a stretch are waited for; None for as many as make the
            samples exact.
    """

    def __init__(
        self, codec: Codec, global_tokens: Tokens, look_ahead: int | None = LOOK_AHEAD
    ) -> None:
        _, after = codec.receptive_field
        if look_ahead is not None and look_ahead < 0:
            raise ConfigError(f"a look-ahead is a number of codes, not {look_ahead}")
        self._codec = codec
        self._global_tokens = global_tokens
        self._look_ahead = after if look_ahead is None else min(look_ahead, after)
        self._tokens: list[int] = []
        self._done = 0
        self._stretch = float(FIRST_STRETCH)

    def push(self, tokens: Sequence[int]) -> Samples:
        """Takes more codes; gives the samples that are settled by now, maybe none."""
        self._tokens += tokens
        ready = len(self._tokens) - self._look_ahead - self._done
        if ready < int(self._stretch):
            return np.zeros(0, dtype=np.float32)
        self._stretch = min(LONGEST_STRETCH, self._stretch * GROWTH)
        return self._decode(self._done + ready)

    def follow(self, prefetched: Prefetched[int]) -> Iterator[Samples]:
        """Push codes as they are made; give samples as they are settled."""
        with prefetched as codes:
            for code in codes:
                # The first sound is waited for; what follows need only be there in time.
                with codes.sharing() if self._done else codes.holding():
                    samples = self.push([code])
                if len(samples):
                    yield samples

    def finish(self) -> Samples:
        """The rest, when no more codes come."""
        return self._decode(len(self._tokens))

    def _decode(self, end: int) -> Samples:
        """The samples of the codes from where the last ones ended up to `end`."""
        if end == self._done:
            return np.zeros(0, dtype=np.float32)
        start, self._done = self._done, end
        settled = self._tokens[: end + self._look_ahead]
        return self._codec.decode(self._global_tokens, settled, start, end)
