"""Options of `voice` and its commands."""

from __future__ import annotations

import argparse

from spark_mlx.cli.parsers.common import Commands, add_command, add_model, add_style


def add_voice(commands: Commands) -> None:
    voice: argparse.ArgumentParser = commands.add_parser(
        "voice", help="clone, create and manage voices", description="Clone and manage voices."
    )
    actions = voice.add_subparsers(title="commands", metavar="COMMAND", required=True)

    clone = add_command(
        actions,
        "clone",
        "cli.voice:clone",
        "make a voice from a clip of someone speaking",
        '  spark-mlx voice clone alice.wav --consent "Alice, by mail, 3 May"',
    )
    clone.add_argument("audio", help="a few seconds of clear speech, 0.3 s to 60 s")
    clone.add_argument("--transcript", help="what the clip says; brings the voice closer")
    clone.add_argument("--consent", default="", help="how the voice's owner agreed; is kept")
    _add_saving(clone)

    create = add_command(
        actions,
        "create",
        "cli.voice:create",
        "make up a voice that belongs to nobody",
        "  spark-mlx voice create --gender male --pitch low --seed 7 --name tom",
    )
    add_style(create, "its")
    create.add_argument("--pitch-value", type=int, help="exact mean pitch in mels, 0 to 1000")
    create.add_argument("--speed-value", type=int, help="exact syllables a second, 0 to 10")
    create.add_argument("--seed", type=int, default=0, help="another seed, another voice (0)")
    _add_saving(create)

    add_command(
        actions, "list", "cli.voice:list_", "list the saved voices", "  spark-mlx voice list"
    )
    show = add_command(
        actions, "show", "cli.voice:show", "show what a voice holds", "  spark-mlx voice show alice"
    )
    show.add_argument("name", help="a saved voice's name or an .npz file")
    show.add_argument("--json", action="store_true", help="print JSON")
    default = add_command(
        actions,
        "default",
        "cli.voice:default",
        "choose the voice of texts that name none, or tell which it is",
        "  spark-mlx voice default alice\n  spark-mlx voice default --clear",
    )
    default.add_argument("name", nargs="?", help="a saved voice's name")
    default.add_argument("--clear", action="store_true", help="go back to the presets")
    import_ = add_command(
        actions,
        "import",
        "cli.voice:import_",
        "take a voice from a file",
        "  spark-mlx voice import alice.npz --name alice --force",
    )
    import_.add_argument("file", help="an .npz file that voice export or clone -o wrote")
    import_.add_argument("--name", help="what to call it (the file's name)")
    import_.add_argument("--force", action="store_true", help="replace a voice of that name")
    export = add_command(
        actions,
        "export",
        "cli.voice:export",
        "copy a voice to a file",
        "  spark-mlx voice export alice alice.npz",
    )
    export.add_argument("name", help="a saved voice's name")
    export.add_argument("file", help="the .npz file to write")
    export.add_argument("--force", action="store_true", help="replace the file")
    rename = add_command(
        actions,
        "rename",
        "cli.voice:rename",
        "rename a saved voice",
        "  spark-mlx voice rename alice alice-2026",
    )
    rename.add_argument("old")
    rename.add_argument("new")
    remove = add_command(
        actions,
        "remove",
        "cli.voice:remove",
        "delete a saved voice",
        "  spark-mlx voice remove alice",
    )
    remove.add_argument("name")


def _add_saving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="what to call it")
    parser.add_argument("-o", "--output", metavar="FILE", help="save to this .npz file instead")
    parser.add_argument(
        "--force", action="store_true", help="replace a voice of that name, or the file"
    )
    add_model(parser)
