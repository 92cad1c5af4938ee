"""`--since`: what is a time, and the runs that started since then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.usched import Stage, row, told, usched
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.since import moment
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import Execution, Run, RunKey, RunStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
RUN = Run(RunKey("load", ""), RunStatus.SUCCEEDED, Execution("arn", "name"))


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("90s", NOW - 90),
        ("30m", NOW - 1800),
        ("2h", NOW - 7200),
        ("1d", NOW - 86400),
        ("1w", NOW - 604800),
        ("2026-11-21", NOW - 12 * 3600),
        ("2026-11-21T11:00:00Z", NOW - 3600),
        ("2026-11-21T12:00:00+01:00", NOW - 3600),
    ],
)
def test_times(text: str, epoch: float) -> None:
    assert moment(text, NOW) == epoch


@pytest.mark.parametrize("text", ["yesterday", "1y", "-1d", ""])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Problem, match="is not a time"):
        moment(text, NOW)


@pytest.mark.parametrize("text", ["999999999w", "0001-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_times_at_the_ends_of_the_calendar_can_be_written_again(text: str) -> None:
    assert iso(moment(text, NOW))


def test_runs_since_then_are_listed_newest_first(stage: Stage) -> None:
    stage.store.put_schedule(row())
    now = datetime.now(UTC).timestamp()
    for name, hours in (("load", 1), ("load", 30), ("other", 2), ("other", 400)):
        stage.store.create_run(replace(RUN, key=RunKey(name, iso(now - hours * 3600))))
    listed = told("runs", "--since", "1d")["runs"]
    assert [run["scheduleId"] for run in listed] == ["load", "other"]
    assert len(told("runs", "load", "--since", "1d")["runs"]) == 1
    assert len(told("runs", "--since", "1w", "--limit", "2")["runs"]) == 2
    assert len(told("runs")["runs"]) == 4


def test_no_runs_since_then(stage: Stage) -> None:
    stage.store.put_schedule(row())
    assert "No run has started in the last 1d. Look further back with --since" in usched("runs", "--since", "1d").stdout
    assert "No run of 'load' has started since 2026-11-21." in usched("runs", "load", "--since", "2026-11-21").stdout
    result = usched("runs", "--since", "yesterday")
    assert result.exit_code == 2
    assert "'yesterday' is not a time" in result.stderr
