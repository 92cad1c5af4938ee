"""The output of a job: one flat JSON object of at most 4 KB with texts, numbers, true and false as values. It is
pure."""

from __future__ import annotations

from universal_scheduler.domain.documents.json_text import read_json
from universal_scheduler.domain.documents.storable import plain, storable_errors
from universal_scheduler.domain.errors import UnreadableDocument
from universal_scheduler.domain.names import file_name
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import JobRun, RunKey, Scalar

OUTPUT_LIMIT_BYTES = 4096
PROBLEM_LIMIT = 500


def output_key(key: RunKey, job: JobRun) -> str:
    """The S3 key to which one submission of a job writes its output. The children of an array share it."""
    return f"outputs/{file_name(key.run_id)}/{job.name}/{job.attempt}.json"


def run_variables(key: RunKey, job: JobRun, output_address: str) -> dict[str, str]:
    """The environment variables that tell a job about its run."""
    return {
        "USCHED_SCHEDULE_ID": key.schedule_id,
        "USCHED_START": key.start,
        "USCHED_JOB_NAME": job.name,
        "USCHED_OUTPUT": output_address,
    }


def with_output(job: JobRun, content: bytes) -> JobRun:
    """The job with the output that was read, or with a sentence that says what is wrong with it."""
    try:
        output = plain(read_json(content))
    except UnreadableDocument as unreadable:
        return with_problem(job, f"what it put out cannot be read: {unreadable.errors[0]}")
    if not isinstance(output, dict):
        return with_problem(job, "what it put out is no JSON object")
    if errors := storable_errors({"output": output}):
        return with_problem(job, f"what it put out cannot be kept: {errors[0]}")
    odd = [name for name, value in output.items() if not isinstance(value, Scalar)]
    if odd:
        return with_problem(job, f"in what it put out, {', '.join(odd)} is no text, no number, not true and not false")
    return replace(job, output=output)


def with_problem(job: JobRun, problem: str) -> JobRun:
    return replace(job, output_problem=problem[:PROBLEM_LIMIT])
