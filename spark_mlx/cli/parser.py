"""What `spark-mlx` understands. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
from typing import TypeAlias

from spark_mlx.convert.command import add_arguments, add_precision
from spark_mlx.generation.labels import GENDERS, LEVELS
from spark_mlx.version import __version__

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spark-mlx",
        description="Speech from text, in a voice cloned from a clip or made up from labels.",
        epilog='example: spark-mlx say "Hello." -o hello.wav',
    )
    parser.add_argument("--version", action="version", version=f"spark-mlx {__version__}")
    parser.add_argument("--debug", action="store_true", help="log, and show where errors come from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_say(commands)
    _add_read(commands)
    _add_daemon(commands)
    _add_voice(commands)
    _add_install(commands)
    _add_download(commands)
    _add_convert(commands)
    _add_doctor(commands)
    _add_bench(commands)
    return parser


def _command(
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


def _add_say(commands: Commands) -> None:
    say = _command(
        commands,
        "say",
        "cli.say:say",
        "speak a text, aloud or into a file",
        '  spark-mlx say "Good morning." --voice alice -o morning.wav\n'
        "  spark-mlx say -f letter.txt --gender male --pitch low -r 220 -i\n"
        '  echo "From a pipe." | spark-mlx say',
    )
    source = say.add_mutually_exclusive_group()
    source.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="what to say; - or nothing reads stdin"
    )
    source.add_argument(
        "-f", "--file", "--input-file", metavar="FILE", help="a text file to say; - reads stdin"
    )
    say.add_argument(
        "-v",
        "--voice",
        help="a saved voice's name, an .npz file, or an audio file to clone on the spot; "
        "'?' lists the saved ones",
    )
    say.add_argument("--transcript", help="what that audio file says; brings the voice closer")
    _add_style(say, "make a voice up instead: its")
    say.add_argument(
        "-r",
        "--rate",
        type=int,
        default=180,
        metavar="WPM",
        help="words a minute, 90 to 540; 180 is the voice's own speed (180)",
    )
    say.add_argument(
        "-o",
        "--output",
        "--output-file",
        metavar="FILE",
        help="instead of playing: .wav, .flac, .mp3 or .ogg; - writes a wav to stdout",
    )
    say.add_argument("--srt", metavar="FILE", help="also write SubRip subtitles")
    say.add_argument("--vtt", metavar="FILE", help="also write WebVTT subtitles")
    say.add_argument(
        "-a", "--audio-device", metavar="DEVICE", help="where to play; '?' lists the devices"
    )
    say.add_argument(
        "-i", "--interactive", action="store_true", help="show the sentence that is being heard"
    )
    say.add_argument("--progress", action="store_true", help="show a progress bar")
    say.add_argument(
        "--verbose", action="store_true", help="tell how fast it was, and whether sound was late"
    )
    _add_model(say)
    say.add_argument("--seed", type=int, default=0, help="another seed, another reading (0)")
    say.add_argument("--temperature", type=float, default=0.8, help="0 is the likeliest (0.8)")
    say.add_argument("--top-k", type=int, default=50, help="candidates at most, 0 is all (50)")
    say.add_argument("--top-p", type=float, default=0.95, help="their probability, 1 is all (0.95)")


def _add_read(commands: Commands) -> None:
    read = _command(
        commands,
        "read",
        "cli.read:read",
        "read a document aloud, and show the sentence that is heard",
        "  spark-mlx read book.epub\n"
        "  spark-mlx read notes.md --plain --rate 240\n"
        "  spark-mlx read --clipboard",
    )
    source = read.add_mutually_exclusive_group()
    source.add_argument(
        "file", nargs="?", metavar="FILE", help="text, Markdown, HTML, EPUB or PDF; - reads stdin"
    )
    source.add_argument("--clipboard", action="store_true", help="read what was copied")
    source.add_argument("--selection", action="store_true", help="read what is selected")
    read.add_argument(
        "--plain",
        action="store_true",
        help="print each sentence as a line, for braille displays and screen readers",
    )
    read.add_argument("--from-start", action="store_true", help="not where it was left last time")
    read.add_argument("-v", "--voice", help="a saved voice's name, or an .npz file")
    read.add_argument(
        "-r",
        "--rate",
        type=int,
        metavar="WPM",
        help="words a minute, 90 to 540; 180 is the voice's own speed",
    )
    read.add_argument(
        "-a", "--device", "--audio-device", metavar="DEVICE", help="where to play, by its name"
    )
    _add_model(read)


def _add_daemon(commands: Commands) -> None:
    daemon = _command(
        commands,
        "daemon",
        "cli.daemon:daemon",
        "hold the model, and speak at once for say, read and screen readers",
        "  spark-mlx daemon --voice alice\n  spark-mlx daemon --status\n  spark-mlx daemon --stop",
    )
    what = daemon.add_mutually_exclusive_group()
    what.add_argument("--status", action="store_true", help="tell what the running one does")
    what.add_argument("--stop", action="store_true", help="end the running one")
    daemon.add_argument("--socket", metavar="PATH", help="where to listen (the user's own socket)")
    daemon.add_argument("-v", "--voice", help="of texts that name none: a name or an .npz file")
    daemon.add_argument(
        "-a", "--device", "--audio-device", metavar="DEVICE", help="where to play, by its name"
    )
    daemon.add_argument(
        "--idle-exit", type=float, metavar="MIN", help="end after so long without any use"
    )
    _add_model(daemon)


def _add_voice(commands: Commands) -> None:
    voice: argparse.ArgumentParser = commands.add_parser(
        "voice", help="clone, create and manage voices", description="Clone and manage voices."
    )
    actions = voice.add_subparsers(title="commands", metavar="COMMAND", required=True)

    clone = _command(
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

    create = _command(
        actions,
        "create",
        "cli.voice:create",
        "make up a voice that belongs to nobody",
        "  spark-mlx voice create --gender male --pitch low --seed 7 --name tom",
    )
    _add_style(create, "its")
    create.add_argument("--pitch-value", type=int, help="exact mean pitch in mels, 0 to 1000")
    create.add_argument("--speed-value", type=int, help="exact syllables a second, 0 to 10")
    create.add_argument("--seed", type=int, default=0, help="another seed, another voice (0)")
    _add_saving(create)

    _command(actions, "list", "cli.voice:list_", "list the saved voices", "  spark-mlx voice list")
    show = _command(
        actions, "show", "cli.voice:show", "show what a voice holds", "  spark-mlx voice show alice"
    )
    show.add_argument("name", help="a saved voice's name or an .npz file")
    show.add_argument("--json", action="store_true", help="print JSON")
    rename = _command(
        actions,
        "rename",
        "cli.voice:rename",
        "rename a saved voice",
        "  spark-mlx voice rename alice alice-2026",
    )
    rename.add_argument("old")
    rename.add_argument("new")
    remove = _command(
        actions,
        "remove",
        "cli.voice:remove",
        "delete a saved voice",
        "  spark-mlx voice remove alice",
    )
    remove.add_argument("name")


def _add_install(commands: Commands) -> None:
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

    add = _command(
        adding,
        "speech-dispatcher",
        "cli.install:add_speech_dispatcher",
        "speak for screen readers on Linux",
        "  spark-mlx install speech-dispatcher --voice alice",
    )
    add.add_argument("--default", action="store_true", help="speak for all who choose no module")
    add.add_argument("--voice", help="a saved voice, for all who choose none")
    add.add_argument("--model", help="a model folder or a hub id (the default model)")
    _command(
        removing,
        "speech-dispatcher",
        "cli.install:remove_speech_dispatcher",
        "no longer speak for screen readers on Linux",
        "  spark-mlx uninstall speech-dispatcher",
    )
    add = _command(
        adding,
        "quick-action",
        "cli.install:add_quick_action",
        "speak selected text from the Services menu of macOS",
        "  spark-mlx install quick-action",
    )
    remove = _command(
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


def _add_download(commands: Commands) -> None:
    download = _command(
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


def _add_convert(commands: Commands) -> None:
    convert = _command(
        commands,
        "convert",
        "convert.command:run",
        "turn a checkpoint in the published layout into a model folder",
        "  spark-mlx convert Spark-TTS-0.5B my-model --dtype bfloat16",
    )
    add_arguments(convert)


def _add_doctor(commands: Commands) -> None:
    doctor = _command(
        commands,
        "doctor",
        "cli.doctor:doctor",
        "check versions, device, model, numbers and sound",
        "  spark-mlx doctor",
    )
    _add_model(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")


def _add_bench(commands: Commands) -> None:
    bench = _command(
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
    _add_dtype(bench)
    bench.add_argument("--quantize", type=int, choices=(8, 4), help="bits of random weights")
    bench.add_argument("--repeats", type=int, default=5, help="how often each is measured (5)")
    bench.add_argument("--json", action="store_true", help="print JSON")


def _add_style(parser: argparse.ArgumentParser, whose: str) -> None:
    parser.add_argument("--gender", choices=GENDERS, help=f"{whose} gender")
    parser.add_argument("--pitch", choices=LEVELS, help=f"{whose} pitch (moderate)")
    parser.add_argument("--speed", choices=LEVELS, help=f"{whose} speed (moderate)")


def _add_saving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="what to call it")
    parser.add_argument("-o", "--output", metavar="FILE", help="save to this .npz file instead")
    parser.add_argument("--force", action="store_true", help="replace a voice of that name")
    _add_model(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a model folder or a hub id (the default model)")
    _add_dtype(parser)


def _add_dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="what the LM computes in")
