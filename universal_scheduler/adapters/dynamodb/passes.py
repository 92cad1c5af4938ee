"""Remembers how far the sweep has read a table, so that the rows of earlier versions get the attributes that they
lack."""

from __future__ import annotations

from typing import Any

from universal_scheduler.adapters.dynamodb.items import from_item, to_item
from universal_scheduler.adapters.dynamodb.tables import Tables

PASSES_KEY = "#sweep"
"""The partition of the jobs table with a row for each pass. No run id and no scheduleId begins with `#`."""


class Passes(Tables):
    """A pass reads all rows of a table, some of them in each sweep."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._complete: set[str] = set()

    def _ever_complete(self, name: str) -> bool:
        """Whether this pass has come through the whole table at least once. That does not change any more."""
        if name not in self._complete and self._pass(name).get("everComplete"):
            self._complete.add(name)
        return name in self._complete

    def _next_slice(self, name: str, **scan: Any) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """The rows of the next slice, at most 1 MB, and the key of the last that was read; None at the table's end."""
        read_up_to = self._pass(name).get("readUpTo")
        start: Any = {"ExclusiveStartKey": to_item(read_up_to)} if read_up_to else {}
        page = self._client.scan(**scan, **start)
        last = page.get("LastEvaluatedKey")
        return [from_item(item) for item in page["Items"]], from_item(last) if last else None

    def _slice_done(self, name: str, last: dict[str, Any] | None) -> bool:
        """The rows of a slice have what they need: the next sweep goes on after it. Whether all rows have it."""
        if last is not None:
            self._update(self._jobs, _key(name), "SET readUpTo = :last", {":last": last}, "")
            return self._ever_complete(name)
        self._update(self._jobs, _key(name), "SET everComplete = :true REMOVE readUpTo", {":true": True}, "")
        self._complete.add(name)
        return True

    def _pass(self, name: str) -> dict[str, Any]:
        return self._get(self._jobs, _key(name)) or {}


def _key(name: str) -> dict[str, str]:
    return {"runId": PASSES_KEY, "jobName": name}
