"""Text of others, as a terminal can show it: names, reasons and messages may hold any character."""

from __future__ import annotations

import re

NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (a terminal obeys them), marks that turn the direction of a line, and halves of characters (UTF-8
cannot say them)."""


def printable(text: str) -> str:
    """On one line: a line break or tab is a space, each other character of `NOT_SHOWN` its escape (`\\x1b`)."""
    return NOT_SHOWN.sub(lambda found: _shown(found[0]), text)


def printable_lines(text: str) -> str:
    """The same of several lines, which stay lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _shown(character: str) -> str:
    if character in "\t\n\r":
        return " "
    return character.encode("unicode_escape").decode()
