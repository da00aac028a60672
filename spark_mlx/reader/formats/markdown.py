"""Markdown → HTML → paragraphs."""

from __future__ import annotations

import re

from spark_mlx.reader.documents import Block
from spark_mlx.reader.formats import html
from spark_mlx.reader.formats.optional_imports import missing_library

_TITLE = re.compile(r"^title:(.*)$", re.MULTILINE)


def blocks(text: str) -> tuple[str, list[Block]]:
    """The title in the front matter, else the first heading, else ""; and the paragraphs."""
    try:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.footnote import footnote_plugin
        from mdit_py_plugins.front_matter import front_matter_plugin
    except ImportError as error:
        raise missing_library("reading Markdown", error) from error
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parser.use(footnote_plugin).use(front_matter_plugin)
    tokens = parser.parse(text)
    title = ""
    if tokens and tokens[0].type == "front_matter":
        found = _TITLE.search(tokens[0].content)
        title = found[1].strip().strip("\"'") if found else ""
    _, paragraphs = html.blocks(parser.renderer.render(tokens, parser.options, {}))
    return title or next((block.text for block in paragraphs if block.level), ""), paragraphs
