"""Array jobs: which children a run of an array has, and which of them a restart runs again. It is pure.

https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import Job, JobRun, JobStatus, Observation

MAX_CHILDREN = 10_000
"""https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html"""
CHILDREN_TEXT_LIMIT = 3000
"""The longest text, in characters, that says which children run again. It goes into the job's environment, see
`fan_out`."""


def write_children(indices: Iterable[int]) -> str:
    """Write the indices of children (from 0) as a text, for example `3 7-9`."""
    ordered = sorted(set(indices))
    starts = [ordered[0], *(after for before, after in pairwise(ordered) if after > before + 1)] if ordered else []
    ends = [*(before for before, after in pairwise(ordered) if after > before + 1), *ordered[-1:]]
    return " ".join(str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True))


def read_children(text: str) -> tuple[int, ...]:
    """Read the text that `write_children` wrote. Commas instead of blanks are taken, too.

    Raises:
        ValueError: it is another text.
    """
    found: set[int] = set()
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < MAX_CHILDREN):
            raise ValueError(f"'{part}' is no index and no range of indices, as in 3,7-9")
        found.update(range(int(first), int(last) + 1))
    return tuple(sorted(found))


def read_selection(text: str) -> tuple[str, tuple[int, ...]]:
    """Read a job, or some children of an array: `load`, `load:3`, `load:3,7-9`.

    Returns: the name of the job, and the indices of the children; no indices mean all children.

    Raises:
        ValueError: it is another text.
    """
    name, colon, children = text.strip().partition(":")
    indices = read_children(children)
    if not name or (colon and not indices):
        raise ValueError(f"'{text}' is no job and no children of one, as in load or load:3,7-9")
    return name, indices


def children_of(job: JobRun) -> Sequence[int]:
    """The indices of the children in the present submission of an array; empty if the size of the array is not
    known."""
    if job.children:
        return read_children(job.children)
    return range(job.job.array_size or len(job.job.for_each) or sum(job.child_counts.values()))


def first_child(array_id: str) -> str:
    """The Batch id of the first child of an array."""
    return f"{array_id}:0"


def array_seen(seen: Observation, first: Observation | None, now: float) -> Observation:
    """What Batch says of an array, with the start time of its first child, because Batch gives an array no start
    time."""
    if seen.status.ended and not seen.stopped_at:
        seen = replace(seen, stopped_at=now)
    if first is None or not first.started_at or seen.started_at:
        return seen
    status = seen.status if seen.status.ended else JobStatus.RUNNING
    return replace(seen, status=status, started_at=first.started_at, attempts=1)


def progress_text(counts: Mapping[str, int]) -> str:
    """How far the children of an array are, for example `3 of 7 done, 1 failed, 2 running`; empty if there are none
    yet."""
    if not counts:
        return ""
    failed, running = counts.get(JobStatus.FAILED, 0), counts.get(JobStatus.RUNNING, 0)
    parts = [f"{counts.get(JobStatus.SUCCEEDED, 0) + failed:,} of {sum(counts.values()):,} done"]
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{running:,} running"] if running else []
    return ", ".join(parts)


def left_over(job: JobRun, succeeded: Collection[int] | None, skip: Collection[int] = ()) -> JobRun:
    """An array that did not succeed, as a restart takes it: the next submission has only the children that are left.

    `succeeded` are the places, in the present submission, of the children that need not run again; None if nobody knows
    them. `skip` are the indices of children that an operator skips. If no child is left, the job is SKIPPED.

    Raises:
        ValueError: the array has no such child, or cannot run without it.
    """
    children = children_of(job)
    if strange := sorted(set(skip) - set(range(max(children, default=-1) + 1))):
        raise ValueError(f"'{job.name}' has no child {write_children(strange)} that could be skipped")
    done = {children[place] for place in succeeded or () if place < len(children)}
    left = [child for child in children if child not in done and child not in skip]
    if skip and not left:
        return replace(job, status=JobStatus.SKIPPED, reason="its failed children were skipped")
    fresh = JobRun(job=job.job, position=job.position, attempt=job.attempt + 1)
    if not left or len(left) == len(children):
        return replace(fresh, children=job.children)
    text = write_children(left)
    obstacle = _obstacle(job.job, text)
    if obstacle and skip:
        raise ValueError(f"children of '{job.name}' cannot be skipped alone: {obstacle}")
    if obstacle:
        return replace(fresh, reason=f"runs again whole: {obstacle}")
    return replace(fresh, children=text, reason=f"runs again for {_counted(len(left))} {text}"[:200])


def _counted(number: int) -> str:
    return "its child" if number == 1 else f"{number:,} of its children:"


def _obstacle(job: Job, children: str) -> str:
    """Why some children of a job cannot run without the others; empty where they can."""
    if not (job.container_overrides or {}).get("command"):
        return "without containerOverrides.command its children cannot be given their numbers"
    if len(children) > CHILDREN_TEXT_LIMIT:
        return "too many of its children failed, too far apart, to be named in the environment"
    return ""
