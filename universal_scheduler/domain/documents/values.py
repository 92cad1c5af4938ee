"""What single values of a document mean, and how an error shows them."""

from __future__ import annotations

import json


def blank(value: object) -> bool:
    """Whether a value means "nothing": users write a single blank where there is no status, id or date."""
    return value is None or (isinstance(value, str) and not value.strip())


def shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
