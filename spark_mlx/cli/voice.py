"""`spark-mlx voice`: clone, create and manage voices."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import NamedTuple

from spark_mlx import voices
from spark_mlx.checkpoints import hub
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.cli.models import load_model
from spark_mlx.cli.printing import answer, note
from spark_mlx.errors import SparkError, UsageError, VoiceError
from spark_mlx.voice import Voice


class Row(NamedTuple):
    """A line of `voice list`."""

    name: str
    gender: str
    origin: str
    remark: str


def clone(args: argparse.Namespace) -> int:
    _check_target(args)
    if not args.consent:
        note("clone only voices whose owner agreed; --consent keeps how they did")
    voice = load_model(args).clone(
        args.audio, transcript=args.transcript, name=args.name, consent=args.consent
    )
    return _save(voice, args)


def create(args: argparse.Namespace) -> int:
    _check_target(args)
    voice = load_model(args).create_voice(
        gender=args.gender or "female",
        pitch=args.pitch or "moderate",
        speed=args.speed or "moderate",
        pitch_value=args.pitch_value,
        speed_value=args.speed_value,
        seed=args.seed,
        name=args.name,
    )
    return _save(voice, args)


def list_(args: argparse.Namespace) -> int:
    for row in table():
        answer("\t".join(row))
    return 0


def show(args: argparse.Namespace) -> int:
    voice = voices.find(args.name)
    fields = dataclasses.asdict(voice)
    for tokens in ("global_tokens", "semantic_tokens"):
        if fields[tokens] is not None:
            fields[tokens] = fields[tokens].tolist()
    if args.json:
        # Escapes keep control characters, and halves of characters, out of the terminal.
        print(json.dumps(fields))
        return 0
    semantic = fields.pop("semantic_tokens")
    fields["global_tokens"] = " ".join(map(str, fields["global_tokens"]))
    if voice.attributes is not None:
        fields["attributes"] = ", ".join(f"{k} {v}" for k, v in fields["attributes"].items())
    fields["transcript"] = voice.transcript or ""
    fields["semantic_tokens"] = "" if semantic is None else f"{len(semantic)} of them"
    for key, value in fields.items():
        if value:
            answer(f"{key.replace('_', ' ') + ':':<17}{value}")
    return 0


def default(args: argparse.Namespace) -> int:
    if args.name is not None and args.clear:
        raise UsageError("give a name, or --clear, not both")
    if args.name is not None or args.clear:
        voices.choose_default(args.name)
    if (codec := _codec()) is not None:
        voices.default(codec)  # raises if the chosen one is damaged
    answer(_default_name() or "none: the model makes one up")
    return 0


def import_(args: argparse.Namespace) -> int:
    voice = Voice.load(args.file)
    name = args.name or Path(args.file).stem
    voices.save(dataclasses.replace(voice, name=name), overwrite=args.force)
    answer(name)
    return 0


def export(args: argparse.Namespace) -> int:
    _check_overwrite(args.file, args.force)
    voices.find(args.name).save(args.file)
    answer(args.file)
    return 0


def rename(args: argparse.Namespace) -> int:
    voices.rename(args.old, args.new)
    return 0


def remove(args: argparse.Namespace) -> int:
    voices.remove(args.name)
    return 0


def table() -> list[Row]:
    """All named voices: gender if known, origin, and a remark on the file; damaged ones too."""
    codec, default = _codec(), _default_name()
    rows = []
    for entry in voices.listing():
        remarks = ["the default"] if entry.name == default else []
        remarks.append("preset" if entry.preset else str(entry.path))
        try:
            voice = Voice.load(entry.path)
        except VoiceError as error:
            newer = "newer spark-mlx" in str(error)
            problem = "of a newer spark-mlx" if newer else "damaged"
            rows.append(Row(entry.name, "", "", "; ".join([problem, *remarks])))
            continue
        if codec not in (None, voice.codec):
            remarks.append("for another model")
        gender = "" if voice.attributes is None else voice.attributes.gender
        rows.append(Row(entry.name, gender, voice.origin, "; ".join(remarks)))
    return rows


def _default_name() -> str | None:
    """The name of the voice that the default model speaks with."""
    codec = _codec()
    if codec is None:
        return voices.default_name()
    try:
        chosen = voices.default(codec)
    except VoiceError:
        return None  # `voice list` marks it as damaged, if it is there at all
    return None if chosen is None else chosen.name


def _codec() -> str | None:
    """The fingerprint of the default model's codec; None if the model is not on this machine."""
    chosen = os.environ.get(hub.VARIABLE)
    if chosen and not Path(chosen).is_dir():
        return None  # a hub id, which would be fetched
    try:
        return ModelConfig.load(hub.resolve(None)).fingerprint.codec
    except SparkError:
        return None


def _check_target(args: argparse.Namespace) -> None:
    """Refuse a name or file that the result could not have, before the model is loaded."""
    if args.output is not None:
        if Path(args.output).suffix != ".npz":
            raise UsageError(f"{args.output} should end in .npz, as saved voices do")
        _check_overwrite(args.output, args.force)
    if args.name is not None:
        voices.check_name(args.name)
        if args.output is None and not args.force and args.name in voices.names():
            raise VoiceError(
                f"there is a voice {args.name!r} already; choose another name, or --force"
            )


def _check_overwrite(path: str, force: bool) -> None:
    if Path(path).exists() and not force:
        raise VoiceError(f"{path} exists; choose another file, or replace it with --force")


def _save(voice: Voice, args: argparse.Namespace) -> int:
    if args.output is None:
        voices.save(voice, overwrite=args.force)
        answer(voice.name)
    else:
        voice.save(args.output)
        answer(args.output)
    return 0
