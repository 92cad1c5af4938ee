"""Which jobs of a run a restart runs again, which it keeps, and which it skips. It is pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, IllegalVerb, InvalidSchedule, JobNotFound
from universal_scheduler.domain.runs.arrays import left_over, read_selection
from universal_scheduler.domain.runs.model import Job, JobRun, JobStatus, Mark, Verb
from universal_scheduler.domain.runs.planner import again, upstream_first
from universal_scheduler.domain.runs.verbs import check_failed, forced

NEWEST = "newest"
VARIANT_KEYS = ("from", "only", "skip", "forceOk", "definition")
"""The keys of a start message that only a restart may have."""
NOBODY: Mapping[str, Collection[int]] = {}


@dataclass(frozen=True, slots=True)
class Variant:
    """How a restart differs from a plain one, which goes on where the run failed. Its fields are keys of the start
    message."""

    start_from: tuple[str, ...] = ()
    """The key `from`: these jobs and all jobs downstream of them run again, whatever their ends were. All others
    stay."""
    only: tuple[str, ...] | None = None
    """Only these jobs run again. All others stay. If it is empty, only the jobs run that could not run before."""
    skip: tuple[str, ...] = ()
    """Jobs, or children of array jobs, that do not run again (see `arrays.read_selection`)."""
    force_ok: tuple[str, ...] = ()
    """The key `forceOk`: these failed jobs count as SUCCEEDED."""
    newest: bool = False
    """The key `definition: newest`: the restart takes the jobs from the schedule's row as it is now."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """New parameters of the run. They replace those that it had."""

    @property
    def verb(self) -> Verb:
        if self.only is None:
            return Verb.RESTART
        if self.only:
            return Verb.RERUN
        return Verb.FORCE_OK if self.force_ok else Verb.SKIP

    @property
    def named(self) -> tuple[str, ...]:
        """The jobs that the verb of this restart is done to; empty if it is done to the whole run."""
        return () if self.only is None else self.only or (*self.force_ok, *self.skip)

    @property
    def goes_on(self) -> bool:
        """Whether the restart goes on where the run failed, and of an array runs only the children that did not
        succeed."""
        return self.only is None and not self.start_from

    @property
    def skipped(self) -> dict[str, tuple[int, ...]]:
        """What does not run again, by job name: the indices of children, or nothing for the whole job.

        Raises:
            InvalidSchedule: an entry of `skip` is neither a job nor children of one.
        """
        found, errors = {}, []
        for index, text in enumerate(self.skip):
            try:
                name, children = read_selection(text)
            except ValueError as error:
                errors.append(DocumentError(f"$.skip[{index}]", str(error), "a job's name, or job:3,7-9"))
            else:
                found[name] = children
        if errors:
            raise InvalidSchedule(errors)
        return found

    def as_message(self) -> dict[str, Any]:
        values = {
            "from": list(self.start_from),
            "only": None if self.only is None else list(self.only),
            "skip": list(self.skip),
            "forceOk": list(self.force_ok),
            "definition": NEWEST if self.newest else None,
            "parameters": dict(self.parameters),
        }
        return {key: value for key, value in values.items() if value or (key == "only" and value is not None)}


def read_variant(message: Mapping[str, Any]) -> Variant:
    """Read the variant of a restart from the keys of a start message.

    Raises:
        InvalidSchedule: a key has a value that it cannot have.
    """
    errors = []
    for key in ("from", "only", "skip", "forceOk"):
        names = message.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            errors.append(DocumentError(f"$.{key}", shown(names), "a list of job names"))
    if message.get("definition", NEWEST) != NEWEST:
        errors.append(DocumentError("$.definition", shown(message["definition"]), f'"{NEWEST}"'))
    if not isinstance(message.get("parameters", {}), Mapping):
        errors.append(DocumentError("$.parameters", shown(message["parameters"]), "an object"))
    if message.get("from") and message.get("only"):
        errors.append(DocumentError("$.only", "from beside it", "only one of the two"))
    if message.get("only") == [] and not (message.get("skip") or message.get("forceOk")):
        expected = "the jobs that run again; or an empty list beside skip or forceOk"
        errors.append(DocumentError("$.only", "an empty list", expected))
    if errors:
        raise InvalidSchedule(errors)
    variant = Variant(
        start_from=tuple(message.get("from", ())),
        only=tuple(message["only"]) if "only" in message else None,
        skip=tuple(message.get("skip", ())),
        force_ok=tuple(message.get("forceOk", ())),
        newest="definition" in message,
        parameters=dict(message.get("parameters", {})),
    )
    _ = variant.skipped  # raises where an entry is neither a job nor children of one
    return variant


def redefined(jobs: Sequence[JobRun], newest: Sequence[Job]) -> list[JobRun]:
    """The jobs of the run by the newest definition. A new job waits; a job that is not defined any more is dropped.

    Raises:
        IllegalVerb: a job that is not defined any more still runs.
    """
    names = {job.name for job in newest}
    for job in jobs:
        if _at_work(job) and job.name not in names:
            why = f"the job '{job.name}' is {job.status}, and the schedule does not have it any more"
            raise IllegalVerb(Verb.RESTART, "with the newest definition", why, "End it first with: usched cancel")
    known = {job.name: job for job in jobs}
    return [_redefined(known.get(spec.name) or fresh(spec), spec, position) for position, spec in enumerate(newest)]


def _redefined(job: JobRun, spec: Job, position: int) -> JobRun:
    """Children of an array that has become another are no longer what they were."""
    children = job.children if same_array(job.job, spec) else ""
    return replace(job, job=spec, position=position, children=children)


def same_array(one: Job, other: Job) -> bool:
    return (one.array_size, one.for_each, one.for_each_s3) == (other.array_size, other.for_each, other.for_each_s3)


def fresh(job: Job, position: int = 0) -> JobRun:
    """The job in a new run, before anything has happened to it."""
    return JobRun(job, position, JobStatus.HELD if job.hold else JobStatus.WAITING)


def remaining(
    jobs: Sequence[JobRun],
    variant: Variant,
    mark: Mark,
    passed: Collection[str] = (),
    succeeded: Mapping[str, Collection[int]] = NOBODY,
) -> list[JobRun]:
    """The jobs of the run after the restart.

    A job that still runs, because only the execution of the run died, goes on. `passed` are the jobs whose `jobStatus`
    in the history row is PASS: they are SKIPPED unless they have SUCCEEDED. `succeeded` has for an array job, by its
    name, the places of the children that need not run again.

    Raises:
        JobNotFound: the variant names a job that the run does not have.
        IllegalVerb: it names a job that still runs, or children that cannot be skipped.
    """
    check_names(jobs, variant)
    chosen = _chosen(jobs, variant)
    return [_after(job, job.name in chosen, job.name in passed, variant, mark, succeeded) for job in jobs]


def check_names(jobs: Iterable[JobRun], variant: Variant) -> None:
    """Check the names in the variant of a restart.

    Raises:
        JobNotFound, IllegalVerb: as `remaining`.
    """
    known = {job.name: job for job in jobs}
    for name in (*variant.start_from, *(variant.only or ()), *variant.skipped, *variant.force_ok):
        if name not in known:
            raise JobNotFound(name, list(known))
        if _at_work(known[name]):
            why = f"it is {known[name].status}: Batch has it already"
            raise IllegalVerb(variant.verb, f"the job '{name}'", why, "End it first with: usched cancel")
    for name in variant.force_ok:
        check_failed(known[name])


def _chosen(jobs: Sequence[JobRun], variant: Variant) -> set[str]:
    """The jobs that run again."""
    last = {job.name for job in jobs if job.job.final}
    named = {*variant.start_from, *variant.named}
    # Finally jobs run again after whatever runs again; where only some of them are named, these alone do.
    again_last = set() if named and named <= last else {job.name for job in jobs if job.name in last and _ran(job)}
    if variant.only is not None:
        return set(variant.only) | again_last
    if not variant.start_from:
        return {job.name for job in jobs if not job.status.satisfies or job.not_taken} | again_last
    upstream = {job.name: job.job.depends_on for job in jobs}
    chosen = set(variant.start_from)
    for name in upstream_first(upstream):
        if not chosen.isdisjoint(upstream[name]):
            chosen.add(name)
    return chosen | again_last


def _ran(job: JobRun) -> bool:
    """Whether nobody has skipped it."""
    return job.status is not JobStatus.SKIPPED


def _after(
    job: JobRun,
    chosen: bool,
    passed: bool,
    variant: Variant,
    mark: Mark,
    succeeded: Mapping[str, Collection[int]],
) -> JobRun:
    if _at_work(job):
        return job  # its execution died and it did not: it is watched again
    if job.name in variant.force_ok:
        return forced(job, replace(mark, verb=Verb.FORCE_OK))
    done = job.status.satisfies and not job.not_taken
    children = variant.skipped.get(job.name)
    skip = replace(mark, verb=Verb.SKIP)
    if children == () and (chosen or not done):
        return replace(again(job), status=JobStatus.SKIPPED, reason=f"skipped {skip}", mark=skip)
    if passed and not done:
        return replace(again(job), status=JobStatus.SKIPPED, reason="PASS in the history row")
    if not chosen:
        return job
    fresh_attempt = replace(again(job), attempt=job.attempt + 1)
    if not job.job.is_array:
        if children:
            raise IllegalVerb(Verb.SKIP, f"children of '{job.name}'", "it is no array job")
        return fresh_attempt
    try:
        left = left_over(job, succeeded.get(job.name), children or ())
    except ValueError as error:
        raise IllegalVerb(Verb.SKIP, f"children of '{job.name}'", str(error)) from None
    if left.status is JobStatus.SKIPPED:
        reason = f"its failed children were skipped {skip}"
        return replace(again(job), status=JobStatus.SKIPPED, reason=reason, mark=skip)
    return replace(fresh_attempt, children=left.children, reason=left.reason)


def _at_work(job: JobRun) -> bool:
    return job.status.live or job.status is JobStatus.SUBMITTING
