"""A week of cron schedules on one machine, whose clock jumps from one start to the next: the real engine, with its
functions, jobs and files, begins what the clock says, and nothing grows once retention has set in."""

from __future__ import annotations

import os
import random
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.machine_clock import Machine, needs_a_clock
from tests.oracles.clock import DAYS_OF_WEEK, CronCase
from universal_scheduler.local import processes

pytestmark = needs_a_clock
SCHEDULES = int(os.environ.get("USCHED_MACHINE_SCHEDULES", "5"))
DAYS = int(os.environ.get("USCHED_MACHINE_DAYS", "4"))
"""`make week` has 2,000 schedules and 7 days."""
FIRST = datetime(2026, 10, 22, tzinfo=UTC)
"""In this week clocks change in Europe."""
DAY = timedelta(days=1)
KEPT_DAYS = 2
SETTINGS = f"[retention]\nrunDays = {KEPT_DAYS}\neventDays = 1\nlogDays = 1\njobFileDays = 1\n"
# Executions are kept for 90 days, which a week does not have. Sweeps look at the clock of the week often enough.
CHANGES = f"""
from datetime import timedelta
from universal_scheduler.local.gaps import dynamodb_storage, execution_storage, logs_storage
from universal_scheduler.local.service import retention

execution_storage.RETENTION = timedelta(days={KEPT_DAYS})
dynamodb_storage._REAP_SECONDS = execution_storage._SWEEP_SECONDS = logs_storage._SWEEP_SECONDS = 5.0
retention._IDLE_SECONDS = retention._BUSY_SECONDS = 5.0
"""
ZONES = ("UTC", "Europe/Zurich", "America/New_York")
TIMES = ((2, 30), (6, 0), (12, 15), (23, 45))
PATIENCE_SECONDS = 600.0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path, monkeypatch, CHANGES)
    made.home.mkdir()
    (made.home / "engine.toml").write_text(SETTINGS)
    made.set_clock(FIRST)
    made.start()
    yield made
    made.stop()


def _cases() -> list[CronCase]:
    """Most start once a day or on some days of the week, at one of a few times, so that many start together."""
    chance, found = random.Random(11), []
    for _ in range(SCHEDULES):
        hour, minute = chance.choice(TIMES)
        zone, daily = chance.choice(ZONES), chance.random() < 0.4
        picked = range(7) if daily else sorted(chance.sample(range(7), chance.randint(1, 2)))
        days = "*" if daily else ",".join(DAYS_OF_WEEK[day] for day in picked)
        trigger = {"cron": f"cron({minute} {hour} ? * {days} *)", "timezone": zone}
        found.append(CronCase(trigger, zone, frozenset({minute}), frozenset({hour}), frozenset(picked)))
    return found


class Stage:
    """What a user sees of the machine's engine."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._engine = machine, machine.engine
        self._dynamodb = self._made(boto3.resource, "dynamodb")
        self._states = self._made(boto3.client, "stepfunctions")
        self._scheduler = self._made(boto3.client, "scheduler")

    def put(self, rows: list[dict[str, Any]]) -> None:
        with self._dynamodb.Table("BatchSchedules").batch_writer() as writer:
            for row in rows:
                writer.put_item(Item=row)
        self._eventually(lambda: self._entries() == len(rows), "the entries")

    def pass_to(self, moment: datetime, ended_jobs: int) -> None:
        """Set the clock, and wait for the end of what starts then: so many jobs have ended since the engine started."""
        self._machine.set_clock(moment)
        request = {"FlexibleTimeWindow": {"Mode": "OFF"}, "State": "DISABLED", "ScheduleExpression": "rate(1 day)"}
        target = {"Arn": "arn:aws:sqs:us-east-1:123456789012:none", "RoleArn": "arn:aws:iam::123456789012:role/none"}
        self._scheduler.create_schedule(Name="nudge", Target=target, **request)  # Scheduler looks at the clock now
        self._scheduler.delete_schedule(Name="nudge")
        self._eventually(
            lambda: self._ended() == ended_jobs and not self._running(), f"the end of the runs of {moment}"
        )

    def starts(self) -> dict[tuple[str, str], str]:
        """The state of each run that is kept, by its schedule and the time that it was due."""
        table, found, more = self._dynamodb.Table("BatchScheduleHistory"), {}, {}
        while True:
            page = table.scan(**more)
            for item in page["Items"]:
                if "cause" in item:
                    found[item["scheduleId"], item["cause"]["scheduledTime"]] = item["scheduleStatus"]
            if "LastEvaluatedKey" not in page:
                return found
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def wait_for_retention(self, now: datetime) -> None:
        oldest = f"{now - timedelta(days=KEPT_DAYS + 1):%Y-%m-%dT%H:%M:%SZ}"
        self._eventually(lambda: all(at >= oldest for _, at in self.starts()), "the end of runs that are too old")

    def memory(self) -> tuple[int, int]:
        """MiB of the engine's own process, and of all its processes: functions, and what jobs live under."""
        pids = [pid for pid in processes.marked(self._engine.state_dir) if pid != self._engine.pid]
        own = _held(self._engine.pid)
        return own, own + sum(_held(pid) for pid in pids)

    def sizes(self) -> dict[str, int]:
        """KiB of each file of state, with its log of writes; and of the files of jobs."""
        found: Counter[str] = Counter()
        for path in (self._engine.state_dir / "state").iterdir():
            found[path.name.partition(".")[0]] += path.stat().st_size // 1024
        for path in (self._engine.state_dir / "jobs").rglob("*"):
            found["(files of jobs)"] += path.lstat().st_size // 1024
        return dict(sorted(found.items()))

    def _entries(self) -> int:
        pages = self._scheduler.get_paginator("list_schedules").paginate(GroupName="usched")
        return sum(len(page["Schedules"]) for page in pages)

    def _ended(self) -> int:
        with urllib.request.urlopen(f"{self._engine.endpoint}/metrics", timeout=60) as answer:
            told = answer.read().decode()
        return sum(int(number) for number in re.findall(r'^usched_ended_jobs_total\{status="\w+"\} (\d+)', told, re.M))

    def _running(self) -> list[Any]:
        machine = self._engine.state_machine_arn
        found = self._states.list_executions(stateMachineArn=machine, statusFilter="RUNNING", maxResults=1)
        return list(found["executions"])

    def _made(self, make: Callable[..., Any], service: str) -> Any:
        return make(
            service,
            endpoint_url=self._engine.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @staticmethod
    def _eventually(look: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not look():
            assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE_SECONDS:.0f} s"
            time.sleep(0.05)


def _held(pid: int) -> int:
    """What a process holds, in MiB. What several share counts in part for each.

    https://man7.org/linux/man-pages/man5/proc_pid_smaps.5.html
    """
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0
    return int(re.search(r"^Pss: +(\d+)", told, re.M)[1]) // 1024  # type: ignore[index]


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def test_a_week_on_one_machine_begins_what_the_clock_says_and_nothing_grows(machine: Machine) -> None:
    stage, cases = Stage(machine), _cases()
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "high", "containerOverrides": {"command": ["true"]}}
    ids = [f"s{number}" for number in range(SCHEDULES)]
    stage.put(
        [
            {"scheduleId": name, "wait_time": 60, "jobList": [job], "trigger": case.trigger}
            for name, case in zip(ids, cases, strict=True)
        ]
    )
    jobs, sizes, memory = 0, [], []
    for day in range(DAYS):
        begin = FIRST + day * DAY
        due = {name: case.starts(begin, begin + DAY) for name, case in zip(ids, cases, strict=True)}
        count = Counter(start for starts in due.values() for start in starts)
        took = time.monotonic()
        for moment in sorted(count):
            jobs += count[moment]
            stage.pass_to(moment, jobs)
        took = time.monotonic() - took
        found = {which: status for which, status in stage.starts().items() if which[1] > _text(begin)}
        assert found == {(name, _text(start)): "SUCCEEDED" for name, starts in due.items() for start in starts}
        machine.set_clock(begin + DAY)
        stage.wait_for_retention(begin + DAY)
        sizes.append(stage.sizes())
        memory.append(stage.memory())
        print(
            f"{begin:%a %d}: {count.total():,} runs at {len(count)} times in {took:.0f} s, each as expected; memory "
            f"{memory[-1][0]} MiB, with functions {memory[-1][1]}; KiB {sum(sizes[-1].values()):,} {sizes[-1]}",
            flush=True,
        )
    settled = KEPT_DAYS  # from the day after, as much is deleted as comes
    # Each file may have a log of writes of 4,000 pages, which is written again and again.
    assert sum(sizes[-1].values()) <= 1.25 * sum(sizes[settled].values()) + 16 * 1024 * len(sizes[-1])
    assert memory[-1][0] <= 1.1 * memory[settled][0] + 8
