"""What `SparkTTS.say` returns: samples with their rate, ready to be saved or played."""

from __future__ import annotations

import os
from dataclasses import dataclass

from spark_mlx import audio


@dataclass(frozen=True, eq=False)
class Speech:
    """Spoken text.

    Attributes:
        samples: float32 (N,), full scale -1 … 1.
        sample_rate: in Hz.
        warnings: what went less than well and can be heard, a sentence each.
    """

    samples: audio.Samples
    sample_rate: int
    warnings: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a wav, flac, mp3 or ogg file, by the ending of `path`.

        Raises:
            AudioError: the ending is unknown, or the file cannot be written.
        """
        audio.write(path, self.samples, self.sample_rate)

    def play(self) -> None:
        """Plays through the default output device and returns when the sound has ended.

        Raises:
            PlaybackError: there is no PortAudio library or no output device.
        """
        from spark_mlx import player  # not needed to save a file

        player.play(self.samples, self.sample_rate)
