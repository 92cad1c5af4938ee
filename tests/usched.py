"""The `usched` command over memory, for tests: a stage to talk to, and how it is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from tests.events import QUEUE
from universal_scheduler.adapters.memory.job_log import MemoryJobLog
from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.cli import app, target
from universal_scheduler.domain.documents.calendars import calendars_of
from universal_scheduler.domain.documents.stage import Kind
from universal_scheduler.domain.errors import DeliveryRefused
from universal_scheduler.domain.messages.messages import LogTail, Message
from universal_scheduler.domain.messages.notifications import Channel
from universal_scheduler.domain.runs.model import Execution, JobStatus, RunKey
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.settings import Settings
from universal_scheduler.usecases.drive import Next, RunRef, poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.start import start_run

STARTED = "2026-11-21T06:00:00.000Z"
NOBODY: Mapping[int, str] = {}
LOGS = {"stream-1": ["one", "two", "three"]}


@dataclass
class Workflow(MemoryWorkflow):
    """Remembers what was started, and says of each execution what it is told to."""

    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    on_start: Callable[[str], None] = lambda _: None

    def start(self, name: str, message: Any) -> tuple[Execution, bool]:
        answer = super().start(name, message)
        self.on_start(name)
        return answer

    def describe(self, name: str) -> dict[str, Any] | None:
        return self.described.get(name)


class Stage:
    """What `target.connect` answers with, over memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.workflow = Workflow()
        self.platform = MemoryPlatform()
        self.objects = MemoryObjects()
        self.outbox = MemoryOutbox()
        self.job_log = MemoryJobLog()
        self.settings = Settings(
            job_queues={name: QUEUE.replace("default", name) for name in ("high", "default", "low")},
            job_definitions={"shell": "arn:aws:batch:us-east-1:123456789012:job-definition/shell:1"},
        )
        self.names = {"q", "d"}
        """The queues and job definitions that Batch has beside the stage's own."""
        self.batch_names = SimpleNamespace(missing=self.missing)
        self.printed: dict[str, list[str]] = dict(LOGS)
        """By log stream."""
        self.sent: list[tuple[Channel, Message]] = []
        self.refused: str = ""
        self.notifier = SimpleNamespace(send=self.send)
        self.log_tails = SimpleNamespace(tail=lambda *_: LogTail(), last_lines=self.last_lines)
        self.local_api = ""
        self.logs = SimpleNamespace(get_log_events=self.get_log_events)

    def calendars(self, names: Iterable[str]) -> dict[str, Calendar]:
        return calendars_of(self.store.get_calendars(names))

    def missing(self, kind: Kind, names: Sequence[str]) -> set[str]:
        assert kind in Kind
        return set(names) - self.names

    def send(self, channel: Channel, message: Message, now: float) -> None:
        assert now
        if self.refused and self.refused in channel.target:
            raise DeliveryRefused(f"{channel.label} answered 404")
        self.sent.append((channel, message))

    def last_lines(self, group: str, stream: str, lines: int) -> tuple[str, ...]:
        del group
        return tuple(self.printed.get(stream, ())[-lines:])

    def get_log_events(self, **request: Any) -> dict[str, Any]:
        """One event a page; the last token is answered with itself."""
        lines = self.printed.get(request["logStreamName"])
        if lines is None:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetLogEvents")
        at = int(request.get("nextToken", "0"))
        events = [{"timestamp": at, "message": text} for text in lines[at : at + 1]]
        return {"events": events, "nextForwardToken": str(at + len(events))}

    def drive(self, name: str, *, failing: str = "", failing_children: Mapping[int, str] = NOBODY) -> RunKey:
        """Run an execution to its end, as the state machine would."""
        made = start_run(
            self.store, self.workflow.started[name], execution(name), STARTED, self.workflow.is_running, self.platform
        )
        ref = RunRef(made.key, made.generation)
        while submit_jobs(self.store, self.platform, self.objects, ref, lambda: 1.0, lambda: 99.0).next is Next.SUBMIT:
            pass
        for job_id, job in list(self.platform.jobs.items()):
            if job.seen.status.ended:
                continue
            if job.job.array_size:
                self.platform.end_array(job_id, failing_children)
            else:
                ended = JobStatus.FAILED if job.job.name == failing else JobStatus.SUCCEEDED
                self.platform.end(job_id, ended, exit_code=3 if ended is JobStatus.FAILED else 0)
        poll_jobs(self.store, self.platform, ref, 2.0)
        record_result(self.store, ref, 3.0)
        self.workflow.ended.add(name)
        return made.key

    def begin(self, name: str) -> RunKey:
        """An execution has started and goes on: what is ready is submitted."""
        made = start_run(self.store, self.workflow.started[name], execution(name), STARTED, self.workflow.is_running)
        ref = RunRef(made.key, made.generation)
        submit_jobs(self.store, self.platform, self.objects, ref, lambda: 1.0, lambda: 99.0)
        return made.key

    def caller(self) -> str:
        return "arn:aws:iam::123456789012:user/ann"


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The scheduler that `usched` talks to, over memory."""
    made = Stage()
    monkeypatch.setattr(target, "connect", lambda _: made)
    monkeypatch.setattr(app, "AWS_SECONDS", 0.001)
    return made


def execution(name: str) -> Execution:
    return Execution(f"arn:{name}", name)


def usched(*words: str, text: str | None = None) -> Result:
    result = CliRunner().invoke(app.main, words, input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def told(*words: str, text: str | None = None) -> Any:
    """The one JSON document on standard output."""
    return json.loads(usched(*words, "--json", text=text).stdout)


def row(schedule_id: str = "load", **more: Any) -> dict[str, Any]:
    jobs = [
        {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"},
        {"jobName": "b", "jobDefinition": "shell", "jobQueue": "default", "jobDependencies": ["a"]},
    ]
    return {"scheduleId": schedule_id, "jobList": jobs, "wait_time": 1, **more}


def written(path: Path, *documents: Any) -> str:
    path.write_text("\n---\n".join(json.dumps(document) for document in documents))
    return str(path)
