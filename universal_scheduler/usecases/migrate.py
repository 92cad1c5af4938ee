"""Moves everything from one stage to another: calendars, schedules with their pauses, and the history of runs.

No start is lost and none comes twice. A schedule is paused in the old stage first. It comes into the new one with the
same pause, and is resumed there: so what was due in between is decided there, by its `catchUp`. Schedules that start
after each other move together, and only while none of them has a run: the end of a run starts nothing in another
stage.

Everything may be done again: what is there already stays as it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Any

from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.documents.upstreams import upstreams_of
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule
from universal_scheduler.domain.runs.model import AuditEntry, Mark, RunKey, Verb
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.ports.recordings import Recordings
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.resume import resume_schedule
from universal_scheduler.usecases.timetable import time_triggers

COPIES_AT_ONCE = 8
NEWEST_RUNS = 20
"""So many runs of a schedule are looked at once more when it is paused: no more start between two looks."""
UNTIL_IT_IS_WHOLE: Mapping[str, Any] = {"manual": True}
"""A new row without a trigger would start a run. So it is stored with this one first; a changed row starts none."""


class Fate(StrEnum):
    """What becomes of a calendar or a schedule."""

    MOVED = "moved"
    THERE = "there already"
    DIFFERS = "differs"
    """The other stage has another one of this name. It stays."""
    REFUSED = "not moved"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what lies in it, and what starts its runs."""

    name: str
    store: Store
    recordings: Recordings
    workflow: Workflow
    calendars: Callable[[Iterable[str]], Mapping[str, Calendar]]


@dataclass(frozen=True, slots=True)
class Moved:
    """What has become of a calendar or a schedule, and why. Of a dry run: what would."""

    kind: str
    name: str
    fate: Fate
    why: str = ""


@dataclass(slots=True)
class Migration:
    """What was moved. Of a dry run: what would be."""

    dry: bool
    entries: list[Moved] = field(default_factory=list)
    runs: int = 0
    """The runs that were copied."""
    runs_there: int = 0
    runs_going_on: int = 0

    @property
    def complete(self) -> bool:
        stuck = (Fate.DIFFERS, Fate.REFUSED, Fate.WAITS)
        return not self.runs_going_on and not any(entry.fate in stuck for entry in self.entries)


def migrate(
    old: Stage,
    new: Stage,
    who: str,
    clock: Callable[[], float],
    check: Callable[[Mapping[str, Any]], Sequence[DocumentError]],
    *,
    dry: bool,
) -> Migration:
    """Move everything from `old` to `new`; a dry run changes nothing.

    `who` does it, as the audit trails name them. `check` answers what the new stage has against a valid row.

    Raises:
        StoreUnavailable: DynamoDB refused writes for too long. Do it again.
    """
    done = Migration(dry)
    keys = list(old.recordings.recorded())
    done.entries += _calendars(old.store, new.store, dry=dry)
    busy = {key.schedule_id for key, status in keys if not status.ended}
    done.entries += _Schedules(old, new, who, clock, check, busy).move(dry=dry)
    _history(old, new, [key for key, status in keys if status.ended], done)
    done.runs_going_on = sum(not status.ended for _, status in keys)
    return done


def _calendars(old: Store, new: Store, *, dry: bool) -> list[Moved]:
    moved = []
    for row in old.list_calendars():
        name = row["calendarName"]
        known = new.get_calendars([name]).get(name)
        if known is not None and known != row:
            moved.append(Moved("calendar", name, Fate.DIFFERS, "the calendar of this name there has other days"))
        elif known is not None:
            moved.append(Moved("calendar", name, Fate.THERE))
        else:
            if not dry:
                new.put_calendar(row)
            moved.append(Moved("calendar", name, Fate.MOVED))
    return moved


class _Schedules:
    """Moves the schedules, those that start after each other together."""

    def __init__(
        self,
        old: Stage,
        new: Stage,
        who: str,
        clock: Callable[[], float],
        check: Callable[[Mapping[str, Any]], Sequence[DocumentError]],
        busy: set[str],
    ) -> None:
        self._old, self._new, self._check, self._busy = old, new, check, busy
        self._who, self._clock = who, clock
        self._moving = f"moved to {new.name}"
        self._rows = {row["scheduleId"]: row for row in old.store.list_schedules()}

    def move(self, *, dry: bool) -> list[Moved]:
        return [moved for names in together(self._rows) for moved in self._move_together(names, dry=dry)]

    def _move_together(self, names: Sequence[str], *, dry: bool) -> list[Moved]:
        fates = {name: self._fate(name) for name in names}
        if not any(moved.fate is Fate.MOVED for moved in fates.values()):
            return list(fates.values())
        stuck = next((moved for moved in fates.values() if moved.fate not in (Fate.MOVED, Fate.THERE)), None)
        if stuck is None and not dry:
            stuck = self._do([name for name in names if fates[name].fate is Fate.MOVED])
        if stuck is None:
            return list(fates.values())
        why = f"it moves together with '{stuck.name}'"
        waiting = {
            name: Moved("schedule", name, Fate.WAITS, why)
            for name, moved in fates.items()
            if moved.fate is Fate.MOVED and name != stuck.name
        }
        return list({**fates, **waiting, stuck.name: stuck}.values())

    def _fate(self, name: str) -> Moved:
        row = self._rows[name]
        if why := self._against(row):
            return Moved("schedule", name, Fate.REFUSED, why)
        known = self._new.store.get_schedule(name)
        if known is not None and not self._is_begun(name, row, known):
            if known != row:
                return Moved("schedule", name, Fate.DIFFERS, "the schedule of this name there is another one")
            if self._ours(self._old.store.paused(name)):
                return Moved("schedule", name, Fate.THERE)
        if name in self._busy:
            return Moved("schedule", name, Fate.WAITS, "a run of it goes on")
        paused = self._old.store.paused(name)
        return Moved("schedule", name, Fate.MOVED, f"paused {paused}" if paused and not self._ours(paused) else "")

    def _against(self, row: Mapping[str, Any]) -> str:
        if row.get("scheduleErrors"):
            return f"its row has errors: usched show {row['scheduleId']}"
        try:
            parse(row)
        except InvalidSchedule as invalid:
            return str(invalid.errors[0])
        return "; ".join(map(str, self._check(row)))

    def _ours(self, paused: Mark | None) -> bool:
        """Whether the move has paused it, now or before it was interrupted."""
        return paused is not None and paused.reason == self._moving

    def _is_begun(self, name: str, row: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        """Whether the move of a schedule was interrupted in the new stage."""
        return known in (row, {**row, "trigger": UNTIL_IT_IS_WHOLE}) and self._ours(self._new.store.paused(name))

    def _do(self, names: Sequence[str]) -> Moved | None:
        """Answers what is in the way: then nothing has changed."""
        pauses = {name: self._paused(name) for name in names}
        busy = next((name for name in names if self._has_run(name)), None)
        if busy is not None:
            for name, paused in pauses.items():
                if self._ours(paused):
                    self._resumed(self._old, name, f"not moved to {self._new.name}, because a run goes on")
            return Moved("schedule", busy, Fate.WAITS, "a run of it goes on")
        for name, paused in pauses.items():
            self._put(name, paused)
        for name in names:
            if self._ours(self._new.store.paused(name)):
                self._resumed(self._new, name, f"moved from {self._old.name}")
        return None

    def _paused(self, name: str) -> Mark:
        """Pause it in the old stage, unless somebody has; answers who."""
        mark = Mark(Verb.PAUSE, self._who, self._clock(), self._moving)
        self._old.store.pause(name, AuditEntry(mark, after="paused"))
        return self._old.store.paused(name) or mark

    def _has_run(self, name: str) -> bool:
        newest = self._old.store.list_runs(name, NEWEST_RUNS)
        return any(not run.status.ended for run in newest)

    def _put(self, name: str, paused: Mark) -> None:
        row, store = self._rows[name], self._new.store
        known = store.get_schedule(name)
        if known == row:
            return
        if known is None:
            store.pause(name, AuditEntry(paused, after="paused"))
        if parse(row).starts_when_inserted:
            store.put_schedule({**row, "trigger": UNTIL_IT_IS_WHOLE})
        store.put_schedule(row)

    def _resumed(self, stage: Stage, name: str, reason: str) -> None:
        mark = Mark(Verb.RESUME, self._who, self._clock(), reason)
        triggers_of = partial(time_triggers, calendars=stage.calendars)
        resume_schedule(stage.store, stage.workflow, triggers_of, name, mark)


def together(rows: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The schedules in groups: those of a group start after each other, over however many steps."""
    beside: dict[str, set[str]] = defaultdict(set)
    for name, row in rows.items():
        for upstream in upstreams_of(row):
            if upstream in rows:
                beside[name].add(upstream)
                beside[upstream].add(name)
    groups, seen = [], set[str]()
    for name in rows:
        if name in seen:
            continue
        group, left = [], [name]
        seen.add(name)
        while left:
            group.append(one := left.pop())
            left += sorted(beside[one] - seen)
            seen |= beside[one]
        groups.append(sorted(group))
    return groups


def _history(old: Stage, new: Stage, keys: Sequence[RunKey], done: Migration) -> None:
    """Copy the runs that have ended, and the audit trails of all schedules."""
    owners = Counter(key.schedule_id for key in keys)
    missing: list[RunKey] = []
    for schedule_id, its in groupby(sorted(keys), key=lambda key: key.schedule_id):
        there = new.recordings.starts(schedule_id)
        missing += [key for key in its if key.start not in there]
    done.runs, done.runs_there = len(missing), len(keys) - len(missing)
    if done.dry:
        return
    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        list(pool.map(partial(_copy, old.recordings, new.recordings), missing))
    for schedule_id in {*owners, *(row["scheduleId"] for row in old.store.list_schedules())}:
        new.recordings.keep_trail(old.recordings.trail(schedule_id))


def _copy(old: Recordings, new: Recordings, key: RunKey) -> None:
    recording = old.read_recording(key)
    if recording is not None:
        new.keep_recording(recording)
