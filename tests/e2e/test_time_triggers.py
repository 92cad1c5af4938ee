"""Time, new objects and events start runs on the engine; entries follow their rows and are mended."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually

pytestmark = pytest.mark.e2e


def row(trigger: Any, **more: Any) -> dict[str, Any]:
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "high", "containerOverrides": {"command": ["true"]}}
    return {
        "scheduleId": f"time-{uuid.uuid4().hex[:8]}",
        "wait_time": 1,
        "jobList": [job],
        "trigger": trigger,
        **more,
    }


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def put(stage: Stage) -> Iterator[Any]:
    """Put rows, which are gone after the test, so that none goes on starting runs."""
    made: list[str] = []

    def put(given: dict[str, Any]) -> str:
        stage.put(given)
        made.append(given["scheduleId"])
        return made[-1]

    yield put
    for schedule_id in made:
        stage.table("BatchSchedules").delete_item(Key={"scheduleId": schedule_id})


def entries(stage: Stage, schedule_id: str) -> list[Any]:
    client = stage.client("scheduler")
    names = [
        each["Name"]
        for page in client.get_paginator("list_schedules").paginate(GroupName="usched")
        for each in page["Schedules"]
    ]
    found = []
    for name in names:
        if name.startswith(schedule_id):
            with suppress(client.exceptions.ResourceNotFoundException):  # it has gone since it was listed
                found.append(client.get_schedule(Name=name, GroupName="usched"))
    return [each for each in found if json.loads(each["Target"]["Input"])["scheduleId"] == schedule_id]


def sweep(stage: Stage) -> None:
    """The minute's sweep, now."""
    answer = stage.client("lambda").invoke(FunctionName="usched-sweep", Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


def first_run(stage: Stage, schedule_id: str) -> Any:
    return eventually(lambda: stage.runs(schedule_id), what=f"a run of {schedule_id}")[0]


def test_an_at_starts_one_run_at_its_second_and_its_entry_goes(stage: Stage, put: Any) -> None:
    due = now() + timedelta(seconds=5)
    local = due + timedelta(hours=9)
    schedule_id = put(row({"at": f"at({local:%Y-%m-%dT%H:%M:%S})", "timezone": "Asia/Tokyo"}))
    run = stage.ended(schedule_id)
    assert run["scheduleStatus"] == "SUCCEEDED"
    cause = run["cause"]
    assert cause["kind"] == "time"
    assert cause["scheduledTime"] == iso(due)
    assert cause["businessDate"] == f"{local:%Y-%m-%d}"
    assert run["startDateTime"] >= due.replace(tzinfo=None).isoformat()
    eventually(lambda: not entries(stage, schedule_id), what="the end of the entry")


def test_a_rate_starts_runs_from_its_start_date_on(stage: Stage, put: Any) -> None:
    due = now() + timedelta(seconds=5)
    schedule_id = put(row({"rate": "rate(1 minute)", "startDate": iso(due)}))
    assert first_run(stage, schedule_id)["cause"]["scheduledTime"] == iso(due)


def test_a_cron_of_every_minute_starts_a_run_at_the_full_minute(stage: Stage, put: Any) -> None:
    schedule_id = put(row({"cron": "* * * * *", "timezone": "Europe/Berlin"}))
    scheduled = first_run(stage, schedule_id)["cause"]["scheduledTime"]
    assert scheduled.endswith(":00Z")


def test_what_aws_has_no_words_for_starts_a_run_and_goes_on(stage: Stage, put: Any) -> None:
    schedule_id = put(row({"cron": "* * * * *", "timezone": "Europe/Berlin", "onDst": "cron"}))
    [link] = eventually(lambda: entries(stage, schedule_id))
    assert link["ScheduleExpression"].startswith("at(")
    first_run(stage, schedule_id)

    def following() -> bool:
        return any(each["ScheduleExpression"] > link["ScheduleExpression"] for each in entries(stage, schedule_id))

    assert eventually(following)


def test_an_entry_follows_its_row_and_is_mended(stage: Stage, put: Any) -> None:
    made = row({"cron": "cron(0 6 ? * MON-FRI *)", "timezone": "Europe/Berlin"}, spread="10m")
    schedule_id = put(made)
    [entry] = eventually(lambda: entries(stage, schedule_id))
    assert entry["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}
    assert entry["ScheduleExpressionTimezone"] == "Europe/Berlin"

    client = stage.client("scheduler")
    client.delete_schedule(Name=entry["Name"], GroupName="usched")
    sweep(stage)
    [back] = eventually(lambda: entries(stage, schedule_id))
    assert back["ScheduleExpression"] == "cron(0 6 ? * MON-FRI *)"

    changed = {key: back[key] for key in ("Name", "GroupName", "Target")}
    client.update_schedule(**changed, ScheduleExpression="rate(1 day)", FlexibleTimeWindow={"Mode": "OFF"})
    sweep(stage)
    [mended] = eventually(lambda: [it for it in entries(stage, schedule_id) if "cron" in it["ScheduleExpression"]])
    written = ("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target", "State")
    assert {key: mended[key] for key in written} == {key: entry[key] for key in written}

    stage.put({**made, "trigger": {"cron": "cron(0 7 ? * MON-FRI *)"}})
    eventually(lambda: "0 7" in entries(stage, schedule_id)[0]["ScheduleExpression"])
    stage.table("BatchSchedules").delete_item(Key={"scheduleId": schedule_id})
    eventually(lambda: not entries(stage, schedule_id), what="the end of the entry")


def test_a_wrong_row_keeps_its_errors_and_has_no_entry(stage: Stage, put: Any) -> None:
    schedule_id = put(row({"cron": "cron(0 6 31 2 ? *)"}))
    eventually(lambda: (stage.row(schedule_id) or {}).get("scheduleErrors"))
    sweep(stage)
    assert not entries(stage, schedule_id)


@pytest.fixture
def bucket(stage: Stage) -> str:
    name = f"inbox-{uuid.uuid4().hex[:8]}"
    client = stage.client("s3")
    client.create_bucket(Bucket=name)
    client.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return name


def listening(stage: Stage, schedule_id: str) -> None:
    """Wait until the stream has handled the row."""

    def look() -> Any:
        rows = stage.table("BatchScheduleJobs").scan()["Items"]
        return [it for it in rows if it["runId"].startswith("#listeners#") and it["jobName"] == schedule_id]

    eventually(look, what=f"{schedule_id} listens")


def test_a_new_object_starts_one_run_of_each_schedule_that_waits_for_it(stage: Stage, put: Any, bucket: str) -> None:
    wanted = put(row({"s3": {"bucket": bucket, "prefix": "in/", "suffix": ".csv"}}))
    other = put(row({"s3": {"bucket": bucket, "prefix": "out/"}}))
    listening(stage, wanted)
    listening(stage, other)
    for key in ("in/a.csv", "in/a.txt"):
        stage.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    run = stage.ended(wanted)
    assert {key: run["cause"][key] for key in ("kind", "bucket", "key")} == {
        "kind": "s3",
        "bucket": bucket,
        "key": "in/a.csv",
    }
    assert not stage.runs(other)


def test_an_object_that_keeps_changing_starts_one_run_when_it_is_stable(stage: Stage, put: Any, bucket: str) -> None:
    schedule_id = put(row({"s3": {"bucket": bucket, "stableFor": "3s"}}))
    listening(stage, schedule_id)
    client = stage.client("s3")
    for size in (1, 2, 3):
        client.put_object(Bucket=bucket, Key="big.csv", Body=b"x" * size)
    run = stage.ended(schedule_id)
    assert (run["cause"]["kind"], int(run["cause"]["size"])) == ("s3", 3)


def test_an_event_starts_a_run_where_the_pattern_matches(stage: Stage, put: Any) -> None:
    source = f"shop.{uuid.uuid4().hex[:8]}"
    wanted = put(row({"event": {"source": [source], "detail": {"total": [{"numeric": [">", 100]}]}}}))
    listening(stage, wanted)
    entries = [{"Source": source, "DetailType": "Order", "Detail": json.dumps({"total": total})} for total in (99, 101)]
    stage.client("events").put_events(Entries=entries)
    run = stage.ended(wanted)
    assert {key: run["cause"][key] for key in ("kind", "source", "detailType")} == {
        "kind": "event",
        "source": source,
        "detailType": "Order",
    }
