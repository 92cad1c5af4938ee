"""The sentences for people that say why a job waits or did not run. It is pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.arrays import progress_text
from universal_scheduler.domain.runs.model import Dependency, JobRun, JobStatus, RunWhen
from universal_scheduler.domain.runs.references import as_text
from universal_scheduler.domain.runs.rules import Edge, Judgement, edge

SHOWN = 5
"""How many jobs a sentence names at most."""


def did_not_run(job: JobRun, judgement: Judgement, known: Mapping[str, JobRun]) -> str:
    """Why a job did not run: `did not run: upstream load (FAILED)`, or which branch the upstream job did not take."""
    rule = "" if job.job.run_when is RunWhen.ALL_SUCCESS else f" ({job.job.run_when})"
    blamed = [each for each in job.job.dependencies if _is_to_blame(each, job, judgement, known)]
    branches = [each for each in blamed if edge(each, known[each.job]) is Edge.NOT_TAKEN and each.conditional]
    plain = [each.job for each in blamed if each not in branches]
    parts = [f"upstream {_listed([f'{name} ({_end(known[name])})' for name in plain], ', ')}"] if plain else []
    parts += [_not_taken(each, known[each.job]) for each in branches[:SHOWN]]
    more = f"; and {len(branches) - SHOWN} more" if len(branches) > SHOWN else ""
    return f"did not run{rule}: {'. '.join(parts)}{more}"


def _is_to_blame(each: Dependency, job: JobRun, judgement: Judgement, known: Mapping[str, JobRun]) -> bool:
    """Whether the job will never run because of this one: what failed, or else the branches that were not taken."""
    state = edge(each, known[each.job])
    if judgement.status is JobStatus.UPSTREAM_FAILED:
        return state is Edge.FAILED
    if job.job.run_when is RunWhen.ALL_SUCCESS:
        return state is Edge.NOT_TAKEN
    return state is not Edge.OPEN


def _end(job: JobRun) -> str:
    """How the job ended, and by whom where an operator ended it. Batch knows a cancelled job only as FAILED."""
    if job.output_problem:
        return job.output_problem
    if job.not_taken:
        return f"{job.status}, it did not run either"
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED) and job.reason.startswith("cancelled by "):
        return f"{JobStatus.CANCELLED} {job.reason.removeprefix('cancelled ')}"
    return str(job.status)


def _not_taken(dependency: Dependency, upstream: JobRun) -> str:
    """What the upstream job came to, and what the branch wants: `a ended with exit code 3; this branch wants 0`."""
    name, ended = dependency.job, f"{dependency.job} ended {_end(upstream)}"
    if dependency.status is not None:
        return f"{ended}; this branch wants {dependency.status}"
    if dependency.exit_codes:
        wanted = " or ".join(map(str, dependency.exit_codes))
        code = upstream.exit_code
        with_code = f"{ended} without an exit code" if code is None else f"{name} ended with exit code {code}"
        return f"{with_code}; this branch wants {wanted}"
    if upstream.output is None:
        return f"{ended}; this branch wants its output {_pairs(dependency.output)}"
    found = {key: as_text(upstream.output[key]) for key, _ in dependency.output if key in upstream.output}
    missing = [f"no {key}" for key, _ in dependency.output if key not in found]
    put_out = ", ".join([*([_pairs(tuple(found.items()))] if found else []), *missing])
    wanted = dependency.output[0][1] if len(dependency.output) == 1 else _pairs(dependency.output)
    return f"{name} put out {put_out}; this branch wants {wanted}"


def _pairs(values: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values)


def why_ready(job: JobRun) -> str:
    if job.job.final:
        return "all other jobs have ended"
    if not job.job.dependencies:
        return "has no upstream job"
    return "all upstream jobs succeeded" if job.job.run_when is RunWhen.ALL_SUCCESS else f"{job.job.run_when} holds"


def states(names: Sequence[str], known: Mapping[str, JobRun], now: float) -> str:
    """Each of these jobs with its state, for example `cleanse, RUNNING since 06:31 UTC`."""
    return _listed([f"{name}, {state_text(known[name], now)}" for name in names], "; ")


def in_batch(job: JobRun, known: Mapping[str, JobRun], now: float) -> str:
    """The state of a job that Batch has, and the jobs for which Batch waits before it starts this one."""
    state = state_text(job, now)
    upstream = [known[name] for name in job.behind if name in known and not known[name].status.ended]
    if job.begun or not upstream:
        return state
    return f"{state}: Batch starts it after {_listed([f'{o.name} ({state_text(o, now)})' for o in upstream], ', ')}"


def state_text(job: JobRun, now: float) -> str:
    """The state of a job that has not ended, with its start: `RUNNING since 06:31 UTC`, `held since 06:40 UTC by
    ann`."""
    if job.status is JobStatus.HELD:
        if job.mark is None:
            return "held, as its schedule says"
        return f"held since {clock(job.mark.at, now)} {job.mark}"
    if job.status is JobStatus.RUNNING and (progress := progress_text(job.child_counts)):
        return f"{job.status} since {clock(job.started_at or job.submitted_at, now)}, {progress}"
    since = job.started_at if job.status is JobStatus.RUNNING else job.submitted_at if job.status.live else 0.0
    return f"{job.status} since {clock(since, now)}" if since else str(job.status)


def clock(moment: float, now: float) -> str:
    """A time in epoch seconds as a time of day: `06:31 UTC`. It has its date if that is not the date of `now`."""
    day, _, time = iso(moment)[:16].partition("T")
    return f"{time} UTC" if iso(now).startswith(day) else f"{day} {time} UTC"


def _listed(texts: Sequence[str], separator: str) -> str:
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return separator.join([*texts[:SHOWN], *more])
