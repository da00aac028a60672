"""Options of say, read and daemon."""

from __future__ import annotations

from spark_mlx.cli.parsers.common import Commands, add_command, add_model, add_style


def add_say(commands: Commands) -> None:
    say = add_command(
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
    add_style(say, "make a voice up instead: its")
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
    add_model(say)
    say.add_argument("--seed", type=int, default=0, help="another seed, another reading (0)")
    say.add_argument("--temperature", type=float, default=0.8, help="0 is the likeliest (0.8)")
    say.add_argument("--top-k", type=int, default=50, help="candidates at most, 0 is all (50)")
    say.add_argument("--top-p", type=float, default=0.95, help="their probability, 1 is all (0.95)")


def add_read(commands: Commands) -> None:
    read = add_command(
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
    add_model(read)


def add_daemon(commands: Commands) -> None:
    daemon = add_command(
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
    add_model(daemon)
