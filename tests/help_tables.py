"""Tables of the options in docs/cli.md, from the parsers themselves.

    python tests/help_tables.py     writes the tables of docs/cli.md anew (`make help-tables`)

A table stands between `<!-- options of spark-mlx COMMAND -->` and `<!-- end of options -->`. Its
rows quote the help texts word for word.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from spark_mlx.cli.parser import build_parser

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
TABLE = re.compile(r"(<!-- options of (spark-mlx[^>\n]*) -->\n).*?(<!-- end of options -->)", re.S)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every command by its full name, `spark-mlx` itself included; groups of commands are not."""
    root = build_parser()
    found = {"spark-mlx": root}
    for name, parser in subcommands(root).items():
        inner = {f"{name} {key}": value for key, value in subcommands(parser).items()}
        found |= {f"spark-mlx {key}": value for key, value in (inner or {name: parser}).items()}
    return found


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def options(parser: argparse.ArgumentParser) -> set[str]:
    """All spellings of the options, such as `-v` and `--voice`."""
    return {spelling for action in parser._actions for spelling in action.option_strings}


def table(parser: argparse.ArgumentParser) -> str:
    """The arguments and options of a command, as rows of Markdown; empty where it has none."""
    rows = list(_rows(parser))
    return (
        "".join(f"{row}\n" for row in ("| argument | meaning |", "|---|---|", *rows))
        if rows
        else ""
    )


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser.formatter_class(parser.prog)
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        value = "" if action.nargs == 0 else formatter._format_args(action, _value_name(action))
        if action.option_strings:
            spellings = ", ".join(f"`{spelling}`" for spelling in action.option_strings)
            shown = f"{spellings} `{value}`" if value else spellings
        else:
            shown = f"`{value}`"
        text = formatter._expand_help(action) if action.help else ""
        yield f"| {_escaped(shown)} | {_escaped(text)} |"


def _value_name(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")


def written_anew(page: str) -> str:
    """The page with every table as the parsers have it now."""
    known = parsers()
    return TABLE.sub(lambda found: f"{found[1]}{table(known[found[2]])}{found[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
