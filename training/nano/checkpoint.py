"""A training's state, small enough for a repository: 16-bit numbers, and no optimisers.

    python training/nano/checkpoint.py pack build/nano training/nano/checkpoint
    python training/nano/checkpoint.py unpack training/nano/checkpoint build/nano

After the second, every trainer goes on from there; its optimiser begins anew, at a rate that rises
for some steps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import loop

# Part → what of its state is kept. The decoder's running mean is the better of its two states.
PARTS = {
    "tokens": {"model": "model"},
    "decoder": {"mean": "model", "head": "head"},
    "listener": {"model": "model"},
    "lm": {"mean": "model"},
}


def pack(build: Path, folder: Path) -> None:
    """Writes what there is of the parts in `build`."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = {}
    for part, kept in PARTS.items():
        path = build / part / f"{part}.pt"
        if not path.exists():
            continue
        state = loop.load(path, "cpu")
        tensors = {
            f"{name}/{key}": value.half() if value.dtype == torch.float32 else value
            for own, name in kept.items()
            for key, value in state[own].items()
        }
        save_file(
            {key: value.contiguous() for key, value in tensors.items()},
            folder / f"{part}.safetensors",
        )
        steps[part] = state["step"]
    (folder / "steps.json").write_text(json.dumps(steps, indent=1) + "\n")


def unpack(folder: Path, build: Path) -> None:
    """Writes the parts into `build`, as the trainers read them."""
    for part, step in json.loads((folder / "steps.json").read_text()).items():
        state: dict[str, Any] = {"step": step}
        for key, value in load_file(folder / f"{part}.safetensors").items():
            own, _, name = key.partition("/")
            whole = value.float() if value.dtype == torch.float16 else value
            state.setdefault(own, {})[name] = whole
        if part in ("decoder", "lm"):
            state["mean"] = {name: value.clone() for name, value in state["model"].items()}
        loop.save(build / part / f"{part}.pt", state)


def main() -> None:
    parser = argparse.ArgumentParser(description="Packs or unpacks a training's state.")
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    (pack if given.what == "pack" else unpack)(given.source, given.out)


if __name__ == "__main__":
    main()
