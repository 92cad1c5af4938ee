"""Shared by the readers of JSON and YAML: the text of bytes, positions in a text, and numbers."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from universal_scheduler.domain.documents.storable import MAX_DEPTH
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument

READ_DEPTH = MAX_DEPTH + 4
"""Levels that a text may have: those of a document, and a few around it (a list of documents, the output of a run)."""
MAX_NUMBER = 4000
"""The longest number, in characters, that is read. Python refuses more than 4,300, and no table can hold a hundredth of
it."""
BYTE_ORDER_MARK = "\ufeff"


class Lines:
    """The positions of the lines of a text. Lines and columns count from 1."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer(r"\r\n?|\n", text))]

    def at(self, offset: int) -> tuple[int, int]:
        """The line and the column of the character at this offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def unicode_text(content: str | bytes) -> str:
    """UTF-8 bytes as text, without the byte order mark that some editors write.

    Raises:
        UnreadableDocument: it is not UTF-8.
    """
    if isinstance(content, str):
        return content.removeprefix(BYTE_ORDER_MARK)
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise UnreadableDocument([DocumentError("$", "text in UTF-16", "text in UTF-8", line=1, column=1)])
    try:
        return content.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(errors="replace")
        line, column = Lines(before).at(len(before))
        found = f"the byte 0x{error.object[error.start]:02x}, which is no UTF-8"
        raise UnreadableDocument([DocumentError("$", found, "text in UTF-8", line=line, column=column)]) from None


def integer(digits: str, base: int = 10) -> int:
    """The number that the digits write.

    Raises:
        ValueError: there are too many digits; its text says what was found.
    """
    if len(digits) > MAX_NUMBER:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits, base)


def decimal(text: str) -> float:
    """The number that the text writes.

    Raises:
        ValueError: it would become infinity, or 0 although it is not 0; its text says what was found.
    """
    if len(text) > MAX_NUMBER:
        raise ValueError(f"a number of {len(text):,} characters")
    number = float(text)
    lost = not number and any(digit in "123456789" for digit in re.split("[eE]", text)[0])
    if math.isinf(number) or lost:
        raise ValueError(text if len(text) <= 60 else f"{text[:57]}...")
    return number
