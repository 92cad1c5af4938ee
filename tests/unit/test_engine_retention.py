"""What an engine keeps for how long: its settings, and what its sweeps delete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.tables import template
from universal_scheduler.local.service import retention, settings
from universal_scheduler.local.service.logfile import rotate
from universal_scheduler.local.service.retention import RUNS_AT_ONCE, Sweeper, expire_objects, forget_files
from universal_scheduler.local.service.settings import LOG_DAYS, Retention, SettingsError

DAY, MEGABYTE = 86400.0, 1 << 20
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def test_without_a_file_the_usual_settings_hold(tmp_path: Path) -> None:
    assert settings.read(tmp_path) == Retention()
    defaults = template()["Parameters"]
    assert Retention().parameters() == {name: str(defaults[name]["Default"]) for name in Retention().parameters()}
    assert list(LOG_DAYS) == defaults["LogRetentionDays"]["AllowedValues"]


def test_a_file_changes_some_of_them(tmp_path: Path) -> None:
    (tmp_path / "engine.toml").write_text("[retention]\nrunDays = 0\ntableMegabytes = 100\nlogDays = 7\n")
    found = settings.read(tmp_path)
    assert (found.run_days, found.table_megabytes, found.event_days) == (0, 100, 90)
    assert found.parameters() == {"JobEventDays": "90", "LogRetentionDays": "7"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[retentoin]", "no section 'retentoin'. There are: retention."),
        ("[retention]\nrundays = 1", "no setting of [retention] 'rundays'. There are: runDays, eventDays,"),
        ("[retention]\nrunDays = -1", "runDays is -1; a whole number is expected"),
        ("[retention]\nrunDays = true", "runDays is True; a whole number is expected"),
        ('[retention]\nrunDays = "1"', "runDays is '1'; a whole number is expected"),
        ("[retention]\neventDays = 0", "eventDays must be at least 1"),
        ("[retention]\nlogDays = 8", "logDays is 8; it must be one of 1, 3, 5,"),
        ("retention = 1", "begin it with the line [retention]"),
        ("runDays: 1", "cannot be read"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "engine.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        settings.read(tmp_path)
    assert told in str(error.value)
    assert "engine.toml" in str(error.value)


class Files:
    """The directory of attempts, each with a file in its directory and an output."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "jobs"
        self.folder.mkdir()

    def attempt(self, name: str, age: float, size: int = 1000) -> None:
        place = self.folder / name
        place.mkdir()
        (place / "result").write_bytes(bytes(size))
        output = self.folder / f"{name}.log"
        output.write_text("done")
        for path in (place, output):
            os.utime(path, (NOW - age, NOW - age))

    def left(self) -> set[str]:
        names = {path.name.removesuffix(".log") for path in self.folder.iterdir()}
        assert {path.name for path in self.folder.iterdir()} == names | {f"{name}.log" for name in names}
        return names


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_files_of_attempts_go_when_they_are_too_old_unless_the_attempt_runs(files: Files) -> None:
    for name, age in {"old": 8 * DAY, "running": 8 * DAY, "young": 6 * DAY}.items():
        files.attempt(name, age)
    forget_files(files.folder, Retention(job_file_days=7), {"running"}, NOW)
    assert files.left() == {"running", "young"}
    forget_files(files.folder, Retention(job_file_days=0), {"running"}, NOW + 100 * DAY)
    assert files.left() == {"running", "young"}


def test_the_oldest_files_go_while_all_are_too_large(files: Files) -> None:
    for name, age in {"third": 3 * DAY, "first": 5 * DAY, "second": 4 * DAY}.items():
        files.attempt(name, age, MEGABYTE)
    forget_files(files.folder, Retention(job_file_megabytes=2), (), NOW)
    assert files.left() == {"third"}  # the outputs count, too


def test_files_of_an_attempt_that_has_just_ended_stay_whatever_they_take(files: Files) -> None:
    files.attempt("just-ended", 60, 2 * MEGABYTE)
    forget_files(files.folder, Retention(job_file_megabytes=1), (), NOW)
    assert files.left() == {"just-ended"}


def test_where_no_job_has_run_there_is_nothing_to_forget(tmp_path: Path) -> None:
    forget_files(tmp_path / "nowhere", Retention(), (), NOW)


class History:
    """Runs and events by their age in days; all take as much."""

    def __init__(self, runs: dict[int, int], events: dict[int, int], bytes_each: int = MEGABYTE) -> None:
        self.runs, self.events, self._bytes_each = dict(runs), dict(events), bytes_each

    def forget_runs(self, before: str, limit: int) -> int:
        forgotten = 0
        for age in sorted(self.runs, reverse=True):
            day = datetime.fromtimestamp(NOW - age * DAY, UTC).date().isoformat()
            if day < before:
                gone = min(self.runs[age], limit - forgotten)
                self.runs[age] -= gone
                forgotten += gone
        return forgotten

    def forget_events(self, days: float) -> int:
        gone = sum(count for age, count in self.events.items() if age > days)
        self.events = {age: 0 if age > days else count for age, count in self.events.items()}
        return gone

    def used_bytes(self) -> int:
        return (sum(self.runs.values()) + sum(self.events.values())) * self._bytes_each


class NoObjects:
    """An S3 without buckets."""

    def list_buckets(self) -> Any:
        return {"Buckets": []}


def sweeper(home: Path, history: History, **given: int) -> Sweeper:
    return Sweeper(
        home,
        Retention(**given),
        runs=history,
        forget_events=history.forget_events,
        used_bytes=history.used_bytes,
        live_attempts=set,
        s3=NoObjects(),
    )


def swept(home: Path, history: History, **given: int) -> int:
    """Sweep until nothing is left to do; answers how often."""
    sweeps = sweeper(home, history, **given)
    for number in range(1000):
        if not sweeps.sweep(NOW):
            return number
    raise AssertionError("the sweeps do not come to an end")


def test_old_runs_are_forgotten_in_several_sweeps(tmp_path: Path) -> None:
    history = History({40: RUNS_AT_ONCE * 2 + 1, 31: 5, 29: 7}, {}, 0)
    assert swept(tmp_path, history, run_days=30) == 3
    assert history.runs == {40: 0, 31: 0, 29: 7}


def test_runs_without_a_limit_stay(tmp_path: Path) -> None:
    history = History({3000: 5}, {}, 0)
    assert swept(tmp_path, history, run_days=0) == 0
    assert history.runs == {3000: 5}


def test_the_oldest_of_runs_and_events_go_while_the_tables_are_too_large(tmp_path: Path) -> None:
    history = History({300: 10, 60: 10, 20: 10}, {60: 30, 20: 10, 1: 5})
    swept(tmp_path, history, table_megabytes=40)
    assert history.used_bytes() <= 40 * MEGABYTE
    assert history.runs[300] == history.runs[60] == history.events[60] == 0
    assert (history.runs[20], history.events[20], history.events[1]) == (10, 10, 5)


def test_the_last_day_stays_however_large_it_is(tmp_path: Path) -> None:
    history = History({5: 10, 0: 10}, {5: 10, 0: 10})
    swept(tmp_path, history, table_megabytes=1)
    assert history.runs == {5: 0, 0: 10}
    assert history.events == {5: 0, 0: 10}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield boto3.client("s3", "us-east-1")


def test_objects_go_by_the_rules_of_their_buckets(s3: Any) -> None:
    rules = {
        "plain": [{"ID": "a", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 30}}],
        "prefix": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 30}}],
        "disabled": [{"ID": "a", "Status": "Disabled", "Filter": {}, "Expiration": {"Days": 30}}],
        "tagged": [
            {"ID": "a", "Status": "Enabled", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 30}}
        ],
        "without": [],
    }
    for bucket, given in rules.items():
        s3.create_bucket(Bucket=bucket)
        if given:
            s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": given})
        for key in ("a", "tmp/a"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
    now = datetime.now(UTC).timestamp()

    def keys(bucket: str) -> list[str]:
        return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]

    expire_objects(s3, now + 29 * DAY)
    assert keys("plain") == ["a", "tmp/a"]
    expire_objects(s3, now + 31 * DAY)
    assert {bucket: keys(bucket) for bucket in rules} == {
        "plain": [],
        "prefix": ["a"],
        "disabled": ["a", "tmp/a"],
        "tagged": ["a", "tmp/a"],
        "without": ["a", "tmp/a"],
    }


def test_a_large_log_is_put_aside_and_its_writers_write_on(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    rotate(path)  # there is none yet
    with path.open("a") as log:
        for number in range(5):
            log.write(f"{number}" * 100)
            log.flush()
            rotate(path, most_bytes=50, files=3)
        log.write("last")
        log.flush()
        rotate(path, most_bytes=50, files=3)
    assert path.read_text() == "last"
    assert [path.with_name(f"engine.log.{number}").read_text()[:1] for number in (1, 2, 3)] == ["4", "3", "2"]
    assert not path.with_name("engine.log.4").exists()


def test_a_sweep_that_fails_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Done(BaseException):
        pass

    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise Done

    monkeypatch.setattr(retention.time, "sleep", pause)
    history = History({}, {})
    monkeypatch.setattr(history, "used_bytes", lambda: 1 / 0)
    with pytest.raises(Done):
        sweeper(tmp_path, history, table_megabytes=1).run()
