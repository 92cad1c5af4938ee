"""Text of others, as a terminal can show it: names, reasons and messages may hold any character."""

from __future__ import annotations

import codecs
import json
import re
import sys

HALF = re.compile("[\ud800-\udfff]")
NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (a terminal obeys them), marks that turn the direction of a line, and halves of characters (UTF-8
cannot say them)."""


def printable(text: str) -> str:
    """On one line: a line break or tab is a space, each other character of `NOT_SHOWN` its escape (`\\x1b`)."""
    return NOT_SHOWN.sub(lambda found: _shown(found[0]), text)


def printable_lines(text: str) -> str:
    """The same of several lines, which stay lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def json_text(document: object) -> str:
    """A document as JSON, in escapes where standard output has no UTF-8, or where UTF-8 cannot say a text in it."""
    utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    text = json.dumps(document, ensure_ascii=not utf8, indent=2)
    return text if text.isascii() or not HALF.search(text) else json.dumps(document, indent=2)


def _shown(character: str) -> str:
    if character in "\t\n\r":
        return " "
    return character.encode("unicode_escape").decode()
