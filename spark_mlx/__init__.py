"""Spark-TTS on MLX: speech from text, in a voice cloned from a clip or made up from labels.

import spark_mlx

tts = spark_mlx.load()
voice = tts.clone("alice.wav")
tts.say("Hello.", voice=voice).save("hello.wav")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from spark_mlx.errors import SparkError
from spark_mlx.version import __version__

if TYPE_CHECKING:
    from spark_mlx.speech import Speech
    from spark_mlx.tts import SparkTTS, load
    from spark_mlx.voice import Voice

__all__ = ["SparkError", "SparkTTS", "Speech", "Voice", "__version__", "load"]

# Found at first use, so that `import spark_mlx` and the command line's --help need no MLX.
_LAZY = {
    "SparkTTS": "spark_mlx.tts",
    "load": "spark_mlx.tts",
    "Speech": "spark_mlx.speech",
    "Voice": "spark_mlx.voice",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
