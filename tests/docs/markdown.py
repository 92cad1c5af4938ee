"""Reads what a test can run from a Markdown page: fenced blocks, commands in the running text, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token


@dataclass(frozen=True)
class Example:
    """A block of a page, or a command in its running text."""

    page: Path
    line: int
    """Of its first line of text, counted from 1."""
    language: str
    """The first word behind the fence; `inline` for code in the running text, `indented` where there is no fence."""
    marks: tuple[str, ...]
    """The other words behind the fence: what it is, where its keys do not say it, or `file=NAME`."""
    text: str

    @property
    def file(self) -> str | None:
        """The name under which the page's commands find this block."""
        return next((mark.removeprefix("file=") for mark in self.marks if mark.startswith("file=")), None)


@dataclass(frozen=True)
class Link:
    page: Path
    line: int
    target: str


def examples(page: Path, text: str | None = None) -> list[Example]:
    """Every fenced or indented block of a page, and every piece of code in its running text, in their order."""
    found = []
    for token, line in _with_lines(page, text):
        if token.type == "fence":
            language, *marks = token.info.split() or [""]
            found.append(Example(page, line + 1, language, tuple(marks), token.content))
        elif token.type == "code_block":
            found.append(Example(page, line, "indented", (), token.content))
        for child in token.children or ():
            if child.type == "code_inline":
                found.append(Example(page, line, "inline", (), child.content))
    return found


def links(page: Path, text: str | None = None) -> list[Link]:
    return [
        Link(page, line, str(child.attrs["href"]))
        for token, line in _with_lines(page, text)
        for child in token.children or ()
        if child.type == "link_open"
    ]


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: the headings, as GitHub writes them in an address."""
    found = set()
    for heading, content in pairwise(MarkdownIt("commonmark").enable("table").parse(page.read_text())):
        if heading.type == "heading_open":
            words = "".join(child.content for child in content.children or ())
            found.add(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
    return found


def _with_lines(page: Path, text: str | None) -> Iterator[tuple[Token, int]]:
    """Every token with the line that it begins in; the cells of a table have that of their row."""
    line = 1
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text() if text is None else text):
        if token.map:
            line = token.map[0] + 1
        yield token, line
