"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import TypeAlias

from spark_mlx.generation.labels import GENDERS, LEVELS

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, function: str, summary: str, example: str
) -> argparse.ArgumentParser:
    """Adds a command that runs `function`, written "module:name" below `spark_mlx`."""
    module, _, attribute = function.partition(":")
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module=f"spark_mlx.{module}", function=attribute)
    return parser


def add_style(parser: argparse.ArgumentParser, whose: str) -> None:
    parser.add_argument("--gender", choices=GENDERS, help=f"{whose} gender")
    parser.add_argument("--pitch", choices=LEVELS, help=f"{whose} pitch (moderate)")
    parser.add_argument("--speed", choices=LEVELS, help=f"{whose} speed (moderate)")


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    add_dtype(parser)


def add_dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="what the LM computes in")
