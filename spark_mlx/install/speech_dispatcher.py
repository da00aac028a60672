"""A voice for the screen reader: speech-dispatcher is told of the module, for this user only.

    ~/.local/libexec/speech-dispatcher-modules/sd_spark-mlx   starts the module
    ~/.config/speech-dispatcher/modules/spark-mlx.conf        its options
    ~/.config/speech-dispatcher/speechd.conf                  only where that is needed

speech-dispatcher finds modules in the first folder by itself, but only while its configuration
names none: one AddModule line, and every module without one is gone, with it the voice that the
user has been listening to. So a line is added only where there are others.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from spark_mlx.errors import InstallError
from spark_mlx.install import blocks

NAME = "spark-mlx"
# Since this version modules are looked for in the user's folder, and the server plays their sound.
OLDEST = (0, 11)
_ADDED = re.compile(rb"^[ \t]*AddModule\b", re.IGNORECASE | re.MULTILINE)
_MADE_FROM = "# This file was made from "
_VARIABLES = ("SPARK_MLX_HOME", "SPARK_MLX_MODEL")
_OPTIONS = """\
# How spark-mlx speaks for speech-dispatcher. It is read when speech-dispatcher starts.
# Voice "alice"               the voice of those who choose none
# VoiceFemale1 "alice"        also Male1 to Male3, Female1 to Female3, ChildMale, ChildFemale
# Model "/path/to/a/model"    instead of the default model
# Daemon off                  do not ask spark-mlx daemon
# Clips off                   do not speak characters and keys beforehand
# SoundIconFolder "/usr/share/sounds/sound-icons"
"""


@dataclass(frozen=True)
class Places:
    """Where speech-dispatcher looks, for this user and for all."""

    starter: Path
    options: Path
    config: Path
    system: Path

    @classmethod
    def find(cls) -> Places:
        """By the variables that speech-dispatcher itself goes by."""
        config = platformdirs.user_config_path() / "speech-dispatcher"
        data = platformdirs.user_data_path()
        program = shutil.which("speech-dispatcher") or "/usr/bin/speech-dispatcher"
        # /usr/bin belongs to /etc, and /usr/local/bin to /usr/local/etc.
        prefix = Path(program).parent.parent
        etc = Path("/etc") if prefix == Path("/usr") else prefix / "etc"
        return cls(
            starter=data.parent / "libexec" / "speech-dispatcher-modules" / f"sd_{NAME}",
            options=config / "modules" / f"{NAME}.conf",
            config=config / "speechd.conf",
            system=etc / "speech-dispatcher" / "speechd.conf",
        )

    @property
    def backup(self) -> Path:
        """The user's configuration as it was before."""
        return self.config.with_name("speechd.conf.before-spark-mlx")


def install(
    *, default: bool = False, voice: str | None = None, model: str | None = None
) -> list[Path]:
    """Makes the module known; doing it again changes only what is asked for differently.

    Args:
        default: whether it speaks for those who choose no module.
        voice, model: of those who choose no voice; None for the default ones.

    Returns:
        The files that were written.

    Raises:
        InstallError: there is no speech-dispatcher, or it is too old, or a file cannot be written.
    """
    check()
    places = Places.find()
    written = [places.starter, places.options]
    # speech-dispatcher goes from the data folder to its neighbour, which takes it to be there.
    blocks.make(platformdirs.user_data_path())
    blocks.write(places.starter, _starter(), executable=True)
    values = [f'{key} "{value}"' for key, value in (("Voice", voice), ("Model", model)) if value]
    # The comments belong to the block, so that nothing of ours stays behind.
    lines = [*_OPTIONS.splitlines(), *values]
    blocks.write(places.options, blocks.with_block(blocks.read(places.options) or b"", lines))

    own = blocks.read(places.config)
    base = blocks.read(places.system) or b"" if own is None else blocks.without_block(own)
    lines = []
    if _ADDED.search(base):
        lines.append(f'AddModule "{NAME}" "{places.starter}" "{places.options.name}"')
    if default:
        lines.append(f"DefaultModule {NAME}")
    if lines:
        note = _made_from(own)
        if own is None and base:
            note = f"{_MADE_FROM}{places.system} ({hashlib.sha256(base).hexdigest()})."
        if own is not None and not blocks.block(own):
            blocks.write(places.backup, own)
        blocks.write(places.config, blocks.with_block(base, [note, *lines] if note else lines))
        written.append(places.config)
    elif own is not None and blocks.block(own):
        _restore(places, own)
    return written


def uninstall() -> list[Path]:
    """Takes back what `install` did; what was written by others since then stays.

    Returns:
        The files that were removed or changed.

    Raises:
        InstallError: a file cannot be removed.
    """
    places = Places.find()
    changed = []
    if places.starter.exists():
        folder = places.starter.parent
        blocks.remove(places.starter, folder, folder.parent)
        changed.append(places.starter)
    own = blocks.read(places.config)
    if own is not None and blocks.block(own):
        _restore(places, own)
        changed.append(places.config)
    options = blocks.read(places.options)
    if options is not None and blocks.block(options):
        rest = blocks.without_block(options)
        if rest.strip():
            blocks.write(places.options, rest)
        else:
            blocks.remove(places.options, places.options.parent, places.config.parent)
        changed.append(places.options)
    if not changed:
        raise InstallError("speech-dispatcher was not told of spark-mlx; there is nothing to undo")
    return changed


def check() -> None:
    """
    Raises:
        InstallError: there is no speech-dispatcher, or it is too old.
    """
    program = shutil.which("speech-dispatcher")
    if program is None:
        raise InstallError(
            "speech-dispatcher is not installed here; install it first, for example with: "
            "apt install speech-dispatcher"
        )
    version = _version(program)
    if version is not None and version < OLDEST:
        found = ".".join(map(str, version))
        raise InstallError(
            f"speech-dispatcher {found} is too old for modules of a user; update it to 0.11"
        )


def _version(program: str) -> tuple[int, ...] | None:
    """The version of speech-dispatcher; None if it does not say."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(rb"(\d+)\.(\d+)", done.stdout)
    return None if match is None else (int(match[1]), int(match[2]))


def _starter() -> bytes:
    """A script, since the session that starts speech-dispatcher knows nothing of this shell."""
    exports = [
        f"export {name}={shlex.quote(value)}" for name in _VARIABLES if (value := os.getenv(name))
    ]
    start = f'exec {blocks.command("sd_spark-mlx", "spark_mlx.speechd")} "$@"'
    return "\n".join(["#!/bin/sh", "# Written by spark-mlx install.", *exports, start, ""]).encode()


def _restore(places: Places, own: bytes) -> None:
    """Takes our lines out of the user's configuration; one that was made for them goes."""
    rest = blocks.without_block(own)
    made_from = _made_from(own)
    same = hashlib.sha256(rest).hexdigest() in made_from if made_from else not rest
    if same and not places.backup.exists():
        blocks.remove(places.config, places.config.parent)
        return
    blocks.write(places.config, rest)
    # What the user has changed since may be worth less to him than how it was; so it is kept.
    if blocks.read(places.backup) == rest:
        blocks.remove(places.backup)


def _made_from(own: bytes | None) -> str:
    """The line that says what a configuration was copied from, or ""."""
    lines = blocks.block(own or b"")
    return next((line for line in lines if line.startswith(_MADE_FROM)), "")
