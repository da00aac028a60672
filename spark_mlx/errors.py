"""The errors a caller can meet. Each says what happened, with which value, and what to do about it.

The command line prints one as a single line and exits with status 1.
"""


class SparkError(Exception):
    """Anything spark-mlx refuses or cannot do; the base of the classes below."""


class ArgumentError(SparkError, TypeError):
    """An argument of a call is of the wrong type."""


class UsageError(SparkError):
    """Options of the command line that do not go together; exit status 2."""


class ConfigError(SparkError):
    """A configuration lacks a key, holds one nobody reads, or gives it an impossible value."""


class ModelError(SparkError):
    """A model folder or checkpoint is missing, incomplete, damaged or of another format."""


class DownloadError(SparkError):
    """The hub could not be reached or did not deliver what was asked for."""


class TextError(SparkError):
    """A text cannot be spoken."""


class AudioError(SparkError):
    """Sound cannot be read, written or used as a reference."""


class VoiceError(SparkError):
    """A saved voice is missing, damaged, or belongs to another codec."""


class SubtitleError(SparkError):
    """Subtitles cannot be written."""


class PlaybackError(SparkError):
    """No sound can be played on this machine."""


class DaemonError(SparkError):
    """The daemon cannot run, cannot be reached, or refuses a request."""


class GenerationError(SparkError):
    """The language model gave no usable speech."""


class InstallError(SparkError):
    """A part of the system is missing, or its settings cannot be written."""


def check_argument(
    name: str, value: object, kinds: type | tuple[type, ...], wanted: str = ""
) -> None:
    """Refuse an argument of the wrong type; True and False are no numbers.

    Args:
        wanted: the right type in words; by default the name of the one in `kinds`.

    Raises:
        ArgumentError: naming the argument, and both types.
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = wanted or kinds[0].__name__
        raise ArgumentError(f"{name} is a {type(value).__name__}; give {wanted}")
