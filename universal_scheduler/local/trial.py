"""Tries a schedule in this process: the same planner and use cases over memory, real processes, no AWS API."""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from universal_scheduler.adapters.batch import BatchPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.objects import FileObjects
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.arrays import children_of
from universal_scheduler.domain.runs.model import Execution, JobRun, JobStatus, Run, Scalar
from universal_scheduler.local import batch as local_batch
from universal_scheduler.local.job_environment import job_path
from universal_scheduler.local.trial_document import as_tried
from universal_scheduler.local.watcher import OnChange, Watcher
from universal_scheduler.usecases.describe import DESCRIBE_CHUNK
from universal_scheduler.usecases.drive import (
    Next,
    RunRef,
    Turn,
    poll_jobs,
    record_result,
    submit_jobs,
)
from universal_scheduler.usecases.start import start_run

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient

QUEUE, DEFINITION = "try", "try"
SLOW_LOOK_SECONDS = 5.0
"""How often the jobs are looked at where none of them tells of itself."""
NEVER_ENDING = 3600.0
FAILED_CHILDREN_KEPT = 20


@dataclass(frozen=True, slots=True)
class Trial:
    """How a tried run ended."""

    run: Run
    jobs: tuple[JobRun, ...]
    printed: Mapping[str, str]
    """What the jobs have printed, by job name; those that printed nothing are not here."""
    children: Mapping[str, tuple[TriedChild, ...]]
    """Of each array job, its first children and the first that failed."""


@dataclass(frozen=True, slots=True)
class TriedChild:
    """How a child of an array job ended, and what it printed."""

    index: int
    status: JobStatus
    exit_code: int | None
    reason: str
    printed: str


def try_schedule(
    document: Mapping[str, Any],
    *,
    parameters: Mapping[str, Scalar] | None = None,
    directory: Path | None = None,
    vcpus: int | None = None,
    on_change: OnChange | None = None,
) -> Trial:
    """Run a schedule document's jobs here and now; its queues and definitions need not exist.

    A job runs its `containerOverrides.command`; one without runs `true`; one on hold is released at once. Jobs find a
    directory that they share in `USCHED_DATA`. `parameters` are given to the run, for the schedule's defaults.
    `vcpus` is how many vCPUs they have together, four for each processor unless given: as many jobs run at a time.
    `directory` keeps the jobs' files; without one they are gone afterwards.
    `on_change` is told of the run with all its jobs at first, then, at once or within a tenth of a second, with
    those that have changed, and at last without any, when it has ended. It is called in the middle of the work, and
    must not take long.

    Raises:
        InvalidSchedule: the document is not valid, or has no such parameter; nothing ran.
    """
    with _directory(directory) as home:
        return asyncio.run(
            _Trial(home, vcpus or 4 * (os.cpu_count() or 1), on_change).run(as_tried(document, parameters))
        )


@contextmanager
def _directory(given: Path | None) -> Any:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="usched-try-") as name:
        yield Path(name)


class _Trial:
    def __init__(self, home: Path, vcpus: int, on_change: OnChange | None) -> None:
        self._store = MemoryStore()
        self._changed = asyncio.Event()
        self._on_change = on_change
        self._watcher: Watcher | None = None
        self._ends, self._ends_needed = 0, math.inf
        self._objects = FileObjects(home / "objects")
        data = home / "data"
        data.mkdir(exist_ok=True)
        found = {
            "PATH": job_path(os.environ.get("PATH", os.defpath)),
            "USCHED_DATA": str(data),
            "USCHED_OBJECTS": str(home / "objects"),
        }
        self._batch = local_batch.Batch(
            region="us-east-1",
            account="123456789012",
            state_dir=home,
            base_env={**os.environ, **found},
            log_sink=None,
            runner=local_batch.ProcessRunner(dict(os.environ)),
            listener=self._on_event,
            archives=False,
        )
        self._api = local_batch.BatchApi(self._batch)
        self._vcpus = vcpus
        self._platform = BatchPlatform(
            client := cast("BatchClient", _Client(self._api)),
            submitter=client,
            queues=_Always(QUEUE),
            definitions=_Always(DEFINITION),
        )

    async def run(self, document: Mapping[str, Any]) -> Trial:
        started = time.time()
        run = start_run(self._store, document, Execution("try", "try"), f"{iso(started)}Z")
        if self._on_change is not None:
            self._watcher = Watcher(run, self._on_change, self._platform)
            self._watcher.wrote(self._store.list_jobs(run.key.run_id))
            self._store.on_write = self._watcher.wrote
        await self._api.start()
        try:
            self._make_queue()
            await self._drive(run)
            jobs = tuple(self._store.list_jobs(run.key.run_id))
            children = {job.name: self._children(job) for job in jobs if job.child_counts}
            printed = {job.name: self._printed(job.log_stream) for job in jobs if not job.child_counts}
            printed |= {name: "\n".join(it.printed for it in some if it.printed) for name, some in children.items()}
        finally:
            await self._api.close()
        ended = self._store.get_run(run.key)
        assert ended is not None
        if self._watcher is not None:
            self._watcher.ended(ended)
        return Trial(ended, jobs, {name: text for name, text in printed.items() if text}, children)

    def _children(self, job: JobRun) -> tuple[TriedChild, ...]:
        places = range(sum(job.child_counts.values()))
        indices = children_of(job)
        found, failed = [], 0
        for start in range(0, len(places), DESCRIBE_CHUNK):
            chunk = places[start : start + DESCRIBE_CHUNK]
            for place, seen in zip(chunk, self._platform.describe([f"{job.job_id}:{at}" for at in chunk]), strict=True):
                failed += seen.status is JobStatus.FAILED
                if place < DESCRIBE_CHUNK or (seen.status is JobStatus.FAILED and failed <= FAILED_CHILDREN_KEPT):
                    text = self._printed(seen.log_stream)
                    found.append(TriedChild(indices[place], seen.status, seen.exit_code, seen.reason, text))
        return tuple(found)

    @cached_property
    def _outputs(self) -> Mapping[str, Path]:
        return self._batch.outputs()

    def _printed(self, log_stream: str) -> str:
        path = self._outputs.get(log_stream.rpartition("/")[2])
        return "\n".join(local_batch.read_lines(path)) if path else ""

    async def _drive(self, run: Run) -> None:
        ref, ports = RunRef(run.key, run.generation), (self._store, self._platform, self._objects)

        def submit() -> Turn:
            return submit_jobs(*ports, ref, time.time, lambda: NEVER_ENDING, pace=self._batch.advance)

        turn = submit()
        while turn.next is not Next.RECORD:
            if turn.next is Next.SUBMIT:
                turn = submit()
            else:
                await self._something_happens(turn)
                self._ends = 0
                turn = poll_jobs(self._store, self._platform, ref, time.time())
        record_result(self._store, ref, time.time())

    async def _something_happens(self, turn: Turn) -> None:
        """Until there is something new to decide. Jobs that have ended since the last look count too."""
        if self._ends >= turn.ends_needed:
            return
        self._ends_needed = turn.ends_needed
        due = SLOW_LOOK_SECONDS if turn.due is None else turn.due - time.time()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), max(0.0, min(due, SLOW_LOOK_SECONDS)))
        self._ends_needed = math.inf
        self._changed.clear()

    def _on_event(self, job_id: str, status: str, detail: Callable[[], dict[str, Any]]) -> None:
        self._ends += status == "SUCCEEDED"
        if self._ends >= self._ends_needed or status == "FAILED":
            self._changed.set()
        if self._watcher is not None:
            self._watcher.observe(job_id, detail)

    def _make_queue(self) -> None:
        # What the job's own definition gives it is unknown here: only what the document itself asks for is a bound.
        memory = str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20)
        requirements = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": memory}]
        self._api.call(
            "CreateComputeEnvironment",
            {
                "computeEnvironmentName": QUEUE,
                "type": "MANAGED",
                "computeResources": {"type": "EC2", "maxvCpus": self._vcpus, "subnets": ["subnet-0"]},
            },
        )
        self._api.call(
            "CreateJobQueue",
            {
                "jobQueueName": QUEUE,
                "priority": 1,
                "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": QUEUE}],
            },
        )
        self._api.call(
            "RegisterJobDefinition",
            {
                "jobDefinitionName": DEFINITION,
                "type": "container",
                "containerProperties": {"image": "-", "command": ["true"], "resourceRequirements": requirements},
            },
        )


class _Always(dict[str, str]):
    """Every short name, and every ARN of a stage that is not here, is the one thing that there is."""

    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def get(self, key: str, default: object = None, /) -> str:
        del key, default
        return self._value


class _Client:
    """The calls of a boto3 Batch client that the platform makes, straight into the local Batch."""

    def __init__(self, api: local_batch.BatchApi) -> None:
        self._api = api

    def submit_job(self, **request: Any) -> dict[str, Any]:
        return self._call("SubmitJob", request)

    def describe_jobs(self, **request: Any) -> dict[str, Any]:
        return self._call("DescribeJobs", request)

    def list_jobs(self, **request: Any) -> dict[str, Any]:
        return self._call("ListJobs", request)

    def cancel_job(self, **request: Any) -> dict[str, Any]:
        return self._call("CancelJob", request)

    def terminate_job(self, **request: Any) -> dict[str, Any]:
        return self._call("TerminateJob", request)

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._api.call(operation, request)
        except local_batch.ClientError as error:
            raise ClientError({"Error": {"Code": "ClientException", "Message": str(error)}}, operation) from error
