"""Prepares what a job is submitted with: it reads the outputs of upstream jobs and replaces references by their
values."""

from __future__ import annotations

from collections.abc import Mapping

from universal_scheduler.domain.batch.request import check_job
from universal_scheduler.domain.errors import ObjectUnreadable, SubmissionRefused
from universal_scheduler.domain.runs.fan_out import LIST_LIMIT_BYTES, fan_out, read_list
from universal_scheduler.domain.runs.model import Job, JobRun, Run, RunKey
from universal_scheduler.domain.runs.outputs import (
    OUTPUT_LIMIT_BYTES,
    output_key,
    run_variables,
    with_output,
    with_problem,
)
from universal_scheduler.domain.runs.references import Values, resolve
from universal_scheduler.ports.objects import ObjectStore


def read_output(objects: ObjectStore, key: RunKey, job: JobRun) -> JobRun:
    """A job that has SUCCEEDED, with its output, or with the reason why there is none.

    Raises:
        StoreUnavailable: try again later.
    """
    try:
        content = objects.read(objects.address(output_key(key, job)), OUTPUT_LIMIT_BYTES)
    except ObjectUnreadable as error:
        return with_problem(job, str(error))
    return with_output(job, content)


def prepared(objects: ObjectStore, run: Run, job: JobRun, jobs: Mapping[str, JobRun]) -> tuple[Job, dict[str, str]]:
    """The job for its platform, with every reference replaced, and its environment variables.

    Raises:
        SubmissionRefused: a reference has no value, the list of values cannot be read or is too long, or Batch would
            refuse the job as it is now.
        StoreUnavailable: try again later.
    """
    referred = [jobs[name] for name in job.job.outputs_of]
    values = Values(
        run,
        outputs={other.name: other.output for other in referred if other.output is not None},
        problems={other.name: other.output_problem for other in referred},
    )
    try:
        spec = resolve(job.job, values)
        items = spec.for_each or _list(objects, spec.for_each_s3)
    except (ValueError, ObjectUnreadable) as error:
        raise SubmissionRefused(str(error)) from error
    check_job(job.job, spec)
    return fan_out(spec, job.children, items, _environment(objects, run.key, job))


def _list(objects: ObjectStore, address: str) -> tuple[str, ...]:
    if not address:
        return ()
    try:
        return read_list(objects.read(address, LIST_LIMIT_BYTES))
    except ValueError as error:
        raise ValueError(f"{address}: {error}") from error


def _environment(objects: ObjectStore, key: RunKey, job: JobRun) -> dict[str, str]:
    """What a job may know of its run. Only where the document overrides the container: other kinds of job have none."""
    if job.job.container_overrides is None:
        return {}
    return run_variables(key, job, objects.address(output_key(key, job)))
