"""The users of the engine in a crash test: they store schedules, act on runs, and note what was answered."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from tests.fault import ledger
from tests.fault.machine import Machine, client
from tests.oracles import verbs as verb_oracle
from tests.oracles.rules import RUNS
from universal_scheduler.adapters.dynamodb.items import schedule_to_item
from universal_scheduler.cli.target import of_engine
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import IllegalVerb, PlatformUnavailable, RunStillActive, SchedulerError
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Mark, Run, RunKey, RunStatus, RunWhen, Verb
from universal_scheduler.domain.runs.restart import Variant
from universal_scheduler.usecases.verbs import act_on_job, cancel_run, pause, restart, resume
from universal_scheduler.wiring import Wiring

T = TypeVar("T")
ONCE: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 1},
    "connect_timeout": 2,
    "read_timeout": 10,
}
LONG = 600.0
"""Seconds of a job that runs until somebody cancels it, however busy the machine is."""
KINDS = ("plain", "plain", "acts", "acts", "restart", "cancel", "named", "at", "after", "array")
NOTES = ("item", "object", "sent", "published", "event", "job", "execution")
OPEN_SCHEDULES = 4
GATE = "gate"
LAST = "last"
OWN = "own"
"""What a user has made beside the template: a table, a bucket, a queue, a topic, a rule and a state machine."""
PASSING = {
    "StartAt": "Wait",
    "States": {"Wait": {"Type": "Wait", "Seconds": 1, "Next": "Pass"}, "Pass": {"Type": "Pass", "End": True}},
}


class Desk:
    """The clients of an engine, and what all users together were answered."""

    def __init__(self, machine: Machine, people: str) -> None:
        self.machine, self.people = machine, people
        self.wiring: Wiring = of_engine(machine.engine)
        self.answered: Counter[str] = Counter()
        self.not_answered: Counter[str] = Counter()
        self._lock = threading.Lock()
        _ = self.wiring.store, self.wiring.workflow  # clients are made one at a time

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = client(self.machine.engine, service, **ONCE)
            return self._clients[service]

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def ask(self, what: str, call: Callable[[], T]) -> T | None:
        """What was answered; None if nobody knows whether it was done."""
        try:
            answer = call()
        except (BotoCoreError, PlatformUnavailable) as error:
            self._count(self.not_answered, type(error).__name__)
        except ClientError as error:
            self._count(self.not_answered, f"{what}: {error.response['Error']['Code']}")
        else:
            self._count(self.answered, what)
            return answer
        return None

    def insist(self, what: str, call: Callable[[], T], seconds: float = 120.0) -> T:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (answer := self.ask(what, call)) is not None:
                return answer
            time.sleep(0.2)
        raise AssertionError(f"no answer to {what} in {seconds:.0f} s: {self.not_answered}")

    def _count(self, counter: Counter[str], what: str) -> None:
        with self._lock:
            counter[what] += 1

    def make_own(self) -> None:
        """What users keep beside the template."""
        self.client("dynamodb").create_table(
            TableName=OWN,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        self.client("s3").create_bucket(Bucket=OWN)
        sqs = self.client("sqs")
        queue = sqs.create_queue(QueueName=OWN)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns, events = self.client("sns"), self.client("events")
        sns.subscribe(TopicArn=sns.create_topic(Name=OWN)["TopicArn"], Protocol="sqs", Endpoint=arn)
        events.put_rule(Name=OWN, EventPattern=json.dumps({"source": [OWN]}))
        events.put_targets(Rule=OWN, Targets=[{"Id": OWN, "Arn": arn}])
        self.client("stepfunctions").create_state_machine(
            name=OWN, definition=json.dumps(PASSING), roleArn="arn:aws:iam::123456789012:role/own"
        )

    def queue(self) -> str:
        return f"{self.machine.engine.endpoint}/123456789012/{OWN}"


@dataclass
class Stored:
    """A schedule that a user has stored, and what must become of it."""

    kind: str
    document: dict[str, Any]
    acts: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Of the executions that the user has started."""
    upstream: str = ""
    due: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """The commands that were answered: the run, and the reason that the user has given."""

    @property
    def id(self) -> str:
        return str(self.document["scheduleId"])


class User:
    """One of them, in a thread of its own."""

    def __init__(self, desk: Desk, number: int, seed: int) -> None:
        self.desk, self.number, self.chance = desk, number, random.Random(f"{seed} {number}")
        self.stored: list[Stored] = []
        self.open: list[Stored] = []
        self.notes: dict[str, list[str]] = {"item": [], "object": [], "message": [], "job": [], "execution": []}
        """What the other services have answered to be there."""
        self._made = 0
        self._paused: bool | None = False
        """None: a command was not answered."""
        self.pauses: list[str] = []

    def work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.step()
            time.sleep(0.02)

    def step(self) -> None:
        self.open = [each for each in self.open if not self.over(each)]
        if len(self.open) < OPEN_SCHEDULES:
            self._store()
        for each in self.open:
            self.operate(each)
        self._note()
        if self.chance.random() < 0.1 and self.stored and self.stored[0] not in self.open:
            self._pause_or_resume(self.stored[0].id)

    # What becomes of schedules

    def runs(self, schedule_id: str) -> list[Run]:
        return self.desk.ask("ListRuns", lambda: self.desk.wiring.store.list_runs(schedule_id, 100)) or []

    def over(self, stored: Stored) -> bool:
        """Whether it has all its runs, and they have ended."""
        runs = self.runs(stored.id)
        if not all(run.status.ended for run in runs):
            return False
        match stored.kind:
            case "named":
                return len(runs) == len(stored.names)
            case "after":
                upstream = self.runs(stored.upstream)
                known = bool(upstream) and all(run.status.ended for run in upstream)
                return known and len(runs) == sum(run.status is RunStatus.SUCCEEDED for run in upstream)
            case "restart":
                return bool(runs) and runs[0].status is RunStatus.SUCCEEDED
            case _:
                return len(runs) == 1

    # Storing and starting

    def _store(self) -> None:
        kind = self.chance.choice(KINDS)
        if kind == "after":
            upstream = Stored("plain", self._document("plain"))
            follower = Stored(kind, self._document(kind, trigger={"after": [upstream.id]}), upstream=upstream.id)
            self._put(follower)
            self._put(upstream)
            return
        stored = Stored(kind, self._document(kind))
        if kind == "acts":
            self._give_acts(stored)
        if kind == "at":
            due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=self.chance.randint(8, 15))
            stored.due = f"{due:%Y-%m-%dT%H:%M:%SZ}"
            stored.document["trigger"] = {"at": f"at({due:%Y-%m-%dT%H:%M:%S})"}
        if not self._put(stored):
            return
        if kind == "named":
            for number in range(self.chance.randint(1, 2)):
                name = f"{stored.id}-{number}"
                message = {"scheduleId": stored.id, "cause": {"kind": "cli", "by": f"user {self.number}"}}
                self.desk.insist("StartExecution", lambda n=name, m=message: self.desk.wiring.workflow.start(n, m))  # type: ignore[misc]
                stored.names.append(name)

    def _put(self, stored: Stored) -> bool:
        row = schedule_to_item(stored.document)
        dynamodb = self.desk.client("dynamodb")
        self.desk.insist("PutItem of a schedule", lambda: dynamodb.put_item(TableName="BatchSchedules", Item=row))
        if stored.kind == "at" and stored.due <= iso(time.time() + 3):
            return False  # it was stored so late that nobody can say whether it starts
        self.stored.append(stored)
        self.open.append(stored)
        return True

    def _document(self, kind: str, **more: Any) -> dict[str, Any]:
        self._made += 1
        chance = self.chance
        count = chance.randint(1, 5)
        strict = kind in ("acts", "restart", "cancel")
        rules = verb_oracle.RULES if strict else [RunWhen.ALL_SUCCESS, *RUNS]
        jobs = []
        for index in range(count):
            upstream = chance.sample(range(index), min(index, chance.randint(0, 2)))
            code = 1 if chance.random() < (0.5 if kind == "restart" else 0.2) else 0
            seconds = LONG if kind == "cancel" else chance.choice([0.0, 0.1, 0.3, 1.0])
            job = _job(f"j{index}", seconds, code, upstream=[f"j{each}" for each in upstream])
            job["runWhen"] = str(chance.choice(rules))
            if strict or chance.random() < 0.7:
                job["retryStrategy"] = ledger.RETRY
            jobs.append(job)
        if kind == "array":
            jobs.append(_job("a", 0.2, 0) | {"arrayProperties": {"size": 3}, "retryStrategy": ledger.RETRY})
        if kind == "cancel":
            jobs.append(_job(LAST, 0.1, 0) | {"finally": True, "retryStrategy": ledger.RETRY})
        triggers = {"named": {"trigger": {"manual": True}}}
        told = {"notifications": [{"on": ["run_succeeded", "run_failed"], "webhook": f"{self.desk.people}/{kind}"}]}
        return {
            "scheduleId": f"u{self.number}-{self._made}-{kind}",
            "wait_time": 1,
            "jobList": jobs,
            **told,
            **triggers.get(kind, {}),
            **more,
        }

    def _give_acts(self, stored: Stored) -> None:
        for job in stored.document["jobList"]:
            act = self.chance.choice(verb_oracle.ACTS)
            if act.endswith("first") and job["jobDependencies"]:
                act = ""
            stored.acts[job["jobName"]] = act
            if act == "hold" or act.endswith("first"):
                job["hold"] = True
            if act in ("force-ok", "rerun"):
                job["containerOverrides"]["command"] = ledger.command(0.1, 1)
            if act == "cancel running":
                job["containerOverrides"]["command"] = ledger.command(LONG, 0)
        stored.acts[GATE] = "hold"
        stored.document["jobList"].append(_job(GATE, 0.0, 0) | {"hold": True, "retryStrategy": ledger.RETRY})

    # Operating

    def operate(self, stored: Stored) -> None:
        if stored.kind not in ("acts", "restart", "cancel"):
            return
        for run in self.runs(stored.id):
            match stored.kind:
                case "acts" if not run.status.ended:
                    self._act(stored, run.key)
                case "restart" if run.status is RunStatus.FAILED:
                    self._restart(stored, run)
                case "cancel" if not run.status.ended and run.cancel is None:
                    jobs = self._jobs(run.key)
                    if any(job.status is JobStatus.RUNNING for job in jobs):
                        self._verb(
                            stored, run.key, Verb.CANCEL, lambda mark, key=run.key: cancel_run(*self._ports, key, mark)
                        )  # type: ignore[misc]

    @property
    def _ports(self) -> tuple[Any, Any]:
        return self.desk.wiring.store, self.desk.wiring.workflow

    def _jobs(self, key: RunKey) -> list[JobRun]:
        return self.desk.ask("ListJobs", lambda: self.desk.wiring.store.list_jobs(key.run_id)) or []

    def _act(self, stored: Stored, key: RunKey) -> None:
        jobs = {job.name: job for job in self._jobs(key)}
        wanted = {name: verb for name, job in jobs.items() if (verb := self._wanted(stored, job, jobs))}
        if wanted:
            name = self.chance.choice(sorted(wanted))
            if wanted[name] is Verb.RERUN:
                ledger.mend(self.desk.machine.home / "data", stored.id, name)
            self._verb(stored, key, wanted[name], lambda mark: act_on_job(*self._ports, key, name, mark))

    def _wanted(self, stored: Stored, job: JobRun, jobs: dict[str, JobRun]) -> Verb | None:
        others = [other for other in jobs.values() if other.name != GATE]
        match stored.acts[job.name]:
            case "hold" if job.status is JobStatus.HELD:
                if job.name != GATE:
                    return Verb.RELEASE
                done = all(other.status.ended and not self._wanted(stored, other, {}) for other in others)
                return Verb.RELEASE if done else None
            case "skip first" if job.status is JobStatus.HELD:
                return Verb.SKIP
            case "cancel first" if job.status is JobStatus.HELD and job.mark is None:
                return Verb.CANCEL
            case "cancel running" if job.status is JobStatus.RUNNING and not job.cancelling:
                return Verb.CANCEL
            case "force-ok" if job.status in verb_oracle.FAILED:
                return Verb.FORCE_OK
            case "rerun" if job.status is JobStatus.FAILED:
                return Verb.RERUN
            case _:
                return None

    def _restart(self, stored: Stored, run: Run) -> None:
        for job in stored.document["jobList"]:
            ledger.mend(self.desk.machine.home / "data", stored.id, job["jobName"])
        self._made += 1
        cause = {"kind": "cli", "requestId": f"u{self.number}-{self._made}"}
        self._verb(stored, run.key, Verb.RESTART, lambda mark: restart(*self._ports, run.key, Variant(), mark, cause))

    def _verb(self, stored: Stored, key: RunKey, verb: Verb, act: Callable[[Mark], Any]) -> None:
        self._made += 1
        mark = Mark(verb, f"user {self.number}", time.time(), f"number {self._made}")
        try:
            done = self.desk.ask(f"{verb}", lambda: act(mark) or True)
        except (IllegalVerb, RunStillActive):
            return  # it was done before, without an answer; or something else has happened meanwhile
        if done is not None and verb is not Verb.RESTART:  # a restart is written into the trail when it begins
            stored.asked.append((key.run_id, mark.reason))

    def _pause_or_resume(self, schedule_id: str) -> None:
        """Of a schedule that nothing starts any more, so that nothing else changes."""
        self._made += 1
        verb = Verb.RESUME if self._paused else Verb.PAUSE
        mark = Mark(verb, f"user {self.number}", time.time(), f"number {self._made}")
        known = self.desk.ask("Paused", lambda: (self.desk.wiring.store.paused(schedule_id),))
        if known is None:
            return
        assert self._paused in (known[0] is not None, None), f"{verb} of {schedule_id} was answered, and is lost"
        act = pause if known[0] is None else resume
        try:
            done = self.desk.ask(str(verb), lambda: act(self.desk.wiring.store, schedule_id, mark))
        except SchedulerError:
            done = None
        self._paused = (known[0] is None) if done is not None else None
        if done is not None:
            self.pauses.append(mark.reason)

    # The other services

    def _note(self) -> None:
        """Write something down elsewhere."""
        self._made += 1
        kind = self.chance.choice(NOTES)
        text = f"u{self.number}-{kind}-{self._made}"
        ask, client = self.desk.ask, self.desk.client
        match kind:
            case "item":
                item = {"id": {"S": text}}
                self._noted("item", text, ask("PutItem", lambda: client("dynamodb").put_item(TableName=OWN, Item=item)))
            case "object":
                body = text.encode()
                self._noted(
                    "object", text, ask("PutObject", lambda: client("s3").put_object(Bucket=OWN, Key=text, Body=body))
                )
            case "sent":
                queue = self.desk.queue()
                self._noted(
                    "message",
                    text,
                    ask("SendMessage", lambda: client("sqs").send_message(QueueUrl=queue, MessageBody=text)),
                )
            case "published":
                arn = f"arn:aws:sns:us-east-1:123456789012:{OWN}"
                self._noted("message", text, ask("Publish", lambda: client("sns").publish(TopicArn=arn, Message=text)))
            case "event":
                entry = {"Source": OWN, "DetailType": "note", "Detail": json.dumps({"text": text})}
                self._noted("message", text, ask("PutEvents", lambda: client("events").put_events(Entries=[entry])))
            case "job":
                job = {"jobName": text, "jobQueue": "low", "jobDefinition": "shell", "retryStrategy": ledger.RETRY}
                command = {"command": ledger.command(self.chance.choice([0.0, 0.5, 1.0]), 0)}
                answer = ask("SubmitJob", lambda: client("batch").submit_job(**job, containerOverrides=command))
                self._noted("job", answer["jobId"] if answer else "", answer)
            case "execution":
                arn = f"arn:aws:states:us-east-1:123456789012:stateMachine:{OWN}"
                states, given = client("stepfunctions"), json.dumps({"text": text})
                answer = ask(
                    "StartExecution", lambda: states.start_execution(stateMachineArn=arn, name=text, input=given)
                )
                self._noted("execution", answer["executionArn"] if answer else "", answer)

    def _noted(self, kind: str, what: str, answer: Any) -> None:
        if answer is not None:
            self.notes[kind].append(what)


def _job(name: str, seconds: float, code: int, upstream: list[str] | None = None) -> dict[str, Any]:
    return {
        "jobName": name,
        "jobQueue": "default",
        "jobDefinition": "shell",
        "jobDependencies": upstream or [],
        "containerOverrides": {"command": ledger.command(seconds, code)},
    }


def case_of(stored: Stored) -> verb_oracle.Case:
    """What the oracle of verbs needs to know."""
    jobs = [job for job in parse(stored.document).jobs if job.name != GATE]
    codes = {job["jobName"]: int(job["containerOverrides"]["command"][-1]) for job in stored.document["jobList"]}
    return verb_oracle.Case(jobs, codes, stored.acts, 0, None)
