"""Sound in and out: reads and levels recordings, writes files. Knows nothing of models.

A path or (samples, rate) → float32 (N,), one channel at the rate asked for; samples → a file.
Full scale is -1 … 1. The first channel, the resampler, the levelling and the tiled speaker clip
follow the official code (sparktts/utils/audio.py, sparktts/models/audio_tokenizer.py).
"""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from spark_mlx.errors import AudioError
from spark_mlx.paths import write_whole

log = logging.getLogger(__name__)

Samples: TypeAlias = npt.NDArray[np.float32]
Source: TypeAlias = "str | os.PathLike[str] | tuple[npt.ArrayLike, int]"
_Precise: TypeAlias = npt.NDArray[np.float64]

# By a file name's ending: libsndfile's format and encoding.
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
}

# Endings of the sound files people have, to tell a recording from a saved voice by its name.
RECORDINGS = frozenset((*FORMATS, ".aif", ".aiff", ".au", ".caf", ".m4a", ".opus", ".w64"))

LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000  # Hz; wider than anything sold
SHORTEST_REFERENCE, LONGEST_REFERENCE = 0.3, 60.0  # seconds
# Peak of a recording that counts as silent: -60 dBFS, where the levelling below gives up.
SILENT_PEAK = 1e-3
# RMS of a 20 ms frame that counts as a pause: -50 dBFS. Levelled speech is 30 dB louder.
PAUSE_RMS = 10 ** (-50 / 20)


def read(source: Source, rate: int = 16_000, longest: float = 600.0) -> Samples:
    """Reads a recording: its first channel, resampled to `rate` Hz → (N,).

    Args:
        source: a sound file, or (samples, rate) with samples (N,) or (N, channels): floats, or
            integers (uint8, int16, int32), which are scaled to -1 … 1.
        rate: the rate wanted, in Hz.
        longest: what is longer, in seconds, is refused before it is decoded.

    Raises:
        AudioError: it is missing, unreadable, not sound, empty, too long, holds NaN or infinity,
            or has an impossible rate, shape or number type.
    """
    return _read(source, rate, longest).astype(np.float32)


def reference(source: Source, rate: int = 16_000, levelled: bool = True) -> Samples:
    """Reads a recording to clone from, checked and, if `levelled`, levelled → (N,) at `rate` Hz.

    Raises:
        AudioError: as `read`; or it is shorter than 0.3 s, longer than 60 s, or silent.
    """
    samples = _read(source, rate, LONGEST_REFERENCE)
    seconds = len(samples) / rate
    if seconds < SHORTEST_REFERENCE:
        raise AudioError(
            f"{_name(source)} lasts {seconds:.2f} s, too short to clone a voice from; "
            f"give at least {SHORTEST_REFERENCE} s, better 5 to 20 s"
        )
    # Measured around the mean, for a microphone's constant offset is no voice.
    if np.abs(samples - samples.mean()).max() < SILENT_PEAK:
        raise AudioError(f"{_name(source)} is silent; give a recording with a voice in it")
    return (level(samples) if levelled else samples).astype(np.float32)


def level(samples: _Precise) -> _Precise:
    """Brings a recording to the loudness that the codec was trained on: (N,) → (N,).

    Loudness is the mean of the magnitudes between the 90th and 99th percentile of those above
    0.01. It is brought to 0.2, with a gain of 0.1 to 10, and a peak above full scale to 1.
    """
    magnitudes = np.sort(np.abs(samples))
    peak = magnitudes[-1]
    if peak < 0.1:
        samples = samples / max(peak, SILENT_PEAK) * 0.1
    # The official code goes on with the magnitudes from before that gain: so do we.
    audible = magnitudes[magnitudes > 0.01]
    count = len(audible)
    if count <= 10:
        return samples
    loudness = audible[int(0.9 * count) : int(0.99 * count)].mean()
    levelled: _Precise = samples * np.clip(0.2 / loudness, 0.1, 10)
    return levelled / max(1.0, float(np.abs(levelled).max()))


def speaker_clip(samples: Samples, length: int) -> Samples:
    """What the speaker encoder hears: the first `length` samples, repeated when there are fewer."""
    return np.resize(samples, length)


def silences(samples: Samples, rate: int, seconds: float = 3.0) -> list[tuple[int, int]]:
    """Finds the stretches of near silence in (N,) that last longer than `seconds`.

    A 20 ms frame is near silence when its RMS around its own mean is below -50 dBFS.

    Returns:
        (start, end) of each stretch in samples, `end` excluded, in order.
    """
    size = rate // 50
    padded = np.pad(samples, (0, -len(samples) % size), mode="edge") if len(samples) else samples
    quiet = padded.reshape(-1, size).std(axis=1) < PAUSE_RMS
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False)) * size
    ranges = np.minimum(edges, len(samples)).reshape(-1, 2).tolist()
    return [(start, end) for start, end in ranges if end - start > seconds * rate]


def write(target: str | os.PathLike[str] | BinaryIO, samples: Samples, rate: int) -> None:
    """Writes (N,) to a file in the format of its ending, or as wav to a binary stream.

    A file is written whole or not at all. A stream need not be seekable.

    Raises:
        AudioError: the ending is unknown, the samples hold NaN or infinity, or the file or
            stream cannot be written.
        BrokenPipeError: the reader of the stream went away; not a fault, so the caller decides.
    """
    if isinstance(target, str | os.PathLike):
        path = Path(target)
        check_ending(path)
        try:
            write_whole(path, _encode(samples, rate, path.suffix.lower()))
        except OSError as error:
            raise AudioError(f"cannot write {path}: {_reason(error)}") from error
        return
    data = _encode(samples, rate, ".wav")
    try:
        target.write(data)
        target.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AudioError(f"cannot write the sound: {_reason(error)}") from error


def check_ending(path: str | os.PathLike[str]) -> None:
    """Refuses a file name that `write` could not write, before any work is done for it.

    Raises:
        AudioError: its ending is unknown.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise AudioError(
            f"no sound format is known for the ending of {path}; use one of {' '.join(FORMATS)}"
        )


def _encode(samples: Samples, rate: int, ending: str) -> bytes:
    """A whole sound file in memory, so that its size is known and a disk error is the system's."""
    if not np.isfinite(samples).all():
        raise AudioError("the sound holds NaN or infinity and cannot be written")
    form, encoding = FORMATS[ending]
    clipped = np.clip(samples, -1, 1)
    file = io.BytesIO()
    try:
        with soundfile.SoundFile(file, "w", rate, 1, encoding, format=form) as sound:
            # In blocks: libsndfile's Vorbis encoder keeps one call's samples on its stack.
            for start in range(0, len(clipped), 65_536):
                sound.write(clipped[start : start + 65_536])
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"cannot write {rate} Hz as {ending} ({error.error_string}); try .wav"
        ) from error
    return file.getvalue()


def _read(source: Source, rate: int, longest: float) -> _Precise:
    """`read` in float64, the precision in which the official code resamples and levels."""
    name = _name(source)
    if isinstance(source, tuple):
        samples, found = _scaled(*source)
        _check_length(name, len(samples), found, longest)
    else:
        samples, found = _decode(Path(source), longest)
    if samples.size == 0:
        raise AudioError(f"{name} is empty; it holds not one sample")
    # A comparison with NaN is false, so this catches it as well.
    if not (np.abs(samples) <= np.finfo(np.float32).max).all():
        raise AudioError(f"{name} holds NaN or infinity; export the sound again")
    if samples.ndim == 2:
        if samples.shape[1] > 1:
            log.info("%s has %d channels; only the first is used.", name, samples.shape[1])
        samples = np.ascontiguousarray(samples[:, 0])
    if found == rate:
        return samples
    resampled: _Precise = soxr.resample(samples, found, rate, quality="VHQ")
    return resampled


def _decode(path: Path, longest: float) -> tuple[_Precise, int]:
    """A file's samples (N, channels) as float64, and its rate in Hz."""
    try:
        # Opened here, since libsndfile does not say why it could not open a file.
        with (
            path.open("rb") as file,
            soundfile.SoundFile(file.fileno(), closefd=False) as sound,
        ):
            if not sound.seekable():
                raise AudioError(f"{path} is a pipe; save the sound to a file first")
            _check_length(str(path), sound.frames, sound.samplerate, longest)
            return sound.read(dtype="float64", always_2d=True), sound.samplerate
    except OSError as error:
        raise AudioError(f"cannot read {path}: {_reason(error)}") from error
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path} is not sound that can be read; convert it to wav, flac, mp3 or ogg first"
        ) from error


def _scaled(sound: npt.ArrayLike, rate: int) -> tuple[_Precise, int]:
    """An array from a caller as float64 within -1 … 1, (N,) or (N, channels), and its rate."""
    samples = np.asarray(sound)
    if not isinstance(rate, int | np.integer):
        raise AudioError(f"sound comes as (samples, rate), rate in whole Hz, not {rate!r:.40}")
    # Channels come last, as soundfile gives them; the other way round is the likely mistake.
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] > samples.shape[0]):
        raise AudioError(
            f"samples have the shape (N,) or (N, channels), not {samples.shape}; "
            "transpose or flatten them"
        )
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float64), int(rate)
    if samples.dtype not in (np.uint8, np.int16, np.int32):
        raise AudioError(
            f"samples of type {samples.dtype} have no known full scale; "
            "give float32, float64, uint8, int16 or int32"
        )
    full = 2.0 ** (8 * samples.dtype.itemsize - 1)
    offset = full if samples.dtype == np.uint8 else 0.0
    return (samples - offset) / full, int(rate)


def _check_length(name: str, count: int, rate: int, longest: float) -> None:
    """Refuses an impossible rate, and more than `longest` seconds."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(
            f"{name} claims {rate} samples a second, which is not possible; "
            f"sound has {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        )
    if count > longest * rate:
        raise AudioError(
            f"{name} lasts {count / rate:.0f} s, more than the {longest:.0f} s that are allowed; "
            "cut a shorter piece out of it"
        )


def _name(source: Source) -> str:
    """The source as errors call it."""
    return "the given sound" if isinstance(source, tuple) else str(source)


def _reason(error: OSError) -> str:
    """What the system says: "No space left on device"."""
    return error.strerror or str(error)
