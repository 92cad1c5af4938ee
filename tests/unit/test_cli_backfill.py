"""`usched backfill` over memory: what is run, what is said, and what an interruption leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.usched import Stage, row, told, usched
from universal_scheduler.cli import backfill as command

DAILY = {"cron": "30 2 * * *", "timezone": "America/New_York"}
WEEK = ("--from", "2026-03-05", "--to", "2026-03-11")


@pytest.fixture
def driven(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage whose executions run to their ends while the command waits. The date 2026-03-07 fails."""

    def drive(_: float) -> None:
        for name, message in list(stage.workflow.started.items()):
            if name not in stage.workflow.ended:
                stage.drive(name, failing="a" if message["cause"]["businessDate"] in failing else "")

    failing = {"2026-03-07"}
    stage.store.put_schedule(row("load", trigger=DAILY))
    monkeypatch.setattr(command.time, "sleep", drive)
    stage.failing = failing  # type: ignore[attr-defined]
    return stage


def dates(stage: Stage) -> list[str]:
    return sorted(str(run.cause["businessDate"]) for run in stage.store.list_runs("load", 1000))


def test_each_date_is_run_once_and_the_end_says_what_became_of_them(driven: Stage) -> None:
    done = usched("backfill", "load", *WEEK, "--parallel", "3")
    assert done.exit_code == 1
    assert dates(driven) == [f"2026-03-{day:02}" for day in (5, 6, 7, 9, 10, 11)]
    assert "load: 6 dates: 5 SUCCEEDED, 1 FAILED" in done.stdout
    assert "2026-03-08" in done.stdout  # left out, because clocks jump over 02:30
    assert "left out" in done.stdout
    assert "Give the same command again" in done.stdout


def test_the_same_command_again_runs_what_did_not_succeed(driven: Stage) -> None:
    usched("backfill", "load", *WEEK)
    driven.failing.clear()  # type: ignore[attr-defined]
    answer = told("backfill", "load", *WEEK)
    assert answer["counts"] == {"SKIPPED": 5, "SUCCEEDED": 1}
    assert dates(driven).count("2026-03-07") == 2


def test_an_interruption_leaves_it_resumable(driven: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    drive, waits = command.time.sleep, 0

    def interrupted(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            raise KeyboardInterrupt
        drive(seconds)

    driven.failing.clear()  # type: ignore[attr-defined]
    monkeypatch.setattr(command.time, "sleep", interrupted)
    done = usched("backfill", "load", *WEEK, "--parallel", "2")
    assert done.exit_code == 130
    assert "Give the same command again to resume" in done.stdout
    monkeypatch.setattr(command.time, "sleep", drive)
    assert usched("backfill", "load", *WEEK, "--parallel", "2").exit_code == 0
    assert dates(driven) == [f"2026-03-{day:02}" for day in (5, 6, 7, 9, 10, 11)]


def test_the_order_of_dates(driven: Stage) -> None:
    answer = told("backfill", "load", *WEEK, "--order", "newest")
    assert [entry["businessDate"][-2:] for entry in answer["dates"]] == ["11", "10", "09", "07", "06", "05"]
    started = [message["cause"]["businessDate"][-2:] for message in driven.workflow.started.values()]
    assert started == ["11", "10", "09", "07", "06", "05"]


def test_the_audit_trail_says_who_asked_for_it_and_why(driven: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USCHED_USER", "ann")
    usched("backfill", "load", *WEEK, "--reason", "corrected data")
    [line] = [entry for entry in told("audit", "load")["audit"] if entry["verb"] == "backfill"]
    assert (line["by"], line["reason"]) == ("ann", "corrected data")
    assert line["given"] == {"from": "2026-03-05", "to": "2026-03-11", "dates": 6, "parallel": 1, "again": False}
    assert {run.cause["by"] for run in driven.store.list_runs("load", 100)} == {"ann"}


@pytest.mark.parametrize(
    ("trigger", "words", "problem"),
    [
        ({"manual": True}, WEEK, "has no time trigger"),
        (DAILY, ("--from", "2026-03-08", "--to", "2026-03-08"), "has no date in this time, and 1 are left out"),
        (
            {"rate": "rate(1 minute)", "startDate": "2020-01-01"},
            ("--from", "2025-01-01", "--to", "2026-01-01"),
            "10,000",
        ),
        (DAILY, ("--from", "soon", "--to", "2026-03-08"), "'soon' is not a time"),
    ],
)
def test_what_cannot_be_run_is_refused(
    stage: Stage, trigger: dict[str, Any], words: tuple[str, ...], problem: str
) -> None:
    stage.store.put_schedule(row("load", trigger=trigger))
    done = usched("backfill", "load", *words)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert not stage.workflow.started
    assert not json.loads(usched("audit", "load", "--json").stdout)["audit"]


def test_a_schedule_that_is_not_there_is_said(stage: Stage) -> None:
    assert usched("backfill", "nobody", *WEEK).exit_code == 2
    assert not stage.workflow.started
