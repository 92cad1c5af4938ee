"""What starts runs by itself: rows and ended runs."""

from __future__ import annotations

from dataclasses import replace
from random import randbytes
from typing import Any

import pytest

from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.documents.triggers import what_starts
from universal_scheduler.domain.errors import InvalidSchedule, ItemTooLarge
from universal_scheduler.domain.runs.model import AuditEntry, Execution, Mark, Run, RunKey, RunStatus, Verb
from universal_scheduler.usecases.triggers import run_ended, schedule_written, store_schedule

KEY = RunKey("load", "2026-11-21T06:00:00.000001")


def row(schedule_id: str = "load", **more: Any) -> dict[str, Any]:
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
    return {"scheduleId": schedule_id, "jobList": [job], **more}


def written(store: MemoryStore, workflow: MemoryWorkflow, new: dict[str, Any], old: Any = None) -> None:
    store.put_schedule(new)
    schedule_written(store, workflow, "event-1", old, new)


PAUSE = AuditEntry(Mark(Verb.PAUSE, "ann", 1.0))


def test_a_paused_schedule_is_started_by_no_trigger() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    for name in ("load", "report"):
        store.pause(name, PAUSE)
    written(store, workflow, row())
    written(store, workflow, row("report", trigger={"after": ["load"]}))
    assert run_ended(store, workflow, ended()) == []
    assert not workflow.started
    store.resume("report", PAUSE)
    assert run_ended(store, workflow, ended()) == ["report"]


def ended(status: RunStatus = RunStatus.SUCCEEDED, cause: dict[str, Any] | None = None) -> Run:
    return Run(KEY, status, Execution("arn", "name"), cause=cause or {})


def test_an_inserted_row_starts_once_however_often_it_is_delivered() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    written(store, workflow, row())
    written(store, workflow, row())
    [(name, message)] = workflow.started.items()
    assert name.startswith("row-load-")
    assert message == {"scheduleId": "load", "cause": {"kind": "row", "eventId": "event-1"}}


@pytest.mark.parametrize("trigger", [{"manual": True}, {"after": ["other"]}, [{"after": "a"}, {"after": "b"}]])
def test_a_row_with_a_trigger_does_not_start(trigger: dict[str, Any]) -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    written(store, workflow, row(trigger=trigger))
    assert not workflow.started


def test_a_changed_row_does_not_start() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    written(store, workflow, row(scheduleName="new"), old=row())
    assert not workflow.started


def test_a_bad_row_starts_nothing_is_kept_and_carries_its_errors() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    written(store, workflow, row(jobLst=[]))
    kept = store.get_schedule("load")
    assert kept is not None
    assert kept["jobLst"] == []
    assert "did you mean 'jobList'" in kept["scheduleErrors"][0]["found"]
    assert not workflow.started


def test_a_row_of_a_cycle_is_kept_with_its_errors_until_it_is_stored_again() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    written(store, workflow, row("report", trigger={"after": "load"}))
    written(store, workflow, row(trigger={"after": "report"}))
    kept = store.get_schedule("load") or {}
    [error] = kept["scheduleErrors"]
    assert (error["path"], error["found"]) == ("$.trigger.after", "a cycle: load → report → load")
    assert run_ended(store, workflow, replace(ended(), key=RunKey("report", KEY.start))) == []
    assert run_ended(store, workflow, ended()) == ["report"], "the other row is as it should be"
    store.put_schedule(row("report"))
    schedule_written(store, workflow, "event-2", row(), kept)
    assert "scheduleErrors" not in (store.get_schedule("load") or {})


def test_a_row_that_is_right_again_loses_its_errors_and_does_not_start() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    written(store, workflow, row(scheduleErrors=[{"path": "$"}]), old=row(jobLst=[]))
    assert "scheduleErrors" not in (store.get_schedule("load") or {})
    assert not workflow.started


def test_errors_that_are_written_already_are_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    bad = row(jobLst=[])
    written(store, workflow, bad)
    monkeypatch.setattr(store, "record_schedule_errors", lambda *_: pytest.fail("it would come back for ever"))
    schedule_written(store, workflow, "event-2", bad, store.get_schedule("load") or {})


def test_a_run_that_succeeded_starts_every_schedule_after_it_once() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    store.put_schedule(row("report", trigger={"after": ["load", "other"]}))
    store.put_schedule(row("unrelated", trigger={"after": ["other"]}))
    assert run_ended(store, workflow, ended()) == ["report"]
    assert run_ended(store, workflow, ended()) == []
    [message] = workflow.started.values()
    assert message["cause"] == {
        "kind": "upstream",
        "scheduleId": "load",
        "startDateTime": KEY.start,
        "chain": ["load"],
    }


def test_a_run_that_failed_starts_nothing() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    store.put_schedule(row("report", trigger={"after": ["load"]}))
    assert run_ended(store, workflow, ended(RunStatus.FAILED)) == []


def test_schedules_after_each_other_do_not_start_each_other_for_ever() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    store.put_schedule(row("report", trigger={"after": ["load"]}))
    cause = {"kind": "upstream", "scheduleId": "report", "chain": ["load", "report"]}
    assert run_ended(store, workflow, ended(cause=cause)) == [], "load → report → load has come round"
    assert run_ended(store, workflow, ended(cause={"kind": "row"})) == ["report"]


def test_storing_checks_first() -> None:
    store = MemoryStore()
    with pytest.raises(InvalidSchedule):
        store_schedule(store, {"scheduleId": "x"})
    with pytest.raises(ItemTooLarge, match=r"409,600"):
        store_schedule(store, row(description="x" * 4000) | {"jobList": huge()})
    assert not store.schedules
    assert store_schedule(store, row()) == ("load", True)
    assert store_schedule(store, row()) == ("load", False)


def huge() -> list[dict[str, Any]]:
    return [
        {"jobName": f"j{i}", "jobDefinition": "shell", "jobQueue": "default", "parameters": {"x": randbytes(250).hex()}}
        for i in range(2000)
    ]


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        ({"manual": True}, "usched run load, or POST /executions"),
        ({"after": "a"}, "a run of a that succeeds"),
        ({"after": ["a", "b"], "outcome": "FAILED"}, "a run of a or b that fails"),
        ({"after": ["a", "b"], "when": "all"}, "a run each of a and b that succeeds"),
        ({"after": ["a"], "when": "all", "outcome": "ENDED"}, "a run of a that ends"),
        (
            {"after": ["a", "b"], "when": "all", "within": 90, "sameBusinessDate": True},
            "a run each of a and b that succeeds within 90 seconds of the same business date",
        ),
        ([{"after": "a"}, {"after": "b"}], "a run of a that succeeds; a run of b that succeeds"),
    ],
)
def test_what_starts_a_schedule_is_told(trigger: Any, text: str) -> None:
    assert what_starts(row(trigger=trigger), new=True) == text


NAMED = {"cron": "0 6 * * *", "calendar": "bank"}


def test_a_row_that_names_an_unknown_calendar_is_kept_with_its_error_until_it_is_stored_again() -> None:
    store, workflow = MemoryStore(), MemoryWorkflow()
    written(store, workflow, row(trigger=NAMED))
    kept = store.get_schedule("load") or {}
    [error] = kept["scheduleErrors"]
    assert (error["path"], error["found"]) == ("$.trigger.calendar", "'bank', and there is no such calendar")
    store.put_calendar({"calendarName": "bank", "holidays": "XX"})
    schedule_written(store, workflow, "event-2", kept, row(trigger=NAMED))
    assert "whose row is wrong" in (store.get_schedule("load") or {})["scheduleErrors"][0]["found"]
    store.put_calendar({"calendarName": "bank", "holidays": "US"})
    schedule_written(store, workflow, "event-3", kept, store.get_schedule("load") or {})
    assert store.get_schedule("load") == row(trigger=NAMED)
    assert not workflow.started


def test_a_schedule_that_names_an_unknown_calendar_is_not_stored() -> None:
    store = MemoryStore()
    with pytest.raises(InvalidSchedule, match=r"\$.trigger.calendar: found 'bank', and there is no such calendar"):
        store_schedule(store, row(trigger=NAMED))
    assert not store.schedules
    store.put_calendar({"calendarName": "bank"})
    assert store_schedule(store, row(trigger=NAMED)) == ("load", True)
