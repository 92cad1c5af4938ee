"""Everything is killed at random moments, with kill -9, and started again: nothing that was answered is lost, no job
runs twice save as the next attempt of one whose process died, and each run ends as the oracle says."""

from __future__ import annotations

import json
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import eventually
from tests.fault import ledger
from tests.fault.ledger import Attempt, Ledger
from tests.fault.machine import ENGINE, FIGURES, JOBS, SUPERVISOR, Machine
from tests.fault.users import GATE, LAST, OWN, Desk, Stored, User, case_of
from tests.oracles import verbs as verb_oracle
from tests.oracles.rules import FAILED, NEEDS_SUCCESS, RUNS
from tests.webhooks import Receiver, receiver
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Run, RunStatus
from universal_scheduler.domain.runs.rules import edge

pytestmark = pytest.mark.e2e

MOMENTS = int(os.environ.get("USCHED_CRASHES", "30"))
"""`make fault` has 300."""
TOGETHER = 30
"""So many for one engine."""
USERS = 3
CLOCK = "clock"
"""The schedule that starts every minute."""
DYING_SECONDS = 1.0
"""A process may say that it has ended, and nobody has heard of it when everything is killed; and one that has not begun
to speak may outlive its supervisor. On a busy machine, whose starts take long, this takes longer, too."""
MESSAGE_SECONDS = 120.0
SETTLED_SECONDS = 300.0


@pytest.mark.parametrize("seed", range(max(1, MOMENTS // TOGETHER)))
def test_nothing_is_lost_and_nothing_is_doubled(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USCHED_STATE_DIR", str(tmp_path))
    chance = random.Random(seed)
    machine = Machine(tmp_path / "engine", chance)
    try:
        with receiver() as people:
            desk = Desk(machine, people.url)
            desk.make_own()
            clock = _clock(desk)
            users = [User(desk, number, seed) for number in range(USERS)]
            _play(machine, users, min(MOMENTS, TOGETHER))
            for user in users:
                _settle(user)
            _Verdict(desk, users, people).check(clock)
    finally:
        machine.stop()


def _play(machine: Machine, users: list[User], moments: int) -> None:
    over = threading.Event()
    with ThreadPoolExecutor(USERS) as pool:
        working = [pool.submit(user.work, over) for user in users]
        try:
            while sum(machine.crashes.values()) < moments and not any(each.done() for each in working):
                machine.crash()
        finally:
            over.set()
        for each in working:
            each.result()


def _settle(user: User) -> None:
    """Without any more crashes, all that has begun ends."""

    def ended() -> bool:
        user.open = [each for each in user.open if not user.over(each)]
        for each in user.open:
            user.operate(each)
        return not user.open

    try:
        eventually(ended, seconds=SETTLED_SECONDS, what="the end of all runs")
    except AssertionError as error:
        left = {each.id: [_shown(run) for run in user.runs(each.id)] for each in user.open}
        raise AssertionError(f"{error}: {json.dumps(left, indent=1)}") from None


def _shown(run: Run) -> str:
    return f"{run.key.start} {run.status} {run.execution.name} {run.generation} {run.reason}"


def _clock(desk: Desk) -> float:
    """Store the schedule that starts every minute. Answers when it was certainly in force."""
    job = {"jobName": "tick", "jobQueue": "high", "jobDefinition": "shell"}
    document = {
        "scheduleId": CLOCK,
        "trigger": {"cron": "* * * * *"},
        "jobList": [job | {"containerOverrides": {"command": ledger.command(0.1, 0)}, "retryStrategy": ledger.RETRY}],
    }
    desk.client("dynamodb")
    desk.wiring.store.put_schedule(document)
    entries = desk.client("scheduler")
    eventually(lambda: entries.list_schedules(GroupName="usched")["Schedules"], what="the entry of the clock")
    return time.time()


class _Verdict:
    """Compares what has become of everything with what was answered, and with the oracle."""

    def __init__(self, desk: Desk, users: list[User], people: Receiver) -> None:
        self.desk, self.users, self.people = desk, users, people
        self.machine, self.store = desk.machine, desk.wiring.store
        self.ledger = Ledger(desk.machine.home / "data")
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def check(self, clock: float) -> None:
        self.wrong += [f"began twice: {each}" for each in self.ledger.twice]
        for user in self.users:
            for stored in user.stored:
                self._check_schedule(stored)
            self._check_pauses(user)
            self._check_notes(user)
        self._check_messages()
        self._check_clock(clock)
        self._check_attempts()
        FIGURES.append(self._figures())
        assert not self.wrong, "\n".join([f"{len(self.wrong)} wrong:", *self.wrong, FIGURES[-1]])

    def expect(self, true: bool, what: str) -> None:
        if not true:
            self.wrong.append(what)

    # Schedules and their runs

    def _check_schedule(self, stored: Stored) -> None:
        row = self.store.get_schedule(stored.id)
        self.expect(row == stored.document, f"{stored.id}: its row is not what was stored: {row}")
        runs = self.store.list_runs(stored.id, 100)
        names = {run.execution.name for run in runs}
        lost = [name for name in stored.names if name not in names]
        self.expect(not lost or any(run.generation > 1 for run in runs), f"{stored.id}: no run of {lost}")
        for run in runs:
            self.counts["runs"] += 1
            self._check_run(stored, run)

    def _check_run(self, stored: Stored, run: Run) -> None:
        jobs = {job.name: job for job in self.store.list_jobs(run.key.run_id)}
        expected = self._expected(stored, jobs)
        found = {name: self._as_commanded(stored, job) for name, job in jobs.items()}
        self.expect(found == expected, f"{run.key.run_id}: {_differences(found, expected)}")
        status = self._run_status(stored, jobs)
        self.expect(run.status is status, f"{run.key.run_id}: it is {run.status}, not {status}: {run.reason}")
        trail = {entry.mark.reason for entry in self.store.audit(run.key.run_id)}
        for run_id, reason in stored.asked:
            self.expect(run_id != run.key.run_id or reason in trail, f"{run_id}: a command is lost: {reason}")
        self.counts["commands"] += len(stored.asked)
        for job in jobs.values():
            self._check_job(stored, run, job)

    def _as_commanded(self, stored: Stored, job: JobRun) -> JobStatus:
        """Batch knows a cancelled job only as FAILED. The run keeps that where it hears of the job's end before whoever
        has cancelled the job could record it; the reason says so. A job behind it has then failed with its upstream."""
        if job.status is JobStatus.FAILED and job.reason.startswith("cancelled by "):
            return JobStatus.CANCELLED
        if stored.kind == "cancel" and job.status is JobStatus.UPSTREAM_FAILED:
            return JobStatus.CANCELLED
        return job.status

    def _expected(self, stored: Stored, jobs: dict[str, JobRun]) -> dict[str, JobStatus]:
        match stored.kind:
            case "acts":
                return {**verb_oracle.oracle(case_of(stored)), GATE: JobStatus.SUCCEEDED}
            case "restart":
                return dict.fromkeys(jobs, JobStatus.SUCCEEDED)
            case "cancel":
                ends = dict.fromkeys(jobs, JobStatus.CANCELLED)
                return ends | {LAST: JobStatus.SUCCEEDED}
            case _:
                return {name: self._end(job, jobs) for name, job in jobs.items()}

    def _end(self, job: JobRun, jobs: dict[str, JobRun]) -> JobStatus:
        """As its rule says of the ends of those before it, as its own last attempt did."""
        edges = [edge(each, jobs[each.job]) for each in job.job.dependencies]
        if edges and not RUNS[job.job.run_when](edges):
            failed = job.job.run_when in NEEDS_SUCCESS and FAILED in edges
            return JobStatus.UPSTREAM_FAILED if failed else JobStatus.SKIPPED
        died = job.job.retry_strategy is None and job.status is JobStatus.FAILED and self._died(self._last(job))
        code = int(job.job.container_overrides["command"][-1]) if job.job.container_overrides else 0
        return JobStatus.FAILED if code or died else JobStatus.SUCCEEDED

    def _last(self, job: JobRun) -> Attempt:
        """Its last attempt; of one that died before its first word, one that never ended."""
        found = [each for attempts in self.ledger.attempts.values() for each in attempts if each.job_id == job.job_id]
        return found[-1] if found else Attempt(job.job_id, 0, 0.0)

    def _run_status(self, stored: Stored, jobs: dict[str, JobRun]) -> RunStatus:
        if stored.kind == "cancel":
            return RunStatus.CANCELLED
        fine = all(job.status in (JobStatus.SUCCEEDED, JobStatus.SKIPPED) for job in jobs.values())
        return RunStatus.SUCCEEDED if fine else RunStatus.FAILED

    def _check_job(self, stored: Stored, run: Run, job: JobRun) -> None:
        """Batch had it as often as it was submitted."""
        self.counts["jobs"] += 1
        ids = {each.job_id.partition(":")[0] for each in self.ledger.of(run.key.run_id, job.name)}
        known = {each.job_id for each in job.earlier} | {job.job_id} - {""}
        self.expect(ids <= known, f"{run.key.run_id} {job.name}: nobody knows of {ids - known}, which ran")
        # A verb on a failed job lets those downstream of it that have run already run again.
        again = sum(act in ("rerun", "force-ok") for act in stored.acts.values()) + (stored.kind == "restart")
        self.expect(job.attempt <= 1 + again, f"{run.key.run_id} {job.name}: submitted {job.attempt} times")

    # Attempts

    def _check_attempts(self) -> None:
        for key, attempts in self.ledger.attempts.items():
            by_job: dict[str, list[Attempt]] = {}
            for attempt in attempts:
                by_job.setdefault(attempt.job_id, []).append(attempt)
            for job_id, its in by_job.items():
                if len(its) > 1:
                    self._check_log(job_id)
                self.counts["attempts"] += len(its)
                self.expect(
                    [a.number for a in its] == sorted({a.number for a in its}), f"{key}: attempts of {job_id}: {its}"
                )
                for before, after in pairwise(its):
                    self.counts["next attempts"] += 1
                    self.expect(
                        self._died(before), f"{key}: {after} although {before} has ended; {self._kills(before, after)}"
                    )
                    self.expect(not before.ended or before.ended <= after.began, f"{key}: {before} beside {after}")
                if its[-1].ended and self._spans_a_crash(its[-1]):
                    self.counts["jobs that outlived the engine"] += 1

    def _died(self, attempt: Attempt) -> bool:
        if not attempt.ended:
            return True
        killers = [at for at, roles in self.machine.kills if JOBS in roles or SUPERVISOR in roles]
        seconds = max(DYING_SECONDS, statistics.median(self.machine.seconds or [0.0]) / 4)
        return any(attempt.began - seconds <= at <= attempt.ended + seconds for at in killers)

    def _check_log(self, job_id: str) -> None:
        """No end that was told is taken back."""
        events = self.desk.wiring.job_log.history(job_id.partition(":")[0])
        ends = [event.seen.status for event in events if event.seen.status.ended]
        last = events[-1].seen.status if events else None
        self.expect(len(set(ends)) <= 1 and (not ends or last in ends), f"{job_id}: {[e.seen.status for e in events]}")

    def _kills(self, first: Attempt, then: Attempt) -> str:
        between = (kill for kill in self.machine.kills if first.began - 5 <= kill[0] <= then.began)
        return ", ".join(f"{' + '.join(roles)} killed at {at:.2f}" for at, roles in between)

    def _spans_a_crash(self, attempt: Attempt) -> bool:
        return any(attempt.began < at < attempt.ended for at, roles in self.machine.kills if ENGINE in roles)

    # People

    def _check_messages(self) -> None:
        """One of each end, however often it came."""
        ends = {
            (run.key.run_id, str(run.status)): stored.kind
            for user in self.users
            for stored in user.stored
            for run in self.store.list_runs(stored.id, 100)
        }
        wanted = {end for end, kind in ends.items() if kind != "cancel"}
        with suppress(AssertionError):
            eventually(lambda: wanted <= self._told().keys(), seconds=MESSAGE_SECONDS, what="all messages")
        told = self._told()
        self.expect(wanted <= told.keys(), f"nobody was told of {wanted - told.keys()}")
        for (run_id, status), ids in told.items():
            self.expect(len(ids) == 1, f"{run_id}: {len(ids)} different messages of its end as {status}")
            self.expect(ends.get((run_id, status)) != "cancel", f"{run_id}: a message of its end, which was asked for")
        self.counts["messages"] = len(self.people.requests)
        self.counts["messages that came again"] = len(self.people.requests) - sum(map(len, told.values()))

    def _told(self) -> dict[tuple[str, str], set[str]]:
        """The ids of the messages, by the run and its end."""
        ids: dict[tuple[str, str], set[str]] = {}
        for request in list(self.people.requests):
            body = json.loads(request.body)
            run = body["run"]
            ids.setdefault((f"{run['scheduleId']}#{run['startDateTime']}", run["status"]), set()).add(body["id"])
        return ids

    # Commands on schedules

    def _check_pauses(self, user: User) -> None:
        if user.stored:
            trail = {entry.mark.reason for entry in self.store.audit(user.stored[0].id)}
            lost = [reason for reason in user.pauses if reason not in trail]
            self.expect(not lost, f"{user.stored[0].id}: commands are lost: {lost}")

    # Time

    def _check_clock(self, since: float) -> None:
        """One run for every full minute from its store to the last crash."""
        last = self.machine.kills[-1][0]
        due = [60 * minute for minute in range(int(since // 60) + 1, int(last // 60) + 1)]

        def runs() -> list[Run]:
            return [run for run in self.store.list_runs(CLOCK, 1000) if run.cause.get("kind") == "time"]

        wanted = {time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in due}
        eventually(lambda: wanted <= {run.cause["scheduledTime"] for run in runs()}, what=f"the runs of {wanted}")
        times = Counter(run.cause["scheduledTime"] for run in runs())
        self.expect(set(times.values()) <= {1}, f"the clock has struck twice: {times}")
        self.counts["minutes"] = len(due)

    # The other services

    def _check_notes(self, user: User) -> None:
        client = self.desk.client
        for text in user.notes["item"]:
            found = client("dynamodb").get_item(TableName=OWN, Key={"id": {"S": text}}, ConsistentRead=True)
            self.expect("Item" in found, f"the item {text} is lost")
        for text in user.notes["object"]:
            self.expect(text.encode() == _object(client("s3"), text), f"the object {text} is lost")
        for job_id in user.notes["job"]:
            self._check_own_job(job_id)
        for arn in user.notes["execution"]:
            self._check_own_execution(arn)
        received = self._received()
        lost = [text for text in user.notes["message"] if text not in received]
        self.expect(not lost, f"messages are lost: {lost}")
        self.counts["notes"] += sum(len(each) for each in user.notes.values())

    def _check_own_job(self, job_id: str) -> None:
        batch = self.desk.client("batch")

        def ended() -> Any:
            [found] = batch.describe_jobs(jobs=[job_id])["jobs"] or [{"status": "not known"}]
            return found["status"] if found["status"] in ("SUCCEEDED", "FAILED", "not known") else None

        status = eventually(ended, what=f"the end of {job_id}")
        self.expect(status == "SUCCEEDED", f"{job_id} is {status}")
        [*_, last] = self.ledger.of("", job_id) or [Attempt(job_id, 0, 0.0)]
        self.expect(last.code == 0, f"{job_id}: its last attempt is {last}")

    def _check_own_execution(self, arn: str) -> None:
        states = self.desk.client("stepfunctions")

        def ended() -> Any:
            try:
                found = states.describe_execution(executionArn=arn)
            except states.exceptions.ExecutionDoesNotExist:
                return "not known"
            return found["status"] if found["status"] != "RUNNING" else None

        status = eventually(ended, what=f"the end of {arn}")
        self.expect(status == "SUCCEEDED", f"{arn} is {status}")

    def _received(self) -> set[str]:
        """Read the queue of all users once: what was answered must be there, but nobody says when."""
        if not hasattr(self, "_texts"):
            self._texts = set(_texts(self.desk))
        return self._texts

    def _figures(self) -> str:
        machine, counts = self.machine, self.counts
        answers, silences = self.desk.answered.total(), self.desk.not_answered.total()
        crashes = ", ".join(f"{count} of {kind}" for kind, count in machine.crashes.most_common())
        seconds = machine.seconds or [0.0]
        starts = f"{statistics.median(seconds):.1f} s, at most {max(seconds):.1f} s"
        return "\n".join(
            [
                f"{machine.crashes.total()} crashes ({crashes})",
                f"  {counts['runs']} runs, {counts['jobs']} jobs, {counts['attempts']} attempts, of them "
                f"{counts['next attempts']} after the death of the one before; "
                f"{counts['jobs that outlived the engine']} attempts outlived the engine",
                f"  {answers:,} answers ({counts['notes']} notes, {counts['commands']} commands), "
                f"{silences:,} requests without one; {counts['minutes']} minutes; "
                f"{counts['messages']} messages, {counts['messages that came again']} of them again",
                f"  starts after a crash: {starts}; {len(self.wrong)} wrong",
            ]
        )


def _differences(found: dict[str, JobStatus], expected: dict[str, JobStatus]) -> str:
    names = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
    return ", ".join(f"{name} is {found.get(name)}, not {expected.get(name)}" for name in names)


def _object(s3: Any, key: str) -> bytes | None:
    try:
        return bytes(s3.get_object(Bucket=OWN, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return None


def _texts(desk: Desk) -> Iterator[str]:
    """All messages in the queue of the users: sent, published, and put as events."""
    sqs, queue = desk.client("sqs"), desk.queue()
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            body = message["Body"]
            if not body.startswith("{"):
                yield body
                continue
            read = json.loads(body)
            yield read["Message"] if "Message" in read else read["detail"]["text"]
