"""Pictures of nano: how its losses fell, and its speech beside espeak-ng's.

    python examples/nano/pictures.py curves build/nano/codec/codec.csv build/nano/codec.svg
    python examples/nano/pictures.py spectrograms build/nano/model build/nano/audio build/nano.png

Losses: a CSV that training wrote (loop.Curve) → an SVG, a panel for each loss. Spectrograms: a clip
of the split `eval` → a PNG, a row each for the clip, the codec's copy of it, and the same sentence
in the voice of another clip by espeak-ng and by the model; on the left all frequencies in windows
of 8 ms, on the right the lowest in windows of 64 ms, where the harmonics of a voice are lines.

Backgrounds are transparent and lines grey or bright, for light pages and dark ones. It needs
matplotlib: pip install 'spark-mlx[nano]'.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image

import labels
import spark_mlx
from clips import Clip, Espeak, Samples, load_clips, references
from spark_mlx import audio
from spark_mlx.codec.codec import Codec
from spark_mlx.errors import SparkError
from spark_mlx.model_config import ModelConfig

mpl.use("Agg")
import matplotlib.pyplot as plt

GREY, BLUE, ORANGE = "#808080", "#3d8bd9", "#e07b29"
STYLE: Any = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.alpha": 0.3,
    "grid.color": GREY,
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "nano",  # the same picture gives the same file
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
POINTS = 300  # of a line, so that the file stays small
# What tells more about the machinery than about the model.
LEFT_OUT = {"norm", "restarted", "perplexity", "epoch", "tokens/s"}
# (highest frequency, window, hop) of the columns: in Hz and samples.
COLUMNS = ((8000, 128, 32), (1500, 1024, 64))
FLOOR_DB = -60.0  # below the loudest


def main(arguments: list[str] | None = None) -> None:
    """Draws one of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    losses = kinds.add_parser("curves", help="losses of a training")
    losses.add_argument("csv", type=Path)
    losses.add_argument("out", type=Path, help="an .svg or .png file")
    spectra = kinds.add_parser("spectrograms", help="the model beside espeak-ng")
    spectra.add_argument("model", type=Path)
    spectra.add_argument("audio", type=Path, help="the folder of the shards")
    spectra.add_argument("out", type=Path, help="a .png file")
    spectra.add_argument("--clip", default="eval-000010", help="which (eval-000010)")
    spectra.add_argument("--codec-only", action="store_true", help="no language model yet")
    args = parser.parse_args(arguments)
    try:
        if args.kind == "curves":
            curves(read_curves(args.csv), args.out)
            return
        clips = load_clips(args.audio)
        clip = next((c for c in clips if c.meta["id"] == args.clip), None)
        if clip is None:
            raise SparkError(f"there is no clip {args.clip!r} in {args.audio}")
        sounds = sounds_of(args.model, clip, clips, args.out.parent, args.codec_only)
        spectrograms(sounds, args.out)
    except (SparkError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


def read_curves(path: Path) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """A CSV of loop.Curve → name → kind ("train" or "valid") → rows of (step, hours, value)."""
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            point = (float(row["step"]), float(row["seconds"]) / 3600, float(row["value"]))
            found[row["name"]].setdefault(row["kind"], []).append(point)
    return {
        name: {kind: np.array(points) for kind, points in kinds.items()}
        for name, kinds in found.items()
    }


def curves(losses: dict[str, dict[str, npt.NDArray[np.float64]]], out: Path) -> None:
    """Draws a panel for each loss, against steps; a dotted line where a loss joins in later."""
    names = [name for name in losses if name not in LEFT_OUT]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    joined = sorted({losses[name]["train"][0, 0] for name in names if "train" in losses[name]})[1:]
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(3.2 * columns, 2.1 * rows),
            sharex=True,
            squeeze=False,
            layout="constrained",
        )
        for panel, name in zip(axes.flat, names, strict=False):
            for kind, colour in (("train", BLUE), ("valid", ORANGE)):
                if kind in losses[name]:
                    x, _, y = _thinned(losses[name][kind]).T
                    panel.plot(x, y, color=colour, linewidth=1.3, label=kind)
            for step in joined:
                panel.axvline(step, color=GREY, linewidth=0.8, linestyle=":")
            panel.set_title(name)
            panel.grid(True)
        for panel in axes.flat[len(names) :]:
            panel.set_visible(False)
        for panel in axes.flat[max(0, len(names) - columns) : len(names)]:
            panel.xaxis.set_tick_params(labelbottom=True)
            panel.set_xlabel("step")
        for panel in axes.flat[: len(names)]:
            if len(panel.lines) - len(joined) > 1:
                panel.legend()
                break
        _save(figure, out)


def sounds_of(
    folder: Path, clip: Clip, clips: Sequence[Clip], work: Path, codec_only: bool
) -> list[tuple[str, Samples]]:
    """The rows of the spectrograms: a title and samples (N,) at 16 kHz each.

    Args:
        clips: to clone from, all but the clip itself; work: a folder for espeak-ng's speech.
    """
    config = ModelConfig.load(folder)
    codec = Codec.load(folder, config)
    original = audio.reference((clip.samples, labels.RATE))
    codes = codec.encode(original)
    copy = codec.decode(codes.global_tokens, codes.semantic_tokens)
    rows = [("espeak-ng", original), ("its copy by the codec", copy)]
    if codec_only:
        return rows
    (source,) = references([clip], clips, 0)
    tts = spark_mlx.load(folder)
    said = tts.say(clip.text, tts.clone((source.samples, labels.RATE))).samples
    own = audio.reference((Espeak(work / "espeak-ng").like(source, clip.text), labels.RATE))
    return [*rows, ("espeak-ng, another voice", own), ("nano, cloned from that voice", said)]


def spectrograms(sounds: Sequence[tuple[str, Samples]], out: Path) -> None:
    """Draws sounds, one below the other, in both resolutions."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(sounds), 2, figsize=(9.6, 1.9 * len(sounds)), squeeze=False, layout="constrained"
        )
        for panels, (title, samples) in zip(axes, sounds, strict=True):
            for panel, (highest, window, hop) in zip(panels, COLUMNS, strict=True):
                level = decibels(samples, window, hop)
                kept = level[:, : round(highest / labels.RATE * 2 * (level.shape[1] - 1)) + 1]
                extent = (0, len(samples) / labels.RATE, 0, highest / 1000)
                panel.imshow(
                    kept.T,
                    origin="lower",
                    aspect="auto",
                    extent=extent,
                    cmap="magma",
                    vmin=FLOOR_DB,
                    vmax=0,
                    interpolation="bilinear",
                )
                panel.set_ylabel("kHz")
            panels[0].set_title(title, loc="left")
        for panel in axes[-1]:
            panel.set_xlabel("s")
        _save(figure, out)


def decibels(samples: npt.ArrayLike, window: int, hop: int) -> npt.NDArray[np.float64]:
    """samples (N,) → magnitudes (F, 4 · window // 2 + 1) in dB below the loudest, Hann windows."""
    x = np.pad(np.asarray(samples, dtype=np.float64), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(x, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, 4 * window)) ** 2
    level: npt.NDArray[np.float64] = 10 * np.log10(
        np.maximum(power / max(power.max(), 1e-12), 1e-12)
    )
    return level


def _thinned(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 3) → at most POINTS rows, each a mean of neighbours."""
    groups = np.array_split(points, min(POINTS, len(points)))
    return np.array([group.mean(axis=0) for group in groups])


def _save(figure: Any, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    # Without the date, the same figures give the same file.
    metadata = {"Date": None} if out.suffix == ".svg" else None
    figure.savefig(out, dpi=80, metadata=metadata)
    plt.close(figure)
    if out.suffix == ".png":  # with 128 colours it is a third as large, and looks the same
        with Image.open(out) as picture:
            fewer = picture.quantize(128, method=Image.Quantize.FASTOCTREE)
        fewer.save(out, optimize=True)


if __name__ == "__main__":
    main()
