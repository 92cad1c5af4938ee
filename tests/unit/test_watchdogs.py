"""What counts as late, stuck or unusual, and when to look again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.messages.watchdogs import (
    SAMPLES_KEPT,
    Found,
    Seen,
    deadline,
    late,
    learned,
    queued_since,
    unusual,
    usual,
)
from universal_scheduler.domain.runs.model import (
    Dependency,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Observation,
    Run,
    RunKey,
    RunStatus,
    Verb,
)


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


START = "2026-11-21T05:00:00.000000"
NOW = epoch("2026-11-21T06:00:00")


def run(status: RunStatus = RunStatus.RUNNING, ended_at: str = "", **document: Any) -> Run:
    return Run(RunKey("nightly", START), status, Execution("arn:x", "x"), ended_at=ended_at, document=document)


def job(name: str = "a", status: JobStatus = JobStatus.RUNNING, *after: str, **more: Any) -> JobRun:
    return JobRun(
        Job(name, "default", "shell", tuple(map(Dependency, after))), status=status, job_id=f"id-{name}", **more
    )


def deadlines(of: Run, jobs: list[JobRun]) -> Found:
    return late(Seen(of, jobs, {}, NOW))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90), ("PT90S", 90), ("PT1H30M", 5400), ("P1D", 86400), ("P1DT1S", 86401), ("90s", 90), ("2d", 172800)],
)
def test_durations(text: int | str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["P", "PT", "1w", "h", "-1h", "1.5h", "1H", "P1H", ""])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration_seconds(text)


@pytest.mark.parametrize(
    ("start", "by", "zone", "due"),
    [
        ("2026-11-21T05:00:00", "06:30", "UTC", "2026-11-21T06:30:00"),
        ("2026-11-21T05:00:00", "06:30", "Europe/Zurich", "2026-11-21T05:30:00"),
        ("2026-11-21T05:00:00", "06:00", "Europe/Zurich", "2026-11-22T05:00:00"),
        ("2026-11-21T05:00:00", "05:00", "UTC", "2026-11-22T05:00:00"),
        ("2026-11-20T23:30:00", "02:00", "America/New_York", "2026-11-21T07:00:00"),
        # The clocks go forward at 02:00 on 29 March, back at 03:00 on 25 October.
        ("2026-03-28T12:00:00", "06:00", "Europe/Zurich", "2026-03-29T04:00:00"),
        ("2026-10-24T12:00:00", "06:00", "Europe/Zurich", "2026-10-25T05:00:00"),
        ("2026-03-28T12:00:00", "02:30", "Europe/Zurich", "2026-03-29T01:00:00"),
        ("2026-03-29T01:10:00", "02:30", "Europe/Zurich", "2026-03-30T00:30:00"),
        ("2026-10-25T00:40:00", "02:30", "Europe/Zurich", "2026-10-25T01:30:00"),
        ("2026-11-21T05:00:00", "PT45M", "Europe/Zurich", "2026-11-21T05:45:00"),
    ],
)
def test_a_deadline_is_the_next_such_time_after_the_start(start: str, by: str, zone: str, due: str) -> None:
    assert deadline(epoch(start), by, zone) == epoch(due)


@pytest.mark.parametrize(
    ("document", "jobs", "missed"),
    [
        ({"mustStartBy": "05:30"}, [job(status=JobStatus.RUNNABLE)], ["mustStartBy"]),
        ({"mustStartBy": "05:30"}, [job(started_at=epoch("2026-11-21T05:29:00"))], []),
        ({"mustStartBy": "05:30"}, [job(started_at=epoch("2026-11-21T05:31:00"))], ["mustStartBy"]),
        ({"mustEndBy": "05:30", "maxDuration": 60}, [job()], ["mustEndBy", "maxDuration"]),
        ({"mustEndBy": "06:30", "maxDuration": "PT2H"}, [job()], []),
    ],
)
def test_a_run_is_late(document: dict[str, Any], jobs: list[JobRun], missed: list[str]) -> None:
    found = deadlines(run(**document), jobs)
    assert [breach.what for breach in found.breaches] == missed
    assert all(moment > NOW for moment in found.due)
    assert len({breach.name for breach in found.breaches}) == len(missed)


def test_a_run_that_has_ended_is_late_only_if_it_ended_so() -> None:
    for ended_at, missed in (("2026-11-21T05:29:00.000000", 0), ("2026-11-21T05:31:00.000000", 1)):
        ended = run(RunStatus.SUCCEEDED, ended_at, mustEndBy="05:30")
        assert len(deadlines(ended, [job(status=JobStatus.SUCCEEDED)]).breaches) == missed


def test_what_is_told_of_a_late_run() -> None:
    jobs = [
        job("report", JobStatus.WAITING, "load", "check"),
        job("load", started_at=epoch("2026-11-21T05:12:00"), submitted_at=epoch("2026-11-21T05:01:00")),
        job("extract", JobStatus.SUCCEEDED),
        job("check", JobStatus.RUNNABLE, "extract", submitted_at=epoch("2026-11-21T05:02:00")),
        job("mail", JobStatus.PENDING, "report", submitted_at=epoch("2026-11-21T05:02:00")),
    ]
    [breach] = deadlines(run(mustEndBy="06:30", timezone="Europe/Zurich"), jobs).breaches
    assert breach.detail == (
        "it had not ended by 2026-11-21 06:30 Europe/Zurich (mustEndBy 06:30); 1 of 5 jobs have ended; not ended: "
        "load RUNNING since 06:12; check RUNNABLE since 06:02; mail waits for report; report waits for load, check"
    )


def test_of_a_late_run_five_jobs_are_named_the_longest_running_first() -> None:
    jobs = [job(f"j{at}", started_at=NOW - 60 * at) for at in range(1, 8)]
    held = Mark(Verb.HOLD, "ann", NOW - 86_400)
    [breach] = deadlines(run(maxDuration=60), [job("h", JobStatus.HELD, mark=held), *jobs]).breaches
    assert breach.detail.endswith(
        "; 0 of 8 jobs have ended; not ended: j7 RUNNING since 05:53; j6 RUNNING since 05:54; j5 RUNNING since 05:55; "
        "j4 RUNNING since 05:56; j3 RUNNING since 05:57; 3 more"
    )
    [breach] = deadlines(
        run(maxDuration=60), [job("h", JobStatus.HELD, mark=held), job("w", JobStatus.WAITING)]
    ).breaches
    assert breach.detail.endswith("; not ended: h HELD since 2026-11-20 06:00; w WAITING")


def test_a_run_that_ended_late_has_no_job_left_to_name() -> None:
    ended = run(RunStatus.SUCCEEDED, "2026-11-21T05:31:00.000000", mustEndBy="05:30")
    [breach] = deadlines(ended, [job(status=JobStatus.SUCCEEDED)]).breaches
    assert breach.detail.endswith("; 1 of 1 jobs have ended")


def test_a_job_waits_in_its_queue_since_its_last_upstream_job_has_ended() -> None:
    upstream = job("a", JobStatus.SUCCEEDED, stopped_at=50.0)
    waiting = job("b", JobStatus.PENDING, "a", submitted_at=10.0)
    assert queued_since(waiting, {"a": upstream}) == 50.0
    assert queued_since(waiting, {"a": job("a", JobStatus.RUNNING)}) is None
    assert queued_since(job("b", JobStatus.RUNNABLE, submitted_at=10.0), {}) == 10.0
    assert queued_since(job("b", JobStatus.RUNNING, submitted_at=10.0), {}) is None
    assert queued_since(job("b", JobStatus.HELD), {}) is None


@pytest.mark.parametrize(
    ("seen", "waits"),
    [
        (Observation("x", JobStatus.RUNNABLE), True),
        (Observation("x", JobStatus.STARTING), False),
        (Observation("x", JobStatus.PENDING), False),
        (Observation("x", JobStatus.PENDING, child_counts={"RUNNABLE": 3}), True),
        (Observation("x", JobStatus.PENDING, child_counts={"RUNNABLE": 2, "RUNNING": 1}), False),
    ],
)
def test_what_waits_for_its_place(seen: Observation, waits: bool) -> None:
    assert seen.in_queue is waits


def test_what_is_usual_takes_five_samples_and_no_notice_of_an_outlier() -> None:
    assert usual([100.0] * 4) is None
    rule = usual([100.0, 110.0, 90.0, 105.0, 9000.0])
    assert rule is not None
    assert rule.median == 105.0
    assert rule.longest < 250
    steady = usual([100.0] * 5)
    assert steady is not None
    assert (steady.shortest, steady.longest) == (50.0, 150.0)


@pytest.mark.parametrize(
    ("each", "kinds"),
    [
        (job(started_at=NOW - 149), []),
        (job(started_at=NOW - 151), ["job_slow"]),
        (job(status=JobStatus.SUCCEEDED, started_at=1.0, stopped_at=152.0), ["job_slow"]),
        (job(status=JobStatus.SUCCEEDED, started_at=1.0, stopped_at=101.0), []),
        (job(status=JobStatus.SUCCEEDED, started_at=1.0, stopped_at=50.0), ["job_short"]),
        (job(status=JobStatus.FAILED, started_at=1.0, stopped_at=50.0), []),
        (job("new", started_at=1.0), []),
        (job(status=JobStatus.WAITING), []),
    ],
)
def test_a_job_is_unusual(each: JobRun, kinds: list[str]) -> None:
    found = unusual(Seen(run(), [each], {"a": [100.0] * 5}, NOW))
    assert [breach.kind for breach in found.breaches] == kinds
    assert found.due == ([NOW + 1] if each.started_at == NOW - 149 else [])


def test_the_newest_durations_are_kept_of_the_jobs_there_are() -> None:
    jobs = [
        job("a", JobStatus.SUCCEEDED, started_at=10.0, stopped_at=15.25),
        job("b", JobStatus.FAILED, started_at=10.0, stopped_at=12.0),
    ]
    samples = learned({"a": [1.0] * SAMPLES_KEPT, "b": [2.0], "gone": [3.0]}, jobs)
    assert samples == {"a": [*[1.0] * (SAMPLES_KEPT - 1), 5.2], "b": [2.0]}


ENTRY = {"jobName": "a", "jobQueue": "default", "jobDefinition": "shell"}


@pytest.mark.parametrize(
    "more",
    [
        {"timezone": "Europe/Zurich", "mustStartBy": "06:30", "mustEndBy": "PT2H", "maxDuration": 7200},
        {"maxDuration": "P1D", "maxQueueTime": "PT15M"},
        {"jobList": [{**ENTRY, "maxQueueTime": 600, "fallbackQueue": "low"}]},
    ],
)
def test_a_schedule_says_what_is_late(more: dict[str, Any]) -> None:
    assert find_errors({"scheduleId": "s", "jobList": [ENTRY], **more}) == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"timezone": "Europe/Zuerich"}, "a time zone of the IANA database"),
        ({"timezone": "../etc/passwd"}, "a time zone of the IANA database"),
        ({"timezone": "localtime"}, "a time zone of the IANA database"),
        ({"mustEndBy": "24:00"}, "a time of day, 06:30"),
        ({"mustEndBy": "2026-11-21T06:00:00"}, "a time of day, 06:30"),
        ({"mustStartBy": 600}, "type string"),
        ({"maxDuration": "2 hours"}, "PT1H30M"),
        ({"maxDuration": 0}, "between 1 and 31536000"),
        ({"maxQueueTime": "PT"}, "PT1H30M"),
    ],
)
def test_what_no_deadline_is(more: dict[str, Any], expected: str) -> None:
    [error] = find_errors({"scheduleId": "s", "jobList": [ENTRY], **more})
    assert expected in error.expected


def test_a_misspelt_time_zone_is_told_with_the_one_that_was_meant() -> None:
    [error] = find_errors({"scheduleId": "s", "jobList": [ENTRY], "timezone": "Europe/Zuerich"})
    assert error.found == "\"Europe/Zuerich\" (did you mean 'Europe/Zurich'?)"
