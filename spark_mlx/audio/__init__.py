"""Sound: files, time stretching and playback.

`read` and `write` are what users of the package call: `spark_mlx.audio.read("alice.wav")`.
"""

from spark_mlx.audio.files import Samples, Source, read, write

__all__ = ["Samples", "Source", "read", "write"]
