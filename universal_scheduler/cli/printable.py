"""Makes texts of others safe for a terminal: names, reasons and messages may have any characters."""

from __future__ import annotations

import codecs
import json
import re
import sys

HALF = re.compile("[\ud800-\udfff]")
NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, which a terminal obeys; marks that change the direction of a line; and halves of characters,
which UTF-8 cannot encode."""


def printable(text: str) -> str:
    r"""The text on one line. A line break or a tab becomes a space; any other character of `NOT_SHOWN` becomes its
    escape (`\x1b`)."""
    return NOT_SHOWN.sub(lambda found: _shown(found[0]), text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def json_text(document: object) -> str:
    """A document as JSON. It has escapes if standard output is not UTF-8, or if UTF-8 cannot encode a text in it."""
    utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    text = json.dumps(document, ensure_ascii=not utf8, indent=2)
    return text if text.isascii() or not HALF.search(text) else json.dumps(document, indent=2)


def _shown(character: str) -> str:
    if character in "\t\n\r":
        return " "
    return character.encode("unicode_escape").decode()
