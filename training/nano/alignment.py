"""When espeak-ng said which word: shards of sound → words-SPLIT-00000.json beside them.

    python examples/nano/alignment.py build/nano/audio --jobs 2

A file holds, for each clip of its shard, pairs of a place in the text (characters) and a time
(seconds from the clip's beginning): where each word begins, and where all ends. The sentences are
spoken once more for it, by the library behind the command, which tells as it speaks; what it says
is the same. A finished file is not made again.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soxr

import labels
from spark_mlx.errors import SparkError
from spark_mlx.paths import write_whole

# Of speak_lib.h.
_RETRIEVAL = 1
_RATE, _PITCH = 1, 3
_CHARACTER, _UTF8 = 1, 1
_LIST_END, _WORD = 0, 1

WordPath: TypeAlias = list[tuple[int, float]]


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # of the word's first character, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """espeak-ng's library. There can be one in a process."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise SparkError(f"espeak-ng is missing ({error}); apt-get install espeak-ng") from None
        self._rate = self._library.espeak_Initialize(_RETRIEVAL, 0, None, 0)
        self._callback = _Callback(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)
        self._samples: list[bytes] = []
        self._words: list[tuple[int, int]] = []

    def words(self, meta: dict[str, Any]) -> WordPath:
        """Where a clip's words begin, in its text and in time."""
        library, text = self._library, meta["text"].encode()
        if library.espeak_SetVoiceByName(meta["voice"].encode()):
            raise SparkError(f"espeak-ng has no voice {meta['voice']}")
        library.espeak_SetParameter(_PITCH, meta["pitch_setting"], 0)
        library.espeak_SetParameter(_RATE, meta["speed_setting"], 0)
        self._samples, self._words = [], []
        library.espeak_Synth(text, len(text) + 1, 0, _CHARACTER, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        sound = np.frombuffer(b"".join(self._samples), np.int16).astype(np.float32) / 32768
        # What render.py cut off before the clip.
        cut = labels.kept(soxr.resample(sound, self._rate, labels.RATE))[0] / labels.RATE
        times = ((at, sample / self._rate - cut) for at, sample in self._words)
        return [(at, round(max(0.0, time), 3)) for at, time in times]

    def _hear(self, samples: Any, count: int, event: Any) -> int:
        if samples:
            self._samples.append(ctypes.string_at(samples, 2 * count))
        i = 0
        while event[i].type != _LIST_END:
            if event[i].type == _WORD:
                self._words.append((event[i].text_position - 1, event[i].sample))
            i += 1
        return 0


def align(shard: Path) -> Path:
    """Writes the paths of a shard's clips → the file."""
    global _espeak
    _espeak = _espeak or Espeak()
    with np.load(shard, allow_pickle=False) as arrays:
        meta = [json.loads(text) for text in arrays["meta"].tolist()]
        ends = np.diff(arrays["offsets"]) - labels.MARGIN
    paths = [
        [*_espeak.words(clip), (len(clip["text"]), round(float(end) / labels.RATE, 3))]
        for clip, end in zip(meta, ends, strict=True)
    ]
    file = words_of(shard)
    write_whole(file, json.dumps(paths).encode())
    return file


_espeak: Espeak | None = None


def words_of(shard: Path) -> Path:
    """The file that belongs to a shard."""
    return shard.with_name(f"words-{shard.stem}.json")


def main(arguments: list[str] | None = None) -> None:
    """Aligns what is not aligned yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path, help="the folder of the shards")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    args = parser.parse_args(arguments)
    todo = [s for s in sorted(args.corpus.glob("*-*.npz")) if not words_of(s).exists()]
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
            for file in pool.map(align, todo):
                print(file.name, file=sys.stderr, flush=True)
    except (SparkError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
