"""`sd_spark-mlx`: what speech-dispatcher starts, and its commands.

a command and its block → a reply at once; what it begins goes on in other threads
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence

from spark_mlx.errors import SparkError
from spark_mlx.speechd.clip_maker import ClipMaker
from spark_mlx.speechd.listing import Listing
from spark_mlx.speechd.message import Message
from spark_mlx.speechd.message_builder import MessageBuilder
from spark_mlx.speechd.message_speaker import MessageSpeaker
from spark_mlx.speechd.output import OwnDevice
from spark_mlx.speechd.protocol import Wire
from spark_mlx.speechd.settings import Options
from spark_mlx.speechd.source import Sources

log = logging.getLogger(__name__)

_BAD_SYNTAX = "302 ERROR BAD SYNTAX"
_BAD_VALUE = "303 ERROR INVALID PARAMETER OR VALUE"
_CANNOT_SPEAK = "301 ERROR CANT SPEAK"


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the server on stdin and stdout until it says QUIT or is gone."""
    argv = sys.argv[1:] if argv is None else argv
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s spark-mlx %(levelname)s %(message)s"
    )
    # A stop must not wait for its turn behind the model's thread.
    sys.setswitchinterval(0.001)
    # Whatever a library prints must not get between the protocol's lines.
    sink = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        wire = Wire(sys.stdin.fileno(), sink)
        options = Options.load(argv[0] if argv else None)
        status = Module(wire, options, Sources(options.model, options.daemon)).run()
    except BrokenPipeError:
        status = 1
    except KeyboardInterrupt:  # started by hand in a terminal
        status = 130
    sys.stderr.flush()
    # A model in the middle of a sum would hold the process back, and nothing is left to be done.
    os._exit(status)


class Module:
    """The commands.

    Args:
        sources: makes the sound.
    """

    def __init__(self, wire: Wire, options: Options, sources: Sources) -> None:
        self._wire = wire
        self._options = options
        self._sources = sources
        self._listing = Listing()
        self._messages = MessageBuilder(wire, options, sources, self._listing)
        self._speaker = MessageSpeaker(wire, self._message_ended)
        self._clip_maker: ClipMaker | None = None
        self._log_file: logging.Handler | None = None
        self._log_level = logging.WARNING
        self._commands: dict[str, Callable[[str], None]] = {
            "AUDIO": lambda _: self._audio(),
            "LIST": self._list,
            "SET": lambda _: self._set(),
            "SPEAK": lambda _: self._speak(self._messages.spoken),
            "CHAR": lambda _: self._speak(self._messages.character, lines=1),
            "KEY": lambda _: self._speak(self._messages.key, lines=1),
            "SOUND_ICON": lambda _: self._speak(self._messages.icon, lines=1),
            "STOP": lambda _: self._speaker.stop(),
            "PAUSE": lambda _: self._speaker.stop(pause=True),
            "LOGLEVEL": lambda _: self._set_log_level(),
            "DEBUG": self._debug,
        }

    def run(self) -> int:
        """Reads commands until there are no more; the exit status."""
        line = self._wire.read_line()
        if line is None:
            return 0
        if line != "INIT":
            log.error("the server began with %r, not with INIT", line)
            return 3
        try:
            self._listing.folder = self._sources.folder()
        except SparkError as error:
            self._wire.reply(f"399-{error}", "399 ERR CANT INIT MODULE")
            log.error("%s", error)
            return 1
        self._wire.reply("299-spark-mlx speaks", "299 OK LOADED SUCCESSFULLY")
        threading.Thread(target=self._prepare, name="spark-mlx start", daemon=True).start()
        while (line := self._wire.read_line()) is not None:
            command, _, rest = line.partition(" ")
            if command == "QUIT":
                self._speaker.stop()
                self._wire.reply("210 OK QUIT")
                return 0
            if command not in self._commands:
                self._wire.reply("300 ERR UNKNOWN COMMAND")
                continue
            try:
                self._commands[command](rest.strip())
            except BrokenPipeError:
                raise
            except Exception:  # one command must not silence the user
                log.exception("%s went wrong", command)
                self._wire.reply("401 ERROR INTERNAL")
        self._speaker.stop()
        return 0

    def _prepare(self) -> None:
        """Has the model loaded, and the clips of the first voice made, before anyone asks."""
        self._sources.current()
        if self._options.clips:
            self._clip_maker = ClipMaker(self._sources.current)
            self._want_clips()

    def _message_ended(self) -> None:
        if self._clip_maker is not None:
            self._want_clips()
            self._clip_maker.go_on()

    def _want_clips(self) -> None:
        """Has the clips made of the voice and the language that are set now."""
        wanted = self._messages.clips_wanted()
        if wanted is not None and self._clip_maker is not None:
            self._clip_maker.want(*wanted)

    # Commands that are answered at once.

    def _audio(self) -> None:
        self._wire.reply("207 OK RECEIVING AUDIO SETTINGS")
        values = self._values()
        if values is None:
            return
        # An old server names the sound system that we are to play with instead.
        method = dict(values).get("audio_output_method", "")
        self._messages.device = None if method == "server" else OwnDevice()
        if self._messages.device is not None:
            try:
                OwnDevice.check()
            except SparkError as error:
                log.error("%s", error)
                self._wire.reply(f"300-{error}", "300 MODULE ERROR")
                return
        self._wire.reply("203 OK AUDIO INITIALIZED")

    def _list(self, rest: str) -> None:
        what, *filters = rest.split() or [""]
        if what != "VOICES":
            self._wire.reply("300 ERR UNKNOWN COMMAND")
            return
        lines = self._listing.lines(filters[0] if filters else None)
        if len(filters) > 1 and filters[1].lower() != "none":  # variants we have none of
            lines = []
        if lines:
            self._wire.reply(*(f"200-{line}" for line in lines), "200 OK VOICE LIST SENT")
        else:
            self._wire.reply("304 CANT LIST VOICES")

    def _set(self) -> None:
        self._wire.reply("203 OK RECEIVING SETTINGS")
        values = self._values()
        if values is None:
            return
        settings = self._messages.settings
        wrong = False
        for name, value in values:
            try:
                settings = settings.with_value(name, value)
            except ValueError:
                log.warning("the server set %s to %r", name, value)
                wrong = True
        self._messages.settings = settings
        self._wire.reply(_BAD_VALUE if wrong else "203 OK SETTINGS RECEIVED")

    def _set_log_level(self) -> None:
        self._wire.reply("207 OK RECEIVING LOGLEVEL SETTINGS")
        values = self._values()
        if values is None:
            return
        level = dict(values).get("log_level", "")
        if not level.isdecimal():
            self._wire.reply(_BAD_VALUE)
            return
        steps = [logging.CRITICAL, logging.ERROR, logging.WARNING, logging.WARNING, logging.INFO]
        self._log_level = [*steps, logging.DEBUG][min(5, int(level))]
        logging.getLogger("spark_mlx").setLevel(self._log_level)
        self._wire.reply("203 OK LOGLEVEL SET")

    def _debug(self, rest: str) -> None:
        switch, _, file = rest.partition(" ")
        if switch not in ("ON", "OFF") or (switch == "ON" and not file):
            self._wire.reply(_BAD_SYNTAX)
            return
        logger = logging.getLogger("spark_mlx")
        if self._log_file is not None:
            logger.removeHandler(self._log_file)
            self._log_file.close()
            self._log_file = None
            logger.setLevel(self._log_level)
        if switch == "ON":
            try:
                self._log_file = logging.FileHandler(file, encoding="utf-8")
            except OSError as error:
                log.warning("cannot write %s: %s", file, error)
                self._wire.reply("303 CANT OPEN CUSTOM DEBUG FILE")
                return
            logger.addHandler(self._log_file)
            logger.setLevel(logging.DEBUG)
        self._wire.reply(f"200 OK DEBUGGING {switch}")

    def _values(self) -> list[tuple[str, str]] | None:
        """The settings of a block. None if it is broken, which is answered here, or cut off."""
        block = self._wire.read_block()
        if block is None:
            return None
        values = []
        for line in block:
            name, found, value = line.partition("=")
            if not found or not name or not value:
                self._wire.reply(_BAD_SYNTAX)
                return None
            values.append((name.strip(), value.strip()))
        return values

    # Messages.

    def _speak(self, make: Callable[[str], Message], lines: int | None = None) -> None:
        """Takes a message's block, and begins to speak it."""
        self._wire.reply("202 OK RECEIVING MESSAGE")
        block = self._wire.read_block()
        if block is None:
            return
        if lines is not None and len(block) > lines:
            self._wire.reply("305 DATA MORE THAN ONE LINE")
            return
        text = "\n".join(block)
        # The server lets another module speak when one is gone. A mute one it would keep.
        failure = self._sources.failure()
        if failure is not None:
            self._wire.reply(_CANNOT_SPEAK)
            log.error("this module ends: %s", failure)
            sys.stderr.flush()
            os._exit(1)
        if not text or self._speaker.busy:
            self._wire.reply(_CANNOT_SPEAK)
            return
        if self._clip_maker is not None:
            self._clip_maker.hold()
        message = make(text)
        self._wire.reply("200 OK SPEAKING")
        self._speaker.start(message)
