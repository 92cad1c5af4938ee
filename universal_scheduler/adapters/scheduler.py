"""The entries of time triggers over EventBridge Scheduler: one group for a stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from universal_scheduler.domain.errors import TimetableUnavailable
from universal_scheduler.domain.time.entries import Entry

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""EventBridge Scheduler puts the time there for which it calls, however late it is.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html"""
PAGE = 100
"""https://docs.aws.amazon.com/scheduler/latest/APIReference/API_ListSchedules.html"""
RETRY_POLICY = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
"""The most that it takes: a firing is delivered although the queue was not there for a day."""


class EventBridgeTimeEntries:
    """`ports.time_entries.TimeEntries` over EventBridge Scheduler. `client` answers boto3's, when it is first needed.

    `queue` and `dead_letters` are the ARNs of the queues that firings go to; `role` is the ARN of the role that may
    send them.
    """

    def __init__(self, client: Callable[[], Any], *, group: str, queue: str, dead_letters: str, role: str) -> None:
        self._client = client
        self._group, self._queue, self._dead_letters, self._role = group, queue, dead_letters, role

    def put(self, entry: Entry) -> None:
        request = self._request(entry)
        try:
            self._client().create_schedule(**request)
        except ClientError as error:
            if _code(error) != "ConflictException":
                raise TimetableUnavailable(entry.name, str(error)) from error
            self._update(request)
        except BotoCoreError as error:
            raise TimetableUnavailable(entry.name, str(error)) from error

    def remove(self, name: str) -> None:
        try:
            self._client().delete_schedule(Name=name, GroupName=self._group)
        except ClientError as error:
            if _code(error) != "ResourceNotFoundException":
                raise TimetableUnavailable(name, str(error)) from error
        except BotoCoreError as error:
            raise TimetableUnavailable(name, str(error)) from error

    def get(self, name: str) -> Entry | None:
        try:
            found = self._client().get_schedule(Name=name, GroupName=self._group)
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return None
            raise TimetableUnavailable(name, str(error)) from error
        except BotoCoreError as error:
            raise TimetableUnavailable(name, str(error)) from error
        return self._entry(found)

    def names(self, page: str) -> tuple[list[str], str]:
        more: Any = {"NextToken": page} if page else {}
        try:
            found = self._client().list_schedules(GroupName=self._group, MaxResults=PAGE, **more)
        except ClientError as error:
            if page and _code(error) == "ValidationException":
                return [], ""  # the token of an earlier sweep is too old: begin again
            raise TimetableUnavailable("the list", str(error)) from error
        except BotoCoreError as error:
            raise TimetableUnavailable("the list", str(error)) from error
        return [each["Name"] for each in found["Schedules"]], found.get("NextToken", "")

    def _update(self, request: dict[str, Any]) -> None:
        """UpdateSchedule resets everything that it is not given, so it always gets the whole.

        https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html
        """
        try:
            self._client().update_schedule(**request)
        except (ClientError, BotoCoreError) as error:
            raise TimetableUnavailable(request["Name"], str(error)) from error

    def _request(self, entry: Entry) -> dict[str, Any]:
        window: dict[str, Any] = {"Mode": "OFF"}
        if entry.window_minutes:
            window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": entry.window_minutes}
        dates = {"StartDate": entry.start, "EndDate": entry.end}
        return {
            "Name": entry.name,
            "GroupName": self._group,
            "ScheduleExpression": entry.expression,
            "ScheduleExpressionTimezone": entry.zone,
            "FlexibleTimeWindow": window,
            "State": "ENABLED",
            "ActionAfterCompletion": "DELETE" if entry.once else "NONE",
            "Description": _description(entry),
            "Target": {
                "Arn": self._queue,
                "RoleArn": self._role,
                "Input": json.dumps(entry.message(SCHEDULED_TIME)),
                "DeadLetterConfig": {"Arn": self._dead_letters},
                "RetryPolicy": dict(RETRY_POLICY),
            },
            **{name: date for name, date in dates.items() if date is not None},
        }

    def _entry(self, found: Any) -> Entry:
        """What was found as an entry. What we would not have written becomes a value that no entry has, so that it is
        mended."""
        try:
            message = json.loads(found["Target"].get("Input", ""))
            known: dict[str, Any] = {
                "schedule_id": str(message["scheduleId"]),
                "trigger": int(message["trigger"]),
                "version": str(message["version"]),
                "cause": dict(message.get("cause", {})),
            }
        except (ValueError, KeyError, TypeError):
            known = {"schedule_id": "", "trigger": -1, "version": "", "cause": {}}
        once = found.get("ActionAfterCompletion", "NONE") == "DELETE"
        entry = Entry(
            name=found["Name"],
            expression=found["ScheduleExpression"],
            zone=found.get("ScheduleExpressionTimezone", "UTC"),
            start=_moment(found.get("StartDate")),
            end=_moment(found.get("EndDate")),
            window_minutes=int(found["FlexibleTimeWindow"].get("MaximumWindowInMinutes", 0)),
            once=once,
            **known,
        )
        wanted = self._request(entry)
        same = found.get("State", "ENABLED") == "ENABLED" and found["Target"] == wanted["Target"]
        return entry if same else Entry(entry.name, "changed by hand", entry.zone, entry.schedule_id, -1, "")


def _description(entry: Entry) -> str:
    return f"Trigger {entry.trigger} of the schedule {entry.schedule_id}"


def _moment(value: Any) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) else None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
