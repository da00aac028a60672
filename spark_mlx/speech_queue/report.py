"""How playing a text went, for those who measure or write subtitles."""

from __future__ import annotations

from dataclasses import dataclass

from spark_mlx.speech import Sentence


@dataclass(frozen=True)
class Report:
    """How playing went; all times in seconds.

    Attributes:
        loading: loading the model, and the voice.
        first: work from then to the first samples.
        writing: work on all chunks; waits for the listener are left out.
        duration: of the speech, at its own speed.
        underruns: how often the device had nothing to play.
        waits: how often the player waited for the next samples.
        sentences: what was heard when, in seconds of the speech at its own speed.
        warnings: audible faults.
    """

    loading: float
    first: float
    writing: float
    duration: float
    underruns: int
    waits: int
    sentences: tuple[Sentence, ...]
    warnings: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of speech."""
        return self.writing / self.duration
