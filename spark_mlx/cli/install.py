"""`spark-mlx install` and `uninstall`: the screen reader's voice, and the Services menu."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spark_mlx import voices
from spark_mlx.checkpoints import hub
from spark_mlx.install import quick_action, speech_dispatcher


def add_speech_dispatcher(args: argparse.Namespace) -> int:
    speech_dispatcher.check()
    # What the screen reader could not use is refused here, where somebody can see it.
    if args.voice is not None:
        voices.find(args.voice)
    hub.resolve(args.model)
    model = args.model
    if model is not None and Path(model).is_dir():
        model = str(Path(model).resolve())
    for path in speech_dispatcher.install(default=args.default, voice=args.voice, model=model):
        print(path)
    _note("speech-dispatcher reads this when it starts; end it, or log out and in again")
    _note('then try: spd-say -o spark-mlx "Hello."')
    return 0


def remove_speech_dispatcher(args: argparse.Namespace) -> int:
    for path in speech_dispatcher.uninstall():
        print(path)
    _note("speech-dispatcher forgets it when it starts again")
    return 0


def add_quick_action(args: argparse.Namespace) -> int:
    print(quick_action.install(None if args.to is None else Path(args.to)))
    _note(f"a key for {quick_action.TITLE!r}: System Settings, Keyboard, Shortcuts, Services")
    return 0


def remove_quick_action(args: argparse.Namespace) -> int:
    print(quick_action.uninstall(None if args.to is None else Path(args.to)))
    return 0


def _note(text: str) -> None:
    print(f"spark-mlx: {text}", file=sys.stderr)
