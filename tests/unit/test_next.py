"""`usched next` and its sister route: when a schedule starts, and why it does not."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import tzdata

from tests.oracles.documents import JOB
from tests.usched import Stage, usched
from universal_scheduler.cli import target
from universal_scheduler.domain.errors import InvalidRow, ScheduleNotFound
from universal_scheduler.domain.runs.model import AuditEntry, Mark, Verb
from universal_scheduler.usecases.upcoming import (
    MOST_LEFT_OUT,
    NoTime,
    Span,
    read_bound,
    read_query,
    starts_of_stored,
    upcoming_view,
)

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
WEEKDAYS = {"cron": "0 9 * * 1-5", "timezone": "America/New_York"}


def row(*triggers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scheduleId": "daily", "jobList": [JOB], "trigger": list(triggers), **more}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "daily.json"


def shown(file: Path, document: Any, *words: str) -> dict[str, Any]:
    file.write_text(json.dumps(document))
    done = usched("next", str(file), "--json", *words)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_file_needs_no_stage(file: Path) -> None:
    answer = shown(file, row(WEEKDAYS), "--from", "2026-07-01T00:00:00Z", "--to", "2026-07-03T00:00:00Z")
    assert answer == {
        "starts": [
            {"at": "2026-07-01T13:00:00Z", "local": "2026-07-01T09:00:00-04:00", "trigger": 0},
            {"at": "2026-07-02T13:00:00Z", "local": "2026-07-02T09:00:00-04:00", "trigger": 0},
        ],
        "leftOut": [],
        "tzdata": tzdata.__version__,
    }


def test_each_start_that_is_left_out_has_its_reason(file: Path) -> None:
    calendar = {"off": ["2026-07-03 Independence Day observed"]}
    answer = shown(file, row(WEEKDAYS | {"calendar": calendar}), "--from", "2026-07-02", "--to", "2026-07-06")
    assert [start["at"][:10] for start in answer["starts"]] == ["2026-07-02", "2026-07-06"]
    [left_out] = answer["leftOut"]
    assert (left_out["at"], left_out["local"]) == ("2026-07-03T13:00:00Z", "2026-07-03T09:00:00-04:00")
    assert "Independence Day observed" in left_out["reason"]


def test_ten_starts_are_shown_and_with_an_end_all_until_then(file: Path) -> None:
    hourly = row({"cron": "0 * * * *"})
    begin = ("--from", "2026-07-01T00:00:00Z")
    assert len(shown(file, hourly, *begin)["starts"]) == 10
    assert len(shown(file, hourly, *begin, "-n", "3")["starts"]) == 3
    assert len(shown(file, hourly, *begin, "--to", "2026-07-03T00:00:00Z")["starts"]) == 48
    assert len(shown(file, hourly, *begin, "--to", "2026-07-03T00:00:00Z", "--count", "7")["starts"]) == 7


def test_a_span_has_its_first_moment_and_not_its_last(file: Path) -> None:
    answer = shown(file, row({"cron": "0 * * * *"}), "--from", "2026-07-01T01:00:00Z", "--to", "2026-07-01T03:00:00Z")
    assert [start["at"][11:13] for start in answer["starts"]] == ["01", "02"]


def test_a_day_is_one_of_each_triggers_own_zone(file: Path) -> None:
    east, west = ({"cron": "0 1,23 * * *", "timezone": zone} for zone in ("Pacific/Kiritimati", "Pacific/Midway"))
    answer = shown(file, row(east, west), "--from", "2026-07-01", "--to", "2026-07-01")
    assert [(start["trigger"], start["local"]) for start in answer["starts"]] == [
        (0, "2026-07-01T01:00:00+14:00"),
        (0, "2026-07-01T23:00:00+14:00"),
        (1, "2026-07-01T01:00:00-11:00"),
        (1, "2026-07-01T23:00:00-11:00"),
    ]


def test_several_schedules_of_a_file_are_named(file: Path) -> None:
    answer = shown(file, [row(WEEKDAYS), row(WEEKDAYS) | {"scheduleId": "other"}], "-n", "1")
    assert [entry["scheduleId"] for entry in answer["schedules"]] == ["daily", "other"]


def test_what_starts_a_schedule_without_a_time_is_said(file: Path) -> None:
    file.write_text(json.dumps(row({"after": ["load"]})))
    assert "daily: a run of load that succeeds" in usched("next", str(file)).stdout
    assert shown(file, row({"after": ["load"]}))["starts"] == []


def test_a_person_sees_local_time_utc_and_the_version_of_the_zones(file: Path) -> None:
    file.write_text(json.dumps(row(WEEKDAYS)))
    printed = usched("next", str(file), "--from", "2026-07-01", "-n", "1").stdout
    assert "Wed 2026-07-01 09:00:00 EDT" in printed
    assert "2026-07-01T13:00:00Z" in printed
    assert f"tzdata {tzdata.__version__}" in printed


def test_a_stored_schedule_is_shown_by_its_id(stage: Stage) -> None:
    stage.store.put_schedule(row(WEEKDAYS))
    answer = json.loads(usched("next", "daily", "--json", "-n", "2").stdout)
    assert len(answer["starts"]) == 2


def test_a_calendar_of_the_stage_is_used(stage: Stage, file: Path) -> None:
    stage.store.put_calendar({"calendarName": "bank", "off": ["2026-07-01 audit"]})
    document = row(WEEKDAYS | {"calendar": "bank"})
    answer = shown(file, document, "--from", "2026-07-01", "--to", "2026-07-02")
    assert "audit" in answer["leftOut"][0]["reason"]
    stage.store.put_schedule(document)
    stored = usched("next", "daily", "--json", "--from", "2026-07-01", "--to", "2026-07-02")
    assert json.loads(stored.stdout) == answer


def test_a_calendar_that_there_is_not_is_an_error(stage: Stage) -> None:
    stage.store.put_schedule(row(WEEKDAYS | {"calendar": "bnak"}))
    done = usched("next", "daily")
    assert done.exit_code == 2
    assert "bnak" in done.stderr


def test_a_paused_schedule_starts_nothing_and_says_who_paused_it(stage: Stage) -> None:
    stage.store.put_schedule(row(WEEKDAYS))
    stage.store.pause("daily", AuditEntry(Mark(Verb.PAUSE, "ann", 1.0, "repairs")))
    answer = json.loads(usched("next", "daily", "--json", "-n", "2").stdout)
    assert answer["starts"] == []
    assert [entry["reason"] for entry in answer["leftOut"]] == ["the schedule is paused by ann: repairs"] * 2


def test_a_calendar_that_is_always_closed_ends(stage: Stage) -> None:
    closed = {"weekend": ["SAT", "SUN"], "off": []}
    stage.store.put_schedule(row({"cron": "0 9 * * 6", "calendar": closed}))
    _, starts = starts_of_stored(stage.store, stage.calendars, "daily", Span(NOW), 1)
    assert len(starts) == MOST_LEFT_OUT


@pytest.mark.parametrize("words", [("--from", "tomorrow"), ("--to", "2026-13-01"), ("--from", "9999-12-31")])
def test_a_time_that_is_none_is_refused(file: Path, words: tuple[str, str]) -> None:
    file.write_text(json.dumps(row(WEEKDAYS)))
    done = usched("next", str(file), *words)
    assert done.exit_code == 2
    assert f"{words[0]}: '{words[1]}' is not" in done.stderr


def test_a_schedule_that_is_not_there_or_not_valid_is_refused(stage: Stage, file: Path) -> None:
    assert usched("next", "nobody").exit_code == 2
    file.write_text(json.dumps(row({"cron": "61 * * * *"})))
    refused = usched("next", str(file))
    assert refused.exit_code == 2
    assert "$.trigger[0].cron" in refused.stderr
    with pytest.raises(ScheduleNotFound):
        starts_of_stored(stage.store, stage.calendars, "nobody", Span(NOW), 1)
    stage.store.put_schedule(row({"cron": "61 * * * *"}))
    with pytest.raises(InvalidRow):
        starts_of_stored(stage.store, stage.calendars, "daily", Span(NOW), 1)


def test_a_bound_is_a_day_or_a_moment() -> None:
    assert read_bound("2026-07-01") == date(2026, 7, 1)
    assert read_bound("2026-07-01T06:00:00+02:00") == datetime(2026, 7, 1, 4, tzinfo=UTC)
    assert read_bound("2026-07-01T06:00") == datetime(2026, 7, 1, 6, tzinfo=UTC)


def test_the_parameters_of_a_request() -> None:
    assert read_query({}, NOW) == (Span(NOW), 10)
    assert read_query({"to": "2026-07-03"}, NOW) == (Span(NOW, date(2026, 7, 3)), None)
    assert read_query({"n": "3", "from": "2026-07-01"}, NOW) == (Span(date(2026, 7, 1)), 3)
    for wrong in ({"n": "0"}, {"n": "x"}, {"n": "99999"}, {"from": "x"}, {"since": "1d"}):
        with pytest.raises(NoTime):
            read_query(wrong, NOW)


def test_an_answer_without_starts() -> None:
    assert upcoming_view([]) == {"starts": [], "leftOut": [], "tzdata": tzdata.__version__}


def test_a_rate_without_a_start_has_always_the_same_phase(file: Path) -> None:
    answer = shown(file, row({"rate": "rate(15 minutes)"}), "--from", "2026-07-01T06:07:00Z", "-n", "2")
    assert [start["at"][11:16] for start in answer["starts"]] == ["06:15", "06:30"]


def test_a_calendar_of_the_same_file_is_used_and_no_stage_is_asked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "connect", lambda _: pytest.fail("a stage was asked"))
    calendar = {"calendarName": "bank", "off": ["2026-07-01 audit"]}
    answer = shown(file, [calendar, row(WEEKDAYS | {"calendar": "bank"})], "--from", "2026-07-01", "--to", "2026-07-02")
    assert [each["reason"] for each in answer["leftOut"]] == ["audit, bank"]
    assert [each["at"] for each in answer["starts"]] == ["2026-07-02T13:00:00Z"]


def test_an_answer_that_is_cut_says_so(file: Path) -> None:
    file.write_text(json.dumps(row({"rate": "rate(1 minute)"})))
    done = usched("next", str(file), "--json", "--from", "2026-01-01", "--to", "2026-01-31")
    assert len(json.loads(done.stdout)["starts"]) == 10_000
    assert "Only the first starts are shown" in done.stderr
    assert not usched("next", str(file), "--json", "-n", "5").stderr


def test_a_time_in_which_nothing_starts_is_said(file: Path) -> None:
    file.write_text(json.dumps(row({"at": "at(2027-01-01T00:00:00)"})))
    assert "Nothing starts in this time." in usched("next", str(file), "--to", "2026-12-31").stdout
