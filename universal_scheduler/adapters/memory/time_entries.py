"""The entries of time triggers in a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

from universal_scheduler.domain.time.entries import Entry

PAGE = 100


@dataclass(slots=True)
class MemoryTimeEntries:
    """`ports.time_entries.TimeEntries` in a dictionary, by name."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def put(self, entry: Entry) -> None:
        self.entries[entry.name] = entry

    def remove(self, name: str) -> None:
        self.entries.pop(name, None)

    def get(self, name: str) -> Entry | None:
        return self.entries.get(name)

    def names(self, page: str) -> tuple[list[str], str]:
        found = [name for name in sorted(self.entries) if name > page][: PAGE + 1]
        return found[:PAGE], found[PAGE - 1] if len(found) > PAGE else ""
