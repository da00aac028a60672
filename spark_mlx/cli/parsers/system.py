"""Options of install, uninstall, download, convert, doctor and bench."""

from __future__ import annotations

import argparse

from spark_mlx.cli.parsers.common import Commands, add_command, add_dtype, add_model
from spark_mlx.convert.command import add_arguments, add_precision


def add_install(commands: Commands) -> None:
    install: argparse.ArgumentParser = commands.add_parser(
        "install",
        help="speak for the screen reader, or from the Services menu",
        description="Make spark-mlx known to the system.",
    )
    adding = install.add_subparsers(title="commands", metavar="COMMAND", required=True)
    uninstall: argparse.ArgumentParser = commands.add_parser(
        "uninstall", help="undo install", description="Undo install."
    )
    removing = uninstall.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add = add_command(
        adding,
        "speech-dispatcher",
        "cli.install:add_speech_dispatcher",
        "speak for screen readers on Linux",
        "  spark-mlx install speech-dispatcher --voice alice",
    )
    add.add_argument("--default", action="store_true", help="speak for all who choose no module")
    add.add_argument("--voice", help="a saved voice, for all who choose none")
    add.add_argument("--model", help="a model folder or a hub id (the default model)")
    add_command(
        removing,
        "speech-dispatcher",
        "cli.install:remove_speech_dispatcher",
        "no longer speak for screen readers on Linux",
        "  spark-mlx uninstall speech-dispatcher",
    )
    add = add_command(
        adding,
        "quick-action",
        "cli.install:add_quick_action",
        "speak selected text from the Services menu of macOS",
        "  spark-mlx install quick-action",
    )
    remove = add_command(
        removing,
        "quick-action",
        "cli.install:remove_quick_action",
        "leave the Services menu of macOS",
        "  spark-mlx uninstall quick-action",
    )
    for parser in (add, remove):
        parser.add_argument(
            "--to", metavar="FOLDER", help="instead of ~/Library/Services, which only a Mac has"
        )


def add_download(commands: Commands) -> None:
    download = add_command(
        commands,
        "download",
        "cli.models:download",
        "fetch the published model and convert it",
        "  spark-mlx download --quantize 8",
    )
    add_precision(download)
    download.add_argument("--force", action="store_true", help="fetch and convert again")
    download.add_argument(
        "--keep-source", action="store_true", help="keep the 3.9 GB for another conversion"
    )


def add_convert(commands: Commands) -> None:
    convert = add_command(
        commands,
        "convert",
        "convert.command:run",
        "turn a checkpoint in the published layout into a model folder",
        "  spark-mlx convert Spark-TTS-0.5B my-model --dtype bfloat16",
    )
    add_arguments(convert)


def add_doctor(commands: Commands) -> None:
    doctor = add_command(
        commands,
        "doctor",
        "cli.doctor:doctor",
        "check versions, device, model, numbers and sound",
        "  spark-mlx doctor",
    )
    add_model(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")


def add_bench(commands: Commands) -> None:
    bench = add_command(
        commands,
        "bench",
        "cli.bench:bench",
        "measure how fast this machine clones and speaks",
        "  spark-mlx bench\n  spark-mlx bench --random full --json > here.json",
    )
    source = bench.add_mutually_exclusive_group()
    source.add_argument("--model", help="a model folder or a hub id (the default model)")
    source.add_argument(
        "--random",
        choices=("full", "tiny"),
        help="random weights, made in memory: of the published shape, or tiny ones for a trial",
    )
    add_dtype(bench)
    bench.add_argument("--quantize", type=int, choices=(8, 4), help="bits of random weights")
    bench.add_argument("--repeats", type=int, default=5, help="how often each is measured (5)")
    bench.add_argument("--json", action="store_true", help="print JSON")
