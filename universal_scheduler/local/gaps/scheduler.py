"""Gap: EventBridge Scheduler knows no time zone, no L, W or #, takes every expression, fires an at() again, looks at
all schedules every ten seconds, puts nothing for `<aws.scheduler.scheduled-time>`, and lists one page.

What was missed, because the engine or its machine was down or asleep, fires late: each of the last half hour, and of
older ones the first and the last. So whoever handles them can decide of all. A clock that is set back fires nothing
again: until the clock is where it was, nothing is due.

What is left: a flexible window fires at its beginning, and only what goes to a queue is sent again if that fails.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.time import policies
from universal_scheduler.domain.time.starts import coming
from universal_scheduler.domain.time.triggers import At, Rate, TimeTrigger, read_triggers
from universal_scheduler.local.gaps import edit, require_ministack
from universal_scheduler.local.gaps.scheduler_storage import Due, Fired, Key, SchedulerStorage
from universal_scheduler.local.state import State

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]

_FORM = re.compile(r"(cron|rate|at)\(.*\)")
_EARLIEST = timedelta(minutes=5)
_PAGE = 100
_AT_ONCE = 100
"""So many schedules fire before it is written down that they have: if the engine is killed, they fire again."""
_LOOK_SECONDS = 60.0
"""A clock that is set while nothing is due is looked at so soon."""
_AGAIN_SECONDS = 5.0
_INSTANT = timedelta(microseconds=1)
_log = logging.getLogger("usched.engine")


def apply(
    state: State, clock: Callable[[], float] = time.time, held: Callable[[], bool] = lambda: False
) -> FiringClock:
    """Change ministack's EventBridge Scheduler; must run before its first schedule. Answers what fires, to be started
    when all targets are there.

    Nothing fires as long as `held` says so. It is an outage: what was due then fires when it is over.
    """
    require_ministack("scheduler")
    from ministack.services import scheduler
    from ministack.services.cloudformation import provisioners

    storage = SchedulerStorage(state, lambda record: first_due(record, clock()))
    firing = FiringClock(storage, clock, held=held)
    scheduler._schedules._data = storage.schedules
    scheduler._schedule_groups._data = storage.groups
    scheduler._tags._data = storage.tags
    create: Callable[[str, Json], Answer] = scheduler._create_schedule
    update: Callable[[str, Json], Answer] = scheduler._update_schedule
    handle: Callable[..., Awaitable[Answer]] = scheduler.handle_request

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
        firing.changed()
        return answer

    async def handled(*request: Any) -> Answer:
        try:
            return await handle(*request)
        except sqlite3.Error as error:
            # https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html#API_CreateSchedule_Errors
            reason = (
                f"The file of EventBridge Scheduler cannot be written ({error}). Look at the disk with the engine's "
            )
            failed: Answer = scheduler._error(500, "InternalServerException", f"{reason}state directory.")
            return failed

    scheduler._create_schedule, scheduler._update_schedule = created, updated
    scheduler._list_schedules = lambda query: _listed(scheduler, storage, query)
    scheduler.handle_request = handled
    scheduler.start_scheduler = lambda: None
    answered = 'return physical_id, {"Arn": _sched._schedule_arn(group, physical_id)}'
    edit(provisioners._scheduler_schedule_update, (answered, f"_sched._schedules[key] = schedule\n    {answered}"))
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"]
    handlers["update"] = provisioners._scheduler_schedule_update
    return firing


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


def _listed(scheduler: Any, storage: SchedulerStorage, query: Json) -> Answer:
    """A page of names in order; the token is the last of the page before."""
    scheduler._ensure_default_group()
    group, prefix, state = (query.get(key, "") for key in ("ScheduleGroup", "NamePrefix", "State"))
    if group and group not in scheduler._schedule_groups:
        missing: Answer = scheduler._error(404, "ResourceNotFoundException", f"Schedule group {group} does not exist.")
        return missing
    most = min(int(query.get("MaxResults", _PAGE)), _PAGE)
    found = storage.page(scheduler.get_account_id(), scheduler.get_region(), group, query.get("NextToken", ""))
    shown = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")
    page: Json = {"Schedules": []}
    last = ""
    for key, each in found:
        if not each["Name"].startswith(prefix) or (state and each["State"] != state):
            continue
        if len(page["Schedules"]) == most:
            page["NextToken"] = last
            break
        page["Schedules"].append({name: each[name] for name in shown} | {"Target": {"Arn": each["Target"]["Arn"]}})
        last = key
    answer: Answer = scheduler._json_resp(200, page)
    return answer


class FiringClock:
    """Fires what is due. One thread sleeps until the first schedule is."""

    def __init__(
        self,
        storage: SchedulerStorage,
        clock: Callable[[], float],
        send: Callable[[Key, Json, datetime], None] | None = None,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._storage, self._clock, self._send, self._held = storage, clock, send or _send, held
        self._changed = threading.Condition()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="usched-scheduler").start()

    def changed(self) -> None:
        """A schedule was written: it may be due before all others."""
        with self._changed:
            self._changed.notify()

    def fire(self) -> int:
        """Fire some of what is due now, and write down that it has. Answers how many schedules have fired.

        Raises:
            Exception: none could fire. What is not written down fires again.
        """
        now = self._clock()
        done: list[Fired] = []
        failure: Exception | None = None
        for due in self._storage.due(now, _AT_ONCE):
            try:
                if self._storage.is_current(due.number):
                    for at in missed(due, now):
                        self._send(due.key, due.record, at)
                    done.append(_fired(due, now))
            except Exception as error:  # noqa: BLE001 - the others must fire
                failure = error
        if done:
            self._storage.fired(done)
        elif failure is not None:
            raise failure
        return len(done)

    def _run(self) -> None:
        while True:
            try:
                if self._held():
                    time.sleep(_AGAIN_SECONDS)
                    continue
                if self.fire():
                    continue
                with self._changed:
                    first, now = self._storage.next_due(), self._clock()
                    if first is None or first > now:
                        self._changed.wait(None if first is None else min(first - now, _LOOK_SECONDS))
            except Exception:  # noqa: BLE001 - whatever it is, what is due must fire when it is over
                _log.exception("What is due could not fire. The engine tries again in %d s", _AGAIN_SECONDS)
                time.sleep(_AGAIN_SECONDS)


def first_due(record: Json, now: float) -> float | None:
    """When a schedule that is written now is due first."""
    if record["State"] != "ENABLED":
        return None
    after = datetime.fromtimestamp(now, UTC)
    trigger = _trigger(record)
    if isinstance(trigger.expressions[0], Rate):
        after = after.replace(microsecond=0) - _INSTANT  # without a StartDate it fires at once
    return _next(trigger, after)


def missed(due: Due, now: float) -> list[datetime]:
    """The times for which a schedule fires now, in order: one, unless nobody was there when it was due.

    Of long outages these are the times that a schedule without a policy needs to decide of all of them.
    """
    since = datetime.fromtimestamp(due.at, UTC) - _INSTANT
    found = policies.due([_trigger(due.record)], policies.Policies(), since, datetime.fromtimestamp(now, UTC))
    return [start.at for start, _ in found if not start.left_out]


def _fired(due: Due, now: float) -> Fired:
    if due.record["ScheduleExpression"].startswith("at("):
        return Fired(due.number, None, delete=due.record["ActionAfterCompletion"] == "DELETE")
    return Fired(due.number, _next(_trigger(due.record), datetime.fromtimestamp(now, UTC)))


def _next(trigger: TimeTrigger, after: datetime) -> float | None:
    start = next((start for start in coming([trigger], after) if not start.left_out), None)
    return None if start is None else start.at.timestamp()


def _trigger(record: Json) -> TimeTrigger:
    trigger = read(record["ScheduleExpression"], record["ScheduleExpressionTimezone"])
    start, end = _moment(record.get("StartDate")), _moment(record.get("EndDate"))
    match trigger.expressions[0]:
        case At():
            return trigger
        case Rate() if start is None:
            start = _moment(record["LastModificationDate"])
    return replace(trigger, start=start, end=end)


def _send(key: Key, record: Json, scheduled: datetime) -> None:
    """Send to the target, with the values of its context attributes.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    from ministack.core.arn import parse_arn
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
        if said and target["Arn"].startswith(f"arn:aws:sqs:{region}:{account}:"):
            # What `_invoke_target` does, but a queue that cannot take the message says so.
            eventbridge._dispatch_to_sqs(parse_arn(target["Arn"]), said, target.get("SqsParameters") or {})
        else:
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
