"""Pictures of nano: how its losses fell, and spectrograms one below the other.

    python training/nano/pictures.py curves build/nano/decoder/decoder.csv build/nano/decoder.svg
    python training/nano/pictures.py sounds build/nano.png teacher.flac copy.flac nano.flac

Backgrounds are transparent and lines grey or bright, for light pages and dark ones.
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
import soundfile

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
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "nano",  # the same picture gives the same file
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
# What tells more about the machinery than about the model.
LEFT_OUT = {"used", "dead", "epoch", "tokens/s", "seconds/s"}
# (highest frequency, window) of the columns: in Hz and samples.
COLUMNS = ((8000, 128), (1500, 1024))

Points = dict[str, dict[str, list[tuple[float, float]]]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws losses or spectrograms.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    losses = kinds.add_parser("curves", help="losses of a training")
    losses.add_argument("csv", type=Path)
    losses.add_argument("out", type=Path, help="an .svg or .png file")
    sounds = kinds.add_parser("sounds", help="spectrograms of clips")
    sounds.add_argument("out", type=Path, help="a .png file")
    sounds.add_argument("clips", type=Path, nargs="+", help="named after who speaks")
    given = parser.parse_args()
    if given.kind == "curves":
        curves(read_curves(given.csv), given.out)
    else:
        spectrograms(given.clips, given.out)


def read_curves(path: Path) -> Points:
    """A CSV of loop.Curve → name → kind ("train" or "valid") → points (step, value)."""
    found: Points = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            point = float(row["step"]), float(row["value"])
            found[row["name"]].setdefault(row["kind"], []).append(point)
    return found


def curves(losses: Points, out: Path) -> None:
    """Draws a panel for each loss, against steps."""
    names = [name for name in losses if name not in LEFT_OUT]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    with mpl.rc_context(STYLE):
        size = (2.8 * columns, 1.9 * rows)
        figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, squeeze=False)
        for panel, name in zip(axes.flat, names, strict=False):
            for kind, colour in (("train", BLUE), ("valid", ORANGE)):
                points = losses[name].get(kind)
                if points:
                    panel.plot(*zip(*points, strict=True), color=colour, label=kind, lw=1)
            panel.set_title(name)
        for panel in axes.flat[len(names) :]:
            panel.axis("off")
        axes.flat[0].legend()
        figure.tight_layout()
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
        plt.close(figure)


def spectrograms(clips: Sequence[Path], out: Path) -> None:
    """A row for each clip: all frequencies in short windows, and the lowest in long ones."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(clips), len(COLUMNS), figsize=(12, 2.2 * len(clips)), squeeze=False
        )
        for row, path in zip(axes, clips, strict=True):
            samples, rate = soundfile.read(path, dtype="float32")
            for panel, (highest, window) in zip(row, COLUMNS, strict=True):
                hiss = 1e-5 * np.random.default_rng(0).standard_normal(len(samples))
                panel.specgram(
                    samples + hiss,
                    NFFT=window,
                    pad_to=max(window, 512),
                    Fs=rate,
                    noverlap=window - window // 8,
                    vmin=-120,
                    vmax=-30,
                    cmap="magma",
                )
                panel.set_ylim(0, highest)
            row[0].set_title(path.stem, loc="left")
        figure.tight_layout()
        figure.savefig(out, dpi=70)
        plt.close(figure)


if __name__ == "__main__":
    main()
