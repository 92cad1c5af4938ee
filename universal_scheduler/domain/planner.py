"""The planner: from what is known of a run to what is to be done next, each with its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import assert_never

from universal_scheduler.domain.model import JobRun, JobStatus, RunStatus, RunWhen
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.rules import Edge, Judgement, Verdict, edge, judge

MAX_BATCH_DEPENDENCIES = 20
"""SubmitJob takes at most 20 dependsOn: https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html"""
INTENT_SETTLE_SECONDS = 60.0
"""How long a submission may be under way, or accepted and not yet listed, before it counts as never made.

It has to be longer than the call may take with all its time-outs, and than ListJobs may lag behind."""
LOST_AFTER_SECONDS = 60.0
"""How long DescribeJobs may not know a job that SubmitJob answered with before the job is NOTFOUND."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand the job to its platform, after those of `after` that the platform still works on."""

    name: str
    reason: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recover:
    """A submission was begun and its outcome is not known: look the job up; where it was not made, decide anew."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """The job will not run: record how it ends."""

    name: str
    reason: str
    status: JobStatus


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for this job now."""

    name: str
    reason: str


Work = Submit | Recover | End
Action = Work | Wait


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. Actions stand in an order in which they can be done: upstream first."""

    actions: tuple[Action, ...]
    outcome: RunStatus | None
    """How the run ends, where every job has ended; None while there is something to do or to wait for."""

    @property
    def work(self) -> tuple[Work, ...]:
        return tuple(action for action in self.actions if not isinstance(action, Wait))


def plan(jobs: Sequence[JobRun], now: float, limit: int | None = None) -> Plan:
    """Decide, for every job that has not ended, what happens next.

    A job runs, waits or never will as its `runWhen` rule says of its upstream jobs (`rules.judge`). Where the rule is
    that all must succeed, and the unfinished ones are all with Batch already (or go there in this very plan), the
    dependency is handed down as Batch's own dependsOn, which means the same and needs nobody to wait.

    `limit` is how many jobs of the run may be with their platform at a time; with one, nothing is handed down.
    """
    known = {job.name: job for job in jobs}
    with_platform = {job.name for job in jobs if job.status.live}
    room = None if limit is None else limit - len(with_platform) - sum(_in_doubt(job) for job in jobs)
    actions: list[Action] = []
    for name in upstream_first({job.name: job.job.depends_on for job in jobs}):
        job = known[name]
        if job.status.ended:
            continue
        if job.status.live:
            actions.append(Wait(name, f"{job.status} on its queue"))
            continue
        action = _decide(job, known, with_platform, now, room)
        actions.append(action)
        match action:
            case End():
                not_taken = action.status is JobStatus.SKIPPED
                known[name] = replace(job, status=action.status, not_taken=not_taken)
            case Submit():
                with_platform.add(name)
                if room is not None:
                    room -= 1
            case Recover() | Wait():
                pass
            case _:
                assert_never(action)
    return Plan(tuple(actions), outcome(jobs))


def _decide(job: JobRun, known: Mapping[str, JobRun], with_platform: set[str], now: float, room: int | None) -> Action:
    upstream = _upstream(job, known)
    open_ends = tuple(name for name, state in upstream.items() if state is Edge.OPEN)
    if _in_doubt(job):
        if now - job.intent_at < INTENT_SETTLE_SECONDS:
            return Wait(job.name, "its submission's answer is awaited")
        return Recover(job.name, "its submission was begun and not confirmed")
    judgement = judge(job.job.run_when, list(upstream.values()))
    if judgement.verdict is Verdict.NEVER:
        return End(job.name, _did_not_run(job, _blamed(judgement, upstream), known), judgement.status)
    if job.status is JobStatus.HELD:
        return Wait(job.name, f"held{': ' + job.reason if job.reason else ''}")
    if now < job.job.not_before:
        return Wait(job.name, f"not before {iso(job.job.not_before)} UTC")
    if room is not None and room <= 0:
        return Wait(job.name, "as many jobs of the run are at work as its maxConcurrentJobs allows")
    if judgement.verdict is Verdict.READY:
        return Submit(job.name, _why_ready(job))
    if room is None and _can_be_handed_down(job, upstream, with_platform):
        return Submit(job.name, f"Batch starts it after {', '.join(open_ends)}", open_ends)
    return Wait(job.name, f"waits for {_named(open_ends, known)}")


def _upstream(job: JobRun, known: Mapping[str, JobRun]) -> dict[str, Edge]:
    """What each of the job's dependencies has come to, by the upstream job's name."""
    return {each.job: edge(each, known[each.job]) for each in job.job.dependencies}


def _in_doubt(job: JobRun) -> bool:
    """Whether the job's submission was begun and nobody knows whether it was accepted."""
    return job.status is JobStatus.SUBMITTING


def _blamed(judgement: Judgement, upstream: Mapping[str, Edge]) -> list[str]:
    """The upstream jobs for which a job will never run: those that failed, or else all that have ended."""
    if judgement.status is JobStatus.UPSTREAM_FAILED:
        return [name for name, state in upstream.items() if state is Edge.FAILED]
    return [name for name, state in upstream.items() if state is not Edge.OPEN]


def _can_be_handed_down(job: JobRun, upstream: Mapping[str, Edge], with_platform: set[str]) -> bool:
    open_ends = [each for each in job.job.dependencies if upstream[each.job] is Edge.OPEN]
    return (
        job.job.run_when is RunWhen.ALL_SUCCESS
        and len(open_ends) <= MAX_BATCH_DEPENDENCIES
        and all(each.job in with_platform and not each.conditional for each in open_ends)
        and all(state in (Edge.OPEN, Edge.MET) for state in upstream.values())
    )


def outcome(jobs: Sequence[JobRun]) -> RunStatus | None:
    """How a run with these jobs ends; None while one of them has not ended."""
    if not all(job.status.ended for job in jobs):
        return None
    succeeded = all(job.status.satisfies or job.job.optional for job in jobs)
    return RunStatus.SUCCEEDED if succeeded else RunStatus.FAILED


def upstream_first(dependencies: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The jobs' names, every job after all those it depends on.

    Raises:
        graphlib.CycleError: there is no such order.
    """
    return tuple(TopologicalSorter(dependencies).static_order())


def explain(job: JobRun, known: Mapping[str, JobRun]) -> JobRun | None:
    """A job that Batch failed unstarted because of its dependsOn did not fail itself: its upstream did.

    None where that cannot be told yet: Batch has failed the job, and the upstream job's end has not been seen.
    """
    if job.status is not JobStatus.FAILED or job.started_at or job.job.run_when is not RunWhen.ALL_SUCCESS:
        return job
    upstream = _upstream(job, known)
    judgement = judge(job.job.run_when, list(upstream.values()))
    match judgement.verdict:
        case Verdict.NOT_YET:
            return None
        case Verdict.READY:
            return job
        case Verdict.NEVER:
            reason = _did_not_run(job, _blamed(judgement, upstream), known)
            return replace(job, status=judgement.status, reason=reason)
        case _:
            assert_never(judgement.verdict)


def _did_not_run(job: JobRun, reached: Sequence[str], known: Mapping[str, JobRun]) -> str:
    rule = "" if job.job.run_when is RunWhen.ALL_SUCCESS else f" ({job.job.run_when})"
    return f"did not run{rule}: upstream {_named(reached, known)}"


def _why_ready(job: JobRun) -> str:
    if not job.job.dependencies:
        return "has no upstream job"
    return "all upstream jobs succeeded" if job.job.run_when is RunWhen.ALL_SUCCESS else f"{job.job.run_when} holds"


def _named(names: Sequence[str], known: Mapping[str, JobRun]) -> str:
    shown = ", ".join(f"{name} ({known[name].status})" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
