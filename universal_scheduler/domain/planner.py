"""The planner: from what is known of a run to what is to be done next, each with its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from universal_scheduler.domain.model import JobRun, JobStatus, RunStatus

MAX_BATCH_DEPENDENCIES = 20
"""SubmitJob takes at most 20 dependsOn: https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html"""
INTENT_SETTLE_SECONDS = 15.0
"""How long a submission may be invisible to ListJobs before it counts as never made."""
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
    """A submission was begun and its outcome is not known: look the job up before submitting it again."""

    name: str
    reason: str
    after: tuple[str, ...] = ()


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


Action = Submit | Recover | End | Wait


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. Actions stand in an order in which they can be done: upstream first."""

    actions: tuple[Action, ...]
    outcome: RunStatus | None
    """How the run ends, where every job has ended; None while there is something to do or to wait for."""

    @property
    def work(self) -> tuple[Submit | Recover | End, ...]:
        return tuple(action for action in self.actions if not isinstance(action, Wait))


def plan(jobs: Sequence[JobRun], now: float) -> Plan:
    """Decide, for every job that has not ended, what happens next.

    A job runs when all its upstream jobs SUCCEEDED or were SKIPPED, and it ends as UPSTREAM_FAILED as soon as one of
    them ended otherwise. Where all unfinished upstream jobs are already with Batch (or go there in this very plan),
    the dependency is handed down as Batch's own dependsOn, which means the same and needs nobody to wait.
    """
    by_name = {job.name: job for job in jobs}
    status = {job.name: job.status for job in jobs}
    with_platform = {job.name for job in jobs if job.status.live}
    actions: list[Action] = []
    for name in upstream_first({job.name: job.job.depends_on for job in jobs}):
        job = by_name[name]
        if job.status.ended or job.status.live:
            if job.status.live:
                actions.append(Wait(name, f"{job.status} on its queue"))
            continue
        action = _decide(job, status, with_platform, now)
        actions.append(action)
        if isinstance(action, End):
            status[name] = action.status
        elif isinstance(action, Submit | Recover):
            with_platform.add(name)
    return Plan(tuple(actions), _outcome({job.name: job.status for job in jobs}))


def _decide(job: JobRun, status: Mapping[str, JobStatus], with_platform: set[str], now: float) -> Action:
    upstream = job.job.depends_on
    unfinished = tuple(name for name in upstream if not status[name].ended)
    if job.status is JobStatus.SUBMITTING:
        if now - job.intent_at < INTENT_SETTLE_SECONDS:
            return Wait(job.name, "its submission's answer is awaited")
        return Recover(job.name, "its submission was begun and not confirmed", unfinished)
    if job.status is JobStatus.HELD:
        return Wait(job.name, "held")
    broken = [name for name in upstream if status[name].ended and not status[name].satisfies]
    if broken:
        return End(job.name, _not_run_after(broken, status), JobStatus.UPSTREAM_FAILED)
    if not unfinished:
        return Submit(job.name, "all upstream jobs succeeded" if upstream else "has no upstream job")
    if all(name in with_platform for name in unfinished) and len(unfinished) <= MAX_BATCH_DEPENDENCIES:
        return Submit(job.name, f"Batch starts it after {', '.join(unfinished)}", unfinished)
    return Wait(job.name, f"waits for {_named(unfinished, status)}")


def _outcome(status: Mapping[str, JobStatus]) -> RunStatus | None:
    if not all(state.ended for state in status.values()):
        return None
    succeeded = all(state.satisfies for state in status.values())
    return RunStatus.SUCCEEDED if succeeded else RunStatus.FAILED


def upstream_first(dependencies: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The jobs' names, every job after all those it depends on.

    Raises:
        graphlib.CycleError: there is no such order.
    """
    return tuple(TopologicalSorter(dependencies).static_order())


def not_run_reason(job: JobRun, jobs: Mapping[str, JobRun]) -> str:
    """Why a job that its platform never started did not run, named by the upstream jobs that broke its rule."""
    status = {name: jobs[name].status for name in job.job.depends_on}
    broken = [name for name, state in status.items() if state.ended and not state.satisfies]
    return _not_run_after(broken, status) if broken else "did not run: an upstream job did not succeed"


def _not_run_after(broken: Sequence[str], status: Mapping[str, JobStatus]) -> str:
    return f"did not run: upstream {_named(broken, status)}"


def _named(names: Sequence[str], status: Mapping[str, JobStatus]) -> str:
    shown = ", ".join(f"{name} ({status[name]})" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
