"""Walks the document of `schedule_runner` with the real payloads and use cases, over memory and a simulated clock.

What Step Functions does with the document is done here for the parts that this machine uses: Choice by a string, Wait,
Catch by an error's name, task tokens and their time-outs. Retry is left out: nothing fails by chance here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lambdas.payload import first_payload, next_payload, run_ref
from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import Changes, Execution, JobStatus, RunKey
from universal_scheduler.usecases.drive import poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.start import start_run
from universal_scheduler.usecases.wake import handle_job_events, wait_for_change

MACHINE = json.loads((Path(__file__).parents[2] / "state_machine" / "schedule_runner.asl.json").read_text())
Payload = dict[str, Any]


class TimedOut(Exception):
    """`States.Timeout`."""


class Walk:
    """One run, execution after execution; jobs last `seconds` each."""

    def __init__(self, seconds: float, *, events: bool = True, max_turns: int = 2000) -> None:
        self.store, self.platform, self.workflow = MemoryStore(), MemoryPlatform(), MemoryWorkflow()
        self.now = 1_000_000.0
        self.entered: list[str] = []
        self.executions = 0
        self.largest_payload = 0
        self._seconds, self._events, self._max_turns = seconds, events, max_turns
        self._ends: dict[str, float] = {}
        self._tokens = 0
        self._key = RunKey("", "")
        self._tasks: Mapping[str, Callable[[Payload], Payload]] = {
            "Start Run": self._start,
            "Submit Jobs": self._submit,
            "Get Job Status": self._poll,
            "Record Result": self._record,
        }

    @property
    def transitions(self) -> int:
        """As AWS bills them: each time a step is executed. https://aws.amazon.com/step-functions/pricing/"""
        return len(self.entered)

    def run(self, message: Payload) -> str:
        """Walk to the end; answers the name of the last state."""
        self.executions += 1
        name, payload = MACHINE["StartAt"], message
        while True:
            assert len(self.entered) < 100_000, "the run does not end"
            self.entered.append(name)
            self.largest_payload = max(self.largest_payload, len(json.dumps(payload)))
            state = MACHINE["States"][name]
            match state["Type"]:
                case "Succeed" | "Fail" if name == "Continued":
                    return self.run(self._next_message)
                case "Succeed" | "Fail":
                    return str(name)
                case "Choice":
                    name = self._chosen(state, payload)
                case "Wait":
                    self._pass(self.now + state["Seconds"], "")
                    name = state["Next"]
                case _:
                    name, payload = self._task(name, state, payload)

    def _task(self, name: str, state: Payload, payload: Payload) -> tuple[str, Payload]:
        try:
            if name == "Wait For Change":
                self._wait(payload)
            elif name == "Continue As New":
                self._next_message = {
                    "scheduleId": payload["scheduleId"],
                    "startDateTime": payload["startDateTime"],
                    "continueOf": payload["generation"],
                }
            else:
                payload = self._tasks[name](payload)
        except Exception as error:
            name = "States.Timeout" if isinstance(error, TimedOut) else type(error).__name__
            for rule in state["Catch"]:
                if name in rule["ErrorEquals"]:
                    return rule["Next"], payload
            raise
        return state["Next"], payload

    def _chosen(self, state: Payload, payload: Payload) -> str:
        for choice in state["Choices"]:
            if payload[choice["Variable"].removeprefix("$.")] == choice["StringEquals"]:
                return str(choice["Next"])
        return str(state["Default"])

    def _start(self, message: Payload) -> Payload:
        started = datetime.fromtimestamp(self.now, UTC).isoformat(timespec="milliseconds")
        execution = Execution(f"arn:{self.executions}", f"execution-{self.executions}")
        run = start_run(self.store, message, execution, started)
        self._key = run.key
        return first_payload(run)

    def _submit(self, payload: Payload) -> Payload:
        ports = self.store, self.platform, MemoryObjects()
        turn = submit_jobs(*ports, run_ref(payload), lambda: self.now, lambda: 100.0)
        for job_id in self.platform.jobs:
            self._begin(job_id)
        return next_payload(payload, turn, self._max_turns, self._events, self.now)

    def _poll(self, payload: Payload) -> Payload:
        turn = poll_jobs(self.store, self.platform, run_ref(payload), self.now)
        return next_payload(payload, turn, self._max_turns, self._events, self.now)

    def _record(self, payload: Payload) -> Payload:
        return payload | {"status": str(record_result(self.store, run_ref(payload), self.now))}

    def _wait(self, payload: Payload) -> None:
        self._tokens += 1
        token = f"token-{self._tokens}"
        wait_for_change(self.store, run_ref(payload), token, Changes(**payload["seen"]), payload["endsNeeded"])
        self._pass(self.now + payload["waitSeconds"], token)
        if token not in self.workflow.woken:
            raise TimedOut

    def _begin(self, job_id: str) -> None:
        """A job runs as soon as those before it have succeeded: there is room for all."""
        jobs = self.platform.jobs
        upstream = jobs[job_id].depends_on
        if job_id not in self._ends and all(jobs[other].seen.status is JobStatus.SUCCEEDED for other in upstream):
            self._ends[job_id] = self.now + self._seconds

    def _pass(self, until: float, token: str) -> None:
        """Let time pass, and jobs end, until the token is answered."""
        while token not in self.workflow.woken:
            running = {end: job_id for job_id, end in self._ends.items() if not self._seen(job_id).ended}
            end = min(running, default=until)
            if end >= until:
                self.now = until
                return
            self.now = end
            self._end(running[end])

    def _seen(self, job_id: str) -> JobStatus:
        return self.platform.jobs[job_id].seen.status

    def _end(self, job_id: str) -> None:
        self.platform.end(job_id, JobStatus.SUCCEEDED, exit_code=0)
        for other in self.platform.jobs:
            self._begin(other)
        if self._events:
            entry = self.platform.jobs[job_id]
            event = JobEvent(entry.seen, entry.name, "q", self.now, run=self._key, job_name=entry.job.name)
            handle_job_events(self.store, self.workflow, self.platform, [event], self.now)
