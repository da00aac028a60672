"""The teacher: hibari, a small English voice, opened up so that it tells what it says when.

text → an utterance of samples at 16 kHz with phonemes, F0 and the phase of the voice's period, for
every 20 ms. hibari computes a spectrum for each 12.5 ms and an F0 curve, and excites the spectrum
with pulses; so a curve multiplied by a factor is another pitch with the same vowels, and samples
taken as if recorded at another rate are another throat.

The network gives the phonemes' durations only inside, so its graph is opened with one more output.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import soxr
from hibari import Hibari, dsp

from voices import Style

RATE = 16_000  # of what comes out, Hz
HOP = 320  # samples of a frame of labels
# Of its weights: the names of what is inside belong to these.
SHA256 = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"
DURATIONS = "/Cast_32_output_0"  # for each phoneme its length, in units of 25 ms
_VOICED_HZ = 40.0  # hibari's own threshold, and the pace of its phase where nothing is voiced
_UNIT = 2  # of hibari's frames to a unit of duration
# The pauses are digital silence, which logarithms of spectra should not dwell on.
DITHER = 1e-3
# Signs of the phoneme alphabet that say how a sound is said, and are no sound.
MARKS = "ˈˌː̃ʰʲ→↗↘↓"

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A sentence spoken, T frames of 20 ms long.

    Attributes:
        samples: (T · 320,), at 16 kHz.
        phonemes: (T,), ids of hibari's alphabet; 0 is silence.
        f0: (T,), Hz in the middle of the frame, 0 where there is no voice.
        phase: (T,), how far the voice is in its period in the middle of the frame, 0 … 1.
        words: (W + 1,), the second at which each word of the phoneme string begins, and all end.
    """

    samples: Floats
    phonemes: Integers
    f0: Floats
    phase: Floats
    words: Floats


class Teacher:
    """hibari with its durations told."""

    def __init__(self, threads: int = 1) -> None:
        self._hibari = Hibari()
        weights = Path(self._hibari.model_path).read_bytes()
        if hashlib.sha256(weights).hexdigest() != SHA256:
            raise SystemExit("error: this is another teacher; pip install hibari-tts==0.2.1")
        graph = onnx.load_from_string(weights)
        graph.graph.output.append(onnx.ValueInfoProto(name=DURATIONS))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
        self._marks = {self._hibari.vocab[mark] for mark in MARKS if mark in self._hibari.vocab}
        self._space = self._hibari.vocab[" "]

    @functools.cached_property
    def alphabet(self) -> dict[str, int]:
        """Phoneme → id; the ids are below 178."""
        return dict(self._hibari.vocab)

    def phonemes(self, text: str) -> str:
        """Text → its phonemes, one string."""
        return " ".join(self._hibari.phonemize(text))

    def speak(self, phonemes: str, style: Style, seed: int) -> Utterance:
        """Says a phoneme string."""
        ids = self._hibari.ids(phonemes)
        feeds = {
            "ids": np.array([ids], np.int64),
            # Another throat is another rate of playing, whose pace is made good for here.
            "speed": np.array([style.speed / style.throat], np.float32),
        }
        names = [output.name for output in self._session.get_outputs()]
        values: dict[str, Any] = dict(zip(names, self._session.run(None, feeds), strict=True))
        spectra = [values[name][0] for name in ("lh", "theta", "ln", "lr", "phi")]
        f0 = values["f0"][0].astype(np.float32)
        f0 = np.where(f0 >= _VOICED_HZ, f0 * style.pitch, f0).astype(np.float32)
        rng = np.random.default_rng(seed)
        sound = dsp.synth(*spectra, f0, rng)
        sound = soxr.resample(sound, dsp.SR * style.throat, RATE).astype(np.float32)
        frames = len(sound) // HOP
        sound = sound[: frames * HOP]
        sound += DITHER * rng.standard_normal(len(sound), dtype=np.float32)
        # The middle of each frame, in the teacher's own samples.
        middles = (np.arange(frames) + 0.5) * HOP / RATE * dsp.SR * style.throat
        durations = values[DURATIONS].reshape(-1).astype(np.int64) * _UNIT * dsp.HOP
        ends = np.cumsum(durations)
        curve, phase = self._period(f0, middles)
        return Utterance(
            sound,
            self._sounds(ids, np.searchsorted(ends, middles, side="right")),
            curve * style.throat,
            phase,
            self._words(ids, ends / (dsp.SR * style.throat)),
        )

    def _sounds(self, ids: list[int], places: npt.NDArray[np.intp]) -> Integers:
        """Which sound is said at each place: a mark counts for the sound that it is about."""
        sounds = np.array(ids, np.int32)
        for i in range(len(ids) - 2, -1, -1):  # stress stands before its vowel
            if sounds[i] in self._marks and ids[i] != self._hibari.vocab["ː"]:
                sounds[i] = sounds[i + 1]
        for i in range(1, len(ids)):
            if ids[i] == self._hibari.vocab["ː"]:
                sounds[i] = sounds[i - 1]
        for i in range(1, len(ids)):  # between words that are said in one breath nothing is silent
            if ids[i] == self._space:
                sounds[i] = sounds[i - 1]
        sounds[sounds < self._space] = 0  # punctuation
        return sounds[np.minimum(places, len(ids) - 1)]

    def _words(self, ids: list[int], ends: npt.NDArray[np.float64]) -> Floats:
        """When each word begins, and when all end."""
        starts = np.concatenate([[0.0], ends[:-1]])
        begin = [i for i in range(1, len(ids)) if i == 1 or ids[i - 1] == self._space]
        return np.array([*starts[begin], ends[-1]], np.float32)

    @staticmethod
    def _period(f0: Floats, places: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
        """F0 and phase at places in samples, from the curve that the pulses are made of."""
        middles = (np.arange(len(f0)) + 0.5) * dsp.HOP
        every = np.interp(np.arange(len(f0) * dsp.HOP) + 0.5, middles, f0)
        turns = np.cumsum(np.maximum(every, _VOICED_HZ)) / dsp.SR
        places = np.minimum(places, len(every) - 1)
        curve = every[places.astype(np.int64)]
        phase = np.interp(places, np.arange(len(turns)), turns) % 1.0
        curve = np.where(curve > _VOICED_HZ, curve, 0.0)
        return curve.astype(np.float32), phase.astype(np.float32)
