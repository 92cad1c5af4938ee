"""`usched notify test` over memory."""

from __future__ import annotations

from tests.usched import Stage, row, told, usched
from universal_scheduler.domain.messages.notifications import Kind

TOPIC = "arn:aws:sns:us-east-1:123456789012:people"
CHANNELS = [
    {"on": ["run_failed", "job_failed"], "slack": "https://hooks.example.com/s3cret"},
    {"on": ["run_failed"], "sns": TOPIC},
]


def test_every_channel_gets_a_test_message(stage: Stage) -> None:
    stage.store.put_schedule(row(notifications=CHANNELS))
    assert told("notify", "test", "load") == {
        "scheduleId": "load",
        "channels": [
            {"channel": "slack hooks.example.com", "on": ["run_failed", "job_failed"], "delivered": True},
            {"channel": f"sns {TOPIC}", "on": ["run_failed"], "delivered": True},
        ],
    }
    assert [message.kind for _, message in stage.sent] == [Kind.TEST] * 2
    assert "run_failed, job_failed" in stage.sent[0][1].detail
    assert stage.sent[0][1].command == "usched show load"


def test_a_channel_that_does_not_take_it_is_told_and_the_others_are_tried(stage: Stage) -> None:
    stage.store.put_schedule(row(notifications=CHANNELS))
    stage.refused = "hooks.example.com"
    result = usched("notify", "test", "load")
    assert result.exit_code == 1
    assert "slack hooks.example.com answered 404" in result.stdout
    assert "delivered" in result.stdout
    assert "s3cret" not in result.stdout


def test_it_is_about_the_newest_run_where_there_is_one(stage: Stage) -> None:
    stage.store.put_schedule(row(scheduleSnsTopic=TOPIC))
    usched("run", "load", "--name", "one")
    key = stage.drive("one")
    assert usched("notify", "test", "load").exit_code == 0
    assert stage.sent[0][1].command == f"usched show load {key.start}"


def test_a_schedule_that_tells_nobody_is_a_problem(stage: Stage) -> None:
    stage.store.put_schedule(row(scheduleSnsTopic=" "))
    result = usched("notify", "test", "load")
    assert (result.exit_code, "has no channels" in result.stderr) == (2, True)
    assert usched("notify", "test", "none").exit_code == 2
