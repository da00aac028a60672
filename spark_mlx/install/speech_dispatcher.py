"""Register the module with speech-dispatcher, for this user only.

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
_STARTER_MARK = "# Written by spark-mlx install."
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
class Files:
    """The files of this user that speech-dispatcher reads, and the system's configuration."""

    starter: Path
    options: Path
    config: Path
    system: Path

    @classmethod
    def find(cls) -> Files:
        """Follow the variables that speech-dispatcher itself follows."""
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
    """Register the module; again, with other options, changes only those.

    Args:
        default: whether it speaks for those who choose no module.
        voice, model: of those who choose no voice; None for the default ones.

    Returns:
        The files that were written.

    Raises:
        InstallError: there is no speech-dispatcher, or it is too old, or a file cannot be written.
    """
    check()
    files = Files.find()
    written = [files.starter, files.options]
    if os.path.lexists(files.starter) and not _is_ours(files.starter):
        raise InstallError(f"{files.starter} is not of spark-mlx; move it away, then install again")
    # speech-dispatcher goes from the data folder to its neighbour, which takes it to be there.
    blocks.make(platformdirs.user_data_path())
    blocks.write(files.starter, _starter(), executable=True)
    values = [f'{key} "{value}"' for key, value in (("Voice", voice), ("Model", model)) if value]
    # The comments belong to the block, so that nothing of ours stays behind.
    lines = [*_OPTIONS.splitlines(), *values]
    blocks.write(files.options, blocks.with_block(blocks.read(files.options) or b"", lines))

    own = blocks.read(files.config)
    base = blocks.read(files.system) or b"" if own is None else blocks.without_block(own)
    lines = []
    if _ADDED.search(base):
        lines.append(f'AddModule "{NAME}" "{files.starter}" "{files.options.name}"')
    if default:
        lines.append(f"DefaultModule {NAME}")
    if lines:
        note = _made_from(own)
        if own is None and base:
            note = f"{_MADE_FROM}{files.system} ({hashlib.sha256(base).hexdigest()})."
        if own is not None and not blocks.block(own):
            blocks.write(files.backup, own)
        blocks.write(files.config, blocks.with_block(base, [note, *lines] if note else lines))
        written.append(files.config)
    elif own is not None and blocks.block(own):
        _restore(files, own)
    return written


def uninstall() -> list[Path]:
    """Undo `install`; lines that others wrote since then stay.

    Returns:
        The files that were removed or changed.

    Raises:
        InstallError: a file cannot be removed.
    """
    files = Files.find()
    changed = []
    if _is_ours(files.starter):
        folder = files.starter.parent
        blocks.remove(files.starter, folder, folder.parent)
        changed.append(files.starter)
    own = blocks.read(files.config)
    if own is not None and blocks.block(own):
        _restore(files, own)
        changed.append(files.config)
    options = blocks.read(files.options)
    if options is not None and blocks.block(options):
        rest = blocks.without_block(options)
        if rest.strip():
            blocks.write(files.options, rest)
        else:
            blocks.remove(files.options, files.options.parent, files.config.parent)
        changed.append(files.options)
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
    """A script that sets our variables, which the session does not have from this shell."""
    exports = [
        f"export {name}={shlex.quote(value)}" for name in _VARIABLES if (value := os.getenv(name))
    ]
    start = f'exec {blocks.command("sd_spark-mlx", "spark_mlx.speechd")} "$@"'
    return "\n".join(["#!/bin/sh", _STARTER_MARK, *exports, start, ""]).encode()


def _is_ours(starter: Path) -> bool:
    """Whether a file was written by `_starter`; a link is not followed."""
    try:
        if starter.is_symlink() or not starter.is_file():
            return False
        return starter.read_bytes().split(b"\n", 2)[1:2] == [_STARTER_MARK.encode()]
    except OSError:
        return False


def _restore(files: Files, own: bytes) -> None:
    """Take our block out of the user's configuration; remove a file that was made for it."""
    rest = blocks.without_block(own)
    made_from = _made_from(own)
    same = hashlib.sha256(rest).hexdigest() in made_from if made_from else not rest
    if same and not files.backup.exists():
        blocks.remove(files.config, files.config.parent)
        return
    blocks.write(files.config, rest)
    # The backup stays if the user has changed the file since: either may be the one he wants.
    if blocks.read(files.backup) == rest:
        blocks.remove(files.backup)


def _made_from(own: bytes | None) -> str:
    """The line that names the file a configuration was copied from, or ""."""
    lines = blocks.block(own or b"")
    return next((line for line in lines if line.startswith(_MADE_FROM)), "")
