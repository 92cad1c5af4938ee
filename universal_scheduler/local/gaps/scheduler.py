"""Gap: EventBridge Scheduler knows no time zone, no L, W or #, takes every expression, fires an at() again, looks at
all schedules every ten seconds, puts nothing for `<aws.scheduler.scheduled-time>`, and lists one page.

What is left: a flexible window fires at its beginning, and nothing is sent again.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.time.starts import coming
from universal_scheduler.domain.time.triggers import At, Rate, TimeTrigger, read_triggers
from universal_scheduler.local.gaps import require_ministack

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Key = tuple[str, str, str]
"""Account, region, `group/name`."""

_FORM = re.compile(r"(cron|rate|at)\(.*\)")
_EARLIEST = timedelta(minutes=5)
_LATE_SECONDS = 60.0
"""A machine that was asleep for longer goes on with what is due then: it does not make up for every firing."""
_PAGE = 100
_STALE = 1000
_INSTANT = timedelta(microseconds=1)
_log = logging.getLogger("usched.engine")


def apply(clock: Callable[[], float] = time.time) -> None:
    """Change ministack's EventBridge Scheduler; must run before its first schedule."""
    require_ministack("scheduler")
    from ministack.services import scheduler

    heap = _Heap(scheduler, clock)
    create: Callable[[str, Json], Answer] = scheduler._create_schedule
    update: Callable[[str, Json], Answer] = scheduler._update_schedule

    def created(name: str, body: Json) -> Answer:
        group = body.get("GroupName", "default")
        known = f"{group}/{name}" in scheduler._schedules
        return _written(create, name, body, "" if known else _problem(name, body, clock()))

    def updated(name: str, body: Json) -> Answer:
        return _written(update, name, body, _problem(name, body, clock()))

    def _written(write: Callable[[str, Json], Answer], name: str, body: Json, problem: str) -> Answer:
        if problem:
            refused: Answer = scheduler._error(400, "ValidationException", problem)
            return refused
        answer = write(name, body)
        if answer[0] == 200:
            heap.push(scheduler._schedules._scoped(f"{body.get('GroupName', 'default')}/{name}"))
        return answer

    scheduler._create_schedule, scheduler._update_schedule = created, updated
    scheduler._list_schedules = lambda query: _listed(scheduler, query)
    scheduler.start_scheduler = heap.start


def _problem(name: str, body: Json, now: float) -> str:
    """Why AWS would refuse the request; empty if it takes it.

    https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    """
    found = next(constraint_errors("CreateScheduleInput", {"Name": name, **body}), "")
    if found:
        return f"1 validation error detected: {found}"
    window = body["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        return "MaximumWindowInMinutes goes with the mode FLEXIBLE of a FlexibleTimeWindow, and only with it."
    expression = body["ScheduleExpression"]
    try:
        trigger = read(expression, body.get("ScheduleExpressionTimezone", "UTC"))
    except InvalidSchedule:
        return f"Invalid Schedule Expression {expression}."
    except KeyError:
        return f"Invalid Schedule Expression Timezone {body['ScheduleExpressionTimezone']}."
    moment = datetime.fromtimestamp(now, UTC)
    start, end = _moment(body.get("StartDate")), _moment(body.get("EndDate"))
    if isinstance(trigger.expressions[0], At):
        return "" if next(coming([trigger], moment), None) else f"Invalid Schedule Expression {expression}."
    if start is not None and start < moment - _EARLIEST:
        return "The StartDate you specify cannot be earlier than 5 minutes ago."
    if end is not None and end <= max(moment, start or moment):
        return "The EndDate you specify must be in the future, and later than the StartDate."
    return ""


def read(expression: str, zone: str) -> TimeTrigger:
    """The expression of an entry.

    Raises:
        InvalidSchedule: AWS would not take the expression.
        KeyError: there is no such time zone.
    """
    from universal_scheduler.domain.time.zones import time_zone_names

    if zone not in time_zone_names():
        raise KeyError(zone)
    form = _FORM.fullmatch(expression)
    if form is None:
        raise InvalidSchedule([])
    [trigger] = read_triggers({form[1]: expression}, zone, {})
    return trigger


@cache
def _shapes() -> Json:
    import botocore.session

    loader = botocore.session.get_session().get_component("data_loader")
    shapes: Json = loader.load_service_model("scheduler", "service-2")["shapes"]
    return shapes


def constraint_errors(name: str, value: Any, path: str = "") -> Iterator[str]:
    """What botocore's model of EventBridge Scheduler does not allow of a value: lengths, ranges, patterns, words."""
    shape = _shapes()[name]
    said = f"Value at '{path.lstrip('.')}' failed to satisfy constraint"
    match shape["type"]:
        case "structure":
            if not isinstance(value, dict):
                yield f"{said}: Member must be an object"
                return
            for missing in [key for key in shape.get("required", ()) if value.get(key) is None]:
                yield (
                    f"Value at '{path}.{missing}'".replace("'.", "'")
                    + " failed to satisfy constraint: Member must not be null"
                )
            for key, each in value.items():
                if key in shape["members"] and each is not None:
                    yield from constraint_errors(shape["members"][key]["shape"], each, f"{path}.{key}")
        case "string":
            low, high = shape.get("min", 0), shape.get("max", 1 << 30)
            if not isinstance(value, str) or not low <= len(value) <= high:
                yield f"{said}: Member must have length between {low} and {high}"
            elif "enum" in shape and value not in shape["enum"]:
                yield f"{said}: Member must satisfy enum value set: [{', '.join(shape['enum'])}]"
            elif "pattern" in shape and not re.search(shape["pattern"], value):
                yield f"{said}: Member must satisfy regular expression pattern: {shape['pattern']}"
        case "integer":
            low, high = shape.get("min", -(1 << 31)), shape.get("max", 1 << 31)
            if not isinstance(value, int) or not low <= value <= high:
                yield f"{said}: Member must be between {low} and {high}"


def _listed(scheduler: Any, query: Json) -> Answer:
    """A page of names in order; the token is the last of the page before."""
    scheduler._ensure_default_group()
    group, prefix, state = (query.get(key, "") for key in ("ScheduleGroup", "NamePrefix", "State"))
    if group and group not in scheduler._schedule_groups:
        missing: Answer = scheduler._error(404, "ResourceNotFoundException", f"Schedule group {group} does not exist.")
        return missing
    after, most = query.get("NextToken", ""), min(int(query.get("MaxResults", _PAGE)), _PAGE)
    found = heapq.nsmallest(
        most + 1,
        (
            key
            for key, each in scheduler._schedules.items()
            if key > after
            and (not group or each["GroupName"] == group)
            and each["Name"].startswith(prefix)
            and (not state or each["State"] == state)
        ),
    )
    shown = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")
    page: Json = {"Schedules": []}
    for key in found[:most]:
        each = scheduler._schedules[key]
        page["Schedules"].append({name: each[name] for name in shown} | {"Target": {"Arn": each["Target"]["Arn"]}})
    if len(found) > most:
        page["NextToken"] = found[most - 1]
    answer: Answer = scheduler._json_resp(200, page)
    return answer


class _Heap:
    """When each schedule is due next. One thread sleeps until the first is."""

    def __init__(self, scheduler: Any, clock: Callable[[], float]) -> None:
        self._scheduler, self._clock = scheduler, clock
        self._due: list[tuple[float, int, Key, Json]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="usched-scheduler")
            self._thread.start()

    def push(self, key: Key) -> None:
        """Note when a schedule that was created or changed is due."""
        record = self._scheduler._schedules._data[key]
        with self._changed:
            self._note(key, record, datetime.fromtimestamp(self._clock(), UTC), first=True)
            if len(self._due) > 2 * len(self._scheduler._schedules._data) + _STALE:
                self._due = [each for each in self._due if self._is_current(each[2], each[3])]
                heapq.heapify(self._due)
            self._changed.notify()

    def _note(self, key: Key, record: Json, after: datetime, *, first: bool = False) -> None:
        if record["State"] != "ENABLED":
            return
        trigger = _trigger(record)
        if first and isinstance(trigger.expressions[0], Rate):
            after = after.replace(microsecond=0) - _INSTANT  # without a StartDate it fires at once
        start = next((start for start in coming([trigger], after) if not start.left_out), None)
        if start is not None:
            heapq.heappush(self._due, (start.at.timestamp(), next(self._numbers), key, record))

    def _is_current(self, key: Key, record: Json) -> bool:
        return self._scheduler._schedules._data.get(key) is record

    def _run(self) -> None:
        while True:
            with self._changed:
                now = self._clock()
                if not self._due or self._due[0][0] > now:
                    # A clock that is set while it waits is looked at within a minute.
                    self._changed.wait(min(self._due[0][0] - now, 60.0) if self._due else None)
                    continue
                due, _, key, record = heapq.heappop(self._due)
                if not self._is_current(key, record):
                    continue
            try:
                _fire(key, record, datetime.fromtimestamp(due, UTC))
            except Exception:  # noqa: BLE001 - the others must fire
                _log.exception("%s did not fire", key[2])
            with self._changed:
                if not self._is_current(key, record):
                    continue
                if not record["ScheduleExpression"].startswith("at("):
                    after = due if now - due < _LATE_SECONDS else now
                    self._note(key, record, datetime.fromtimestamp(after, UTC))
                elif record["ActionAfterCompletion"] == "DELETE":
                    self._scheduler._schedules._data.pop(key, None)


def _trigger(record: Json) -> TimeTrigger:
    trigger = read(record["ScheduleExpression"], record["ScheduleExpressionTimezone"])
    start, end = _moment(record.get("StartDate")), _moment(record.get("EndDate"))
    match trigger.expressions[0]:
        case At():
            return trigger
        case Rate() if start is None:
            start = _moment(record["LastModificationDate"])
    return replace(trigger, start=start, end=end)


def _fire(key: Key, record: Json, scheduled: datetime) -> None:
    """Send to the target, with the values of its context attributes.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    from ministack.core.responses import request_scope
    from ministack.services import eventbridge

    account, region, _ = key
    target = record["Target"]
    moment = f"{scheduled:%Y-%m-%dT%H:%M:%SZ}"
    said = target.get("Input", "")
    for name, value in {
        "schedule-arn": record["Arn"],
        "scheduled-time": moment,
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }.items():
        said = said.replace(f"<aws.scheduler.{name}>", value)
    event = {
        "EventId": str(uuid.uuid4()),
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": json.dumps({}),
        "Time": int(scheduled.timestamp()),
        "Resources": [record["Arn"]],
        "Account": account,
        "Region": region,
    }
    with request_scope(account, region):
        eventbridge._invoke_target({**target, "Input": said} if said else target, event, record)


def _moment(value: Any) -> datetime | None:
    """A timestamp as the API has it (epoch seconds)."""
    match value:
        case int() | float():
            return datetime.fromtimestamp(value, UTC)
        case str():
            return datetime.fromisoformat(value).astimezone(UTC)
        case _:
            return None
