"""Prepare a text for a model: str → pieces in spoken words, and warnings.

Refuses a text in a script that the model does not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spark_mlx.errors import TextError
from spark_mlx.text.scripts import foreign_share, language_names
from spark_mlx.text.segmentation import LONGEST_PIECE, Piece, segment
from spark_mlx.text.tidy import dropped

# Of the syllables: a text with more in other scripts is refused. Below that it may be a quotation,
# which a warning tells of.
MAX_FOREIGN = 0.2


@dataclass(frozen=True)
class PreparedText:
    """A text as it is spoken.

    Attributes:
        pieces: in order, at least one.
        warnings: a sentence for each kind of character that is not spoken.
        first: number of the first piece, of a text that is spoken in several calls.
    """

    pieces: Sequence[Piece]
    warnings: tuple[str, ...] = ()
    first: int = 0


def prepare(
    text: str,
    limit: int = LONGEST_PIECE,
    single_sentences: bool = False,
    languages: Sequence[str] | None = None,
    first: int = 0,
) -> PreparedText:
    """Prepare a text.

    Args:
        limit, single_sentences: see `segment`.
        languages: codes of the languages that the model speaks; None for any.
        first: number of the first piece.

    Raises:
        TextError: as `segment`, or most of the text is in a script of none of the languages.
    """
    pieces = segment(text, limit, single_sentences)
    warnings = [dropped(text)]
    if languages is not None:
        check_script(text, languages)
        share, script = foreign_share(text, languages)
        if share:
            known = language_names(languages)
            warnings.append(f"the model speaks {known}; words in {script} script may be wrong")
    return PreparedText(pieces, tuple(filter(None, warnings)), first)


def check_script(text: str, languages: Sequence[str]) -> None:
    """Refuse a text in a script that none of the languages is written in.

    Raises:
        TextError: more than `MAX_FOREIGN` of it is.
    """
    share, script = foreign_share(text, languages)
    if share > MAX_FOREIGN:
        raise TextError(
            f"the model speaks {language_names(languages)}, and {share:.0%} of the text is in "
            f"{script} script; choose a model that speaks it (spark-mlx download), or force it "
            "(--force, in Python force=True)"
        )
