"""`spark-mlx voice`: voices cloned, created, listed, shown, renamed, removed."""

from __future__ import annotations

import argparse
import dataclasses
import json

from spark_mlx import voices
from spark_mlx.cli.models import load_model
from spark_mlx.voice import Voice


def clone(args: argparse.Namespace) -> int:
    voice = load_model(args).clone(
        args.audio, transcript=args.transcript, name=args.name, consent=args.consent
    )
    return _save(voice, args)


def create(args: argparse.Namespace) -> int:
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


def _save(voice: Voice, args: argparse.Namespace) -> int:
    if args.output is None:
        voices.save(voice, overwrite=args.force)
        print(voice.name)
    else:
        voice.save(args.output)
        print(args.output)
    return 0


def list_(args: argparse.Namespace) -> int:
    for entry in voices.listing():
        print(f"{entry.name}\t{'preset, for nano' if entry.preset else entry.path}")
    return 0


def show(args: argparse.Namespace) -> int:
    voice = voices.find(args.name)
    fields = dataclasses.asdict(voice)
    for tokens in ("global_tokens", "semantic_tokens"):
        if fields[tokens] is not None:
            fields[tokens] = fields[tokens].tolist()
    if args.json:
        print(json.dumps(fields, ensure_ascii=False))
        return 0
    semantic = fields.pop("semantic_tokens")
    fields["global_tokens"] = " ".join(map(str, fields["global_tokens"]))
    if voice.attributes is not None:
        fields["attributes"] = ", ".join(f"{k} {v}" for k, v in fields["attributes"].items())
    fields["transcript"] = voice.transcript or ""
    fields["semantic_tokens"] = "" if semantic is None else f"{len(semantic)} of them"
    for key, value in fields.items():
        if value:
            print(f"{key.replace('_', ' ') + ':':<17}{value}")
    return 0


def rename(args: argparse.Namespace) -> int:
    voices.rename(args.old, args.new)
    return 0


def remove(args: argparse.Namespace) -> int:
    voices.remove(args.name)
    return 0
