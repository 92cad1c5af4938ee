"""Fan-out: how each child of an array job gets its own value, and how some of the children run again. It is pure.

The children of an array in Batch differ only in AWS_BATCH_JOB_ARRAY_INDEX. So the environment has the values of all
children, and a short shell program before the job's command picks the value of this child.
https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.domain.batch.limits import OVERRIDES_LIMIT, overrides_length
from universal_scheduler.domain.documents.json_text import too_deep
from universal_scheduler.domain.documents.storable import storable_errors
from universal_scheduler.domain.errors import SubmissionRefused
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.arrays import MAX_CHILDREN, read_children
from universal_scheduler.domain.runs.model import Job

BATCHS_OWN = 1024
"""Bytes of the environment that are kept free for the variables that Batch adds."""
OURS = 1024
"""Bytes of the environment that the check of a document keeps free for the variables that a run adds."""
LIST_LIMIT_BYTES = 4 * 1024 * 1024
PROLOGUE = """\
usched_i=${AWS_BATCH_JOB_ARRAY_INDEX:-0} USCHED_INDEX=${AWS_BATCH_JOB_ARRAY_INDEX:-0}
for usched_r in $USCHED_CHILDREN; do
usched_a=${usched_r%-*} usched_b=${usched_r#*-}
if [ $((USCHED_INDEX + usched_a)) -le "$usched_b" ]; then USCHED_INDEX=$((USCHED_INDEX + usched_a)); break; fi
USCHED_INDEX=$((USCHED_INDEX - usched_b + usched_a - 1))
done
export USCHED_INDEX AWS_BATCH_JOB_ARRAY_INDEX="$USCHED_INDEX"
[ -z "$USCHED_SIZE" ] || export AWS_BATCH_JOB_ARRAY_SIZE="$USCHED_SIZE"
if [ -n "$USCHED_VALUES_S3" ]; then
if command -v usched-value >/dev/null; then USCHED_VALUE=$(usched-value) || exit 1; export USCHED_VALUE; fi
elif [ -n "${USCHED_VALUES+set}" ]; then
usched_n='
'
while [ "$usched_i" -gt 0 ]; do USCHED_VALUES=${USCHED_VALUES#*"$usched_n"}; usched_i=$((usched_i - 1)); done
export USCHED_VALUE="${USCHED_VALUES%%"$usched_n"*}"
unset USCHED_VALUES
fi
exec "$@"
"""
"""The program for any POSIX shell. It turns the place of a child in this submission into its index in the whole
array."""


def fan_out(
    job: Job, children: str, values: Sequence[str], environment: Mapping[str, str]
) -> tuple[Job, dict[str, str]]:
    """The job as it is submitted to Batch, and the environment variables for it.

    The job stays an array, or becomes a plain job if only one child runs. `children` are the children that run, as
    `arrays.write_children` writes them; empty means all. `values` has one value for each child of the whole array, or
    is empty if the children have no values. `environment` has the variables of the run.

    Raises:
        SubmissionRefused: there is no such child, or the overrides are too long for Batch.
    """
    added = dict(environment)
    if not job.is_array:
        return job, added
    size = job.array_size or len(values)
    chosen = read_children(children) or range(size)
    if not 1 <= size <= MAX_CHILDREN or chosen[-1] >= size:
        wanted = f"child {chosen[-1]} is to run" if 1 <= size <= MAX_CHILDREN else f"an array has 1 to {MAX_CHILDREN:,}"
        raise SubmissionRefused(f"forEach has {size:,} values, and {wanted}")
    sent = replace(job, array_size=len(chosen) if len(chosen) > 1 else 0, for_each=(), for_each_s3="")
    if not children and not values:
        return sent, added
    if children:
        added |= {"USCHED_CHILDREN": children, "USCHED_SIZE": str(size)}
    wrapped = _wrapped(sent)
    if not values:
        return wrapped, added
    inline = added | {"USCHED_VALUES": "\n".join(values[index] for index in chosen)}
    length = _length(wrapped, inline)
    if length <= OVERRIDES_LIMIT - BATCHS_OWN:
        return wrapped, inline
    if not job.for_each_s3:
        found = f"with its values the job's overrides have {length:,} characters"
        raise SubmissionRefused(f"{found}, and Batch has room for {OVERRIDES_LIMIT - BATCHS_OWN:,}")
    return wrapped, added | {"USCHED_VALUES_S3": job.for_each_s3}


def overrides_limit_error(job: Job) -> tuple[str, str] | None:
    """What was found and what was expected, if the values of a document's `forEach` do not fit into the environment."""
    length = _length(_wrapped(job), {"USCHED_VALUES": "\n".join(job.for_each)})
    limit = OVERRIDES_LIMIT - BATCHS_OWN - OURS
    if length <= limit or not job.for_each:
        return None
    expected = f"at most {limit:,}: put the list into an S3 object and name it: {{s3: s3://bucket/key}}"
    return f"{len(job.for_each):,} values, with which the overrides have {length:,} characters", expected


def with_environment(overrides: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The overrides with more variables. A variable that the overrides already have stays as it is."""
    given = overrides.get("environment", [])
    named = {entry["name"] for entry in given}
    added = [{"name": name, "value": value} for name, value in environment.items() if name not in named]
    return {**overrides, "environment": [*given, *added]}


def read_list(content: bytes) -> tuple[str, ...]:
    """Read the values in an S3 object: a JSON list of texts and numbers, or one value on each line.

    Raises:
        ValueError: it is neither, or a value has a line break.
    """
    text = content.decode()
    if not text.lstrip().startswith("["):
        return tuple(line for line in text.replace("\r\n", "\n").split("\n") if line.strip())
    if too_deep(text):
        raise ValueError("a list for forEach has no lists and objects in it")
    values = json.loads(text, parse_int=str, parse_float=str)
    if not all(isinstance(value, str) for value in values):
        raise ValueError("a list for forEach has texts and numbers only")
    if any("\n" in value or "\r" in value or "\0" in value for value in values):
        raise ValueError("a value for forEach has no line breaks")
    if storable_errors({"forEach": values}):
        raise ValueError("a value for forEach has a half of a character (a surrogate without the other)")
    return tuple(values)


def _wrapped(job: Job) -> Job:
    overrides = job.container_overrides or {}
    return replace(
        job, container_overrides={**overrides, "command": ["/bin/sh", "-c", PROLOGUE, "usched", *overrides["command"]]}
    )


def _length(job: Job, environment: Mapping[str, str]) -> int:
    overrides = with_environment(job.container_overrides or {}, environment)
    return overrides_length({"containerOverrides": overrides, "parameters": job.parameters})
