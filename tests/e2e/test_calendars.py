"""Calendars on the running engine: stored by the command, named by schedules, refused where there is none."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.e2e.test_cli import usched

pytestmark = pytest.mark.e2e


def schedule(schedule_id: str, calendar: str) -> dict[str, Any]:
    trigger = {"cron": "0 6 * * *", "timezone": "America/New_York", "calendar": calendar}
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default", "containerOverrides": {"command": ["true"]}}
    return {"scheduleId": schedule_id, "trigger": trigger, "jobList": [job]}


def test_a_stored_calendar_closes_days_at_every_door(stage: Stage, tmp_path: Path) -> None:
    unique = uuid.uuid4().hex[:8]
    bank, nightly = f"bank-{unique}", f"nightly-{unique}"
    file = tmp_path / "both.json"
    calendar = {"calendarName": bank, "holidays": "US", "off": ["2027-07-06 Audit"]}
    file.write_text(json.dumps([calendar, schedule(nightly, bank)]))
    port = ("--port", str(stage.engine.port))

    applied = usched("apply", str(file), *port)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert stage.table("BatchCalendars").get_item(Key={"calendarName": bank})["Item"] == calendar

    drawn = usched("calendar", nightly, "--month", "2027-07", *port).stdout
    assert "Mon 05  left out 06:00: Independence Day (observed), US" in drawn
    assert f"Tue 06  left out 06:00: Audit, {bank}" in drawn

    asked = ("--from", "2027-07-02", "--to", "2027-07-07", "--json")
    left_out = json.loads(usched("next", nightly, *asked, *port).stdout)["leftOut"]
    assert [each["reason"] for each in left_out] == [
        *("Saturday", "Independence Day, US", "Independence Day (observed), US", f"Audit, {bank}"),
    ]
    status, answer = stage.call("GET", f"/schedules/{nightly}/next?n=3")
    assert status == 200
    assert len(answer["starts"]) == 3

    entries = stage.client("scheduler").list_schedules()["Schedules"]
    assert entries


def test_a_calendar_that_there_is_not_is_refused_and_its_row_is_kept(stage: Stage) -> None:
    nightly, nowhere = f"nightly-{uuid.uuid4().hex[:8]}", f"nowhere-{uuid.uuid4().hex[:8]}"
    status, answer = stage.call("POST", "/schedules", schedule(nightly, nowhere))
    assert status == 400
    assert answer["error"]["errors"][0]["path"] == "$.trigger.calendar"
    assert stage.row(nightly) is None

    stage.put(schedule(nightly, nowhere))
    errors = eventually(lambda: stage.row(nightly).get("scheduleErrors"), what="the error of the row")
    assert errors[0]["found"] == f"'{nowhere}', and there is no such calendar"
