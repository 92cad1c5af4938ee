"""The Batch service: its operations, over the resources and the lifecycle of the jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from universal_scheduler.local.batch import describe
from universal_scheduler.local.batch.clock import Clock, LoopClock
from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.lifecycle import STOP_GRACE_SECONDS, Lifecycle, Listener
from universal_scheduler.local.batch.logs import LogShipper, LogSink
from universal_scheduler.local.batch.model import Job, Json
from universal_scheduler.local.batch.naming import Naming, check_job_id
from universal_scheduler.local.batch.refusals import check_tags
from universal_scheduler.local.batch.resources import Resources
from universal_scheduler.local.batch.runner import Runner
from universal_scheduler.local.batch.specs import read_submission
from universal_scheduler.local.state import State

MAX_DESCRIBED = 100
MAX_STOPPED = 50


class Batch:
    """One account's Batch in one region, whose jobs run in ``<state_dir>/jobs/<task id>/``, an attempt in each.

    Jobs see ``base_env``, over it their definition's and their own variables, and those that Batch sets.
    ``listener`` is called at each transition after SUBMITTED with the job's id, its status, and a function that makes
    its detail (a JobDetail, as in the events of
    https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html); ``on_blocked`` with the detail of a job
    that has come to hold up its queue
    (https://docs.aws.amazon.com/batch/latest/userguide/batch-job-queue-blocked-events.html).
    No job starts as long as ``hindrance`` answers why.
    With ``archives`` jobs that ended some time ago are kept on disk; without, all stay in memory.
    With a durable ``state`` all is kept there, and what it has of an earlier Batch goes on when ``resume`` is called.
    What an operation has changed is on disk when ``written`` has come back.

    The methods named as operations of the API take its requests, valid in form, and give its answers; they raise
    ClientError. Call them in the event loop that ``start`` was awaited in, and nowhere else.
    """

    def __init__(
        self,
        *,
        region: str,
        account: str,
        state_dir: Path,
        base_env: Mapping[str, str],
        log_sink: LogSink | None,
        runner: Runner,
        clock: Clock | None = None,
        listener: Listener | None = None,
        on_blocked: Callable[[dict[str, Any]], None] | None = None,
        hindrance: Callable[[], str] = lambda: "",
        stop_grace_seconds: float = STOP_GRACE_SECONDS,
        archives: bool = True,
        state: State | None = None,
    ) -> None:
        clock = clock or LoopClock()
        state = state or State()
        self._naming = Naming(region, account)
        self._runner = runner
        self._logs = LogShipper(log_sink, clock.now)
        self._tail: asyncio.Task[None] | None = None
        self._life = Lifecycle(
            naming=self._naming,
            jobs_dir=state_dir / "jobs",
            state=state,
            base_env=base_env,
            logs=self._logs,
            runner=runner,
            clock=clock,
            listener=listener,
            on_blocked=on_blocked,
            hindrance=hindrance,
            stop_grace_seconds=stop_grace_seconds,
            archives=archives,
        )

    async def start(self) -> None:
        """Begin to run jobs, in this event loop."""
        await self._runner.open()
        self._tail = asyncio.create_task(self._logs.tail(), name="job logs")
        self._life.open()

    def resume(self) -> None:
        """Go on with the jobs of an earlier Batch, when the queues that are no user's have been made."""
        self._life.resume()

    async def written(self) -> None:
        """Wait until all that has changed is on disk, where it is to be kept.

        Raises:
            Unwritten: it cannot be written.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life.journal.after(
            lambda: None if written.done() else written.set_result(None),
            lambda error: None if written.done() else written.set_exception(error),
        )
        await written

    def write(self) -> None:
        """Write at once what has changed."""
        self._life.journal.write()

    async def close(self, *, keep_jobs: bool = False) -> None:
        """Kill what runs, or leave it to the Batch that comes next, and stop. The jobs' statuses stay as they are."""
        self._life.close()
        await self._runner.close(keep=keep_jobs)
        if self._tail is not None:
            self._tail.cancel()
            with suppress(asyncio.CancelledError):
                await self._tail
        await self._logs.close()
        self._life.close_file()

    def advance(self) -> None:
        """Let jobs start, and hear of those that have ended: for a caller that keeps the event loop busy."""
        self._life.advance()

    @property
    def resources(self) -> Resources:
        """The compute environments, job queues and job definitions; its methods are operations too."""
        return self._life.resources

    def outputs(self) -> dict[str, Path]:
        """The files with what attempts have printed, by their tasks' ids; one that printed nothing has none."""
        return self._life.outputs()

    def unfinished(self) -> dict[tuple[str, ...], int]:
        """How many jobs have not ended, by the name of their queue and their status. An array is one job."""
        return {(queue.rpartition("/")[2], status): n for (queue, status), n in self._life.jobs.counts().items()}

    def live_tasks(self) -> set[str]:
        """The ids of the attempts that run, as their directories are named. For any thread."""
        return self._life.jobs.live_tasks()

    def submit_job(self, request: Json) -> dict[str, Any]:
        spec = read_submission(request, self.resources, self._life.jobs.get)
        tags = check_tags(request.get("tags") or {})
        job = self._life.submit(spec, tags)
        return {"jobArn": self._naming.arn("job", job.id), "jobName": spec.name, "jobId": job.id}

    def describe_jobs(self, request: Json) -> dict[str, Any]:
        ids = request["jobs"]
        if len(ids) > MAX_DESCRIBED:
            raise ClientError(f"Up to {MAX_DESCRIBED} jobs can be described at a time, not {len(ids)}.")
        return {
            "jobs": [self._life.detail(job) for job_id in dict.fromkeys(ids) if (job := self._life.jobs.get(job_id))]
        }

    def list_jobs(self, request: Json) -> dict[str, Any]:
        scopes = [scope for scope in ("jobQueue", "arrayJobId", "multiNodeJobId") if request.get(scope)]
        match scopes:
            case ["jobQueue"]:
                jobs, token = self._life.jobs.list_queue(self.resources.queue(request["jobQueue"]), request)
            case ["arrayJobId"]:
                jobs, token = self._life.jobs.list_children(request["arrayJobId"], request)
            case ["multiNodeJobId"]:
                raise ClientError("This engine runs no multi-node jobs.")
            case _:
                raise ClientError("Specify exactly one of jobQueue, arrayJobId and multiNodeJobId.")
        return {"jobSummaryList": [describe.job_summary(job, self._naming) for job in jobs], **token}

    def cancel_job(self, request: Json) -> dict[str, Any]:
        """Jobs that already start or run, and unknown ones, are left alone without an error, as on AWS."""
        if job := self._life.jobs.get(check_job_id(request["jobId"])):
            self._life.cancel(job, request["reason"])
        return {}

    def terminate_job(self, request: Json) -> dict[str, Any]:
        if job := self._life.jobs.get(check_job_id(request["jobId"])):
            self._life.terminate(job, request["reason"])
        return {}

    def cancel_jobs(self, request: Json) -> dict[str, Any]:
        return self._for_all(request, self.cancel_job)

    def terminate_jobs(self, request: Json) -> dict[str, Any]:
        return self._for_all(request, self.terminate_job)

    def delete_job_queue(self, request: Json) -> dict[str, Any]:
        queue = self.resources.delete_job_queue(request)
        for job in self._life.jobs.unfinished(queue):
            self._life.terminate(job, f"Job queue {queue.name} was deleted")
        return {}

    def tag_resource(self, request: Json) -> dict[str, Any]:
        self._set_tags(request, check_tags(self._tags(request) | request["tags"]))
        return {}

    def untag_resource(self, request: Json) -> dict[str, Any]:
        gone = request["tagKeys"]
        self._set_tags(request, {key: value for key, value in self._tags(request).items() if key not in gone})
        return {}

    def list_tags_for_resource(self, request: Json) -> dict[str, Any]:
        return {"tags": self._tags(request)}

    def _for_all(self, request: Json, operation: Callable[[Json], object]) -> dict[str, Any]:
        if len(request["jobs"]) > MAX_STOPPED:
            raise ClientError(f"Up to {MAX_STOPPED} jobs can be given at a time, not {len(request['jobs'])}.")
        successful, errors = [], []
        for job_id in request["jobs"]:
            try:
                operation({"jobId": job_id, "reason": request["reason"]})
                successful.append(job_id)
            except ClientError as error:
                errors.append({"job": job_id, "code": "ValidationException", "message": str(error)})
        return {"successful": successful, "errors": errors}

    def _tags(self, request: Json) -> dict[str, str]:
        job = self._tagged_job(request)
        return dict(job.tags if job else self.resources.tags(request["resourceArn"]))

    def _set_tags(self, request: Json, tags: dict[str, str]) -> None:
        if job := self._tagged_job(request):
            job.tags = tags
            self._life.jobs.changed(job)
        else:
            self.resources.set_tags(request["resourceArn"], tags)

    def _tagged_job(self, request: Json) -> Job | None:
        """The job that has this ARN, None where another resource has it."""
        arn: str = request["resourceArn"]
        if self.resources.exists(arn):
            return None
        job = self._life.jobs.get(self._naming.plain("job", arn))
        if job is None or job.parent is not None:
            raise ClientError(f"Resource {arn} does not exist or cannot have tags.")
        return job
