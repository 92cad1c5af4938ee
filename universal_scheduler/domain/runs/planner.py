"""The planner: it decides from the state of a run what to do next, and gives a reason for each action. It is pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import assert_never

from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.attempts import earlier_submissions
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Mark, RunStatus, RunWhen, Verb
from universal_scheduler.domain.runs.reasons import clock, did_not_run, in_batch, state_text, states, why_ready
from universal_scheduler.domain.runs.rules import NEEDS_ALL, Edge, Verdict, edge, judge

MAX_BATCH_DEPENDENCIES = 20
"""SubmitJob takes at most 20 dependsOn: https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html"""
INTENT_SETTLE_SECONDS = 60.0
"""How long, in seconds, a submission may have no outcome before the scheduler takes it as never made.

It has to be longer than a SubmitJob call with all its time-outs, and longer than ListJobs needs to show a new job.
"""
DONE_BY = {Verb.HOLD: "held", Verb.SKIP: "skipped"}
"""The word for what a verb does to a job that is taken back from Batch."""
LOST_AFTER_SECONDS = 60.0
"""How long, in seconds, DescribeJobs may not know a job that SubmitJob has accepted. After that the job is NOTFOUND."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit the job to its platform. `after` names the upstream jobs that the platform itself has to wait for."""

    name: str
    reason: str
    after: tuple[str, ...] = ()
    follows: int = 0
    """Only for a finally job: the number of submissions of all other jobs before it."""


@dataclass(frozen=True, slots=True)
class Recover:
    """A submission was begun and its outcome is not known. Look the job up; if the platform does not have it, decide
    again."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadOutput:
    """Read the output of a job that has SUCCEEDED, because another job refers to it. Then decide again."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """The job will not run. Record its end."""

    name: str
    reason: str
    status: JobStatus
    not_taken: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """An operator has asked for the end of the job. End it on its platform and record it as CANCELLED."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take a job that has not started back from its platform; `withdrawn` says what it becomes.

    The reason is a hold, a skip or a move to another queue, or that the platform waits for an attempt of an upstream
    job that is over. A job that has started in the meantime goes on.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reopen:
    """The job had ended because its rule could not be met. An operator has changed that upstream, so the job waits
    again."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for this job now."""

    name: str
    reason: str


Work = Submit | Recover | ReadOutput | End | Cancel | Withdraw | Reopen
Action = Work | Wait


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. The actions are in an order in which they can be done: upstream jobs first."""

    actions: tuple[Action, ...]
    outcome: RunStatus | None
    """How the run ends, if every job has ended for good; None if there is still something to do or to wait for."""
    ends_needed: int = 1
    """How many of the submitted jobs have to succeed before there can be a new decision. A failure wakes the run at
    once."""
    due: float | None = None
    """When there can be a new decision although no job ends, in epoch seconds; None means never."""

    @property
    def work(self) -> tuple[Work, ...]:
        """The actions that change something: all but those that wait."""
        return tuple(action for action in self.actions if not isinstance(action, Wait))


def plan(jobs: Sequence[JobRun], now: float, limit: int | None = None, cancel: Mark | None = None) -> Plan:
    """Decide what happens next to every job that has not ended, and to jobs that have ended too early.

    The job's `runWhen` rule decides whether it runs, waits or never will (`rules.judge`). If the rule is `all_success`
    and Batch already has all unfinished upstream jobs, or gets them by this plan, the job is submitted at once with
    Batch's own dependsOn. That means the same, and the scheduler need not wait.

    A job that refers to an output waits until the output was read.

    `now` is in epoch seconds. `limit` is how many jobs of the run the platform may have at a time; if there is a limit,
    no job is submitted with dependsOn. `cancel` says who asked for the end of the run: then every job ends, but finally
    jobs run all the same.
    """
    live, room = _at_work(jobs, limit)
    wanted = {upstream: job.name for job in jobs if not job.status.ended for upstream in job.job.outputs_of}
    planning = Planning({job.name: job for job in jobs}, live, wanted, now, room, cancel)
    order = upstream_first({job.name: job.job.depends_on for job in jobs})
    others = NO_OTHERS
    for name in sorted(order, key=lambda name: planning.known[name].job.final):
        if planning.known[name].job.final and others is NO_OTHERS:
            others = planning.others = _others(jobs, planning.known, cancel)
        planning.visit(name)
    done = all(isinstance(action, Wait) for action in planning.actions)
    full = planning.room is not None and planning.room <= 0
    return Plan(
        tuple(planning.actions),
        outcome(jobs, cancel) if done else None,
        _ends_needed(planning.known, planning.with_platform, full, others),
        _due(jobs, now),
    )


@dataclass(slots=True)
class Planning:
    """A plan in the making. It visits the jobs one by one, upstream jobs first."""

    known: MutableMapping[str, JobRun]
    """All jobs by name. A job that was visited is there as the plan makes it."""
    with_platform: set[str]
    wanted: Mapping[str, str]
    """For each job whose output is referred to: the name of a job that refers to it and has not ended."""
    now: float
    room: int | None = None
    cancel: Mark | None = None
    others: _Others = field(default_factory=lambda: _Others((), 0))
    actions: list[Action] = field(default_factory=list)

    def visit(self, name: str) -> bool:
        """Decide what happens to a job. Answers whether that changes what the jobs downstream of it see."""
        job = self.known[name]
        stop = None if job.job.final else self.cancel
        if name in self.wanted and job.output_unread:
            self.actions.append(ReadOutput(name, f"{self.wanted[name]} refers to its output"))
        if job.status.ended:
            if stop is None and job.withdraw_asked:
                self.actions.append(_withdrawal(job))
                return False
            if stop is None and (
                _ended_too_early(job, self.known) or _ended_to_be_moved(job) or self.others.outdate(job)
            ):
                self.actions.append(Reopen(name, "what kept it from running has changed"))
                self.known[name] = withdrawn(job)
                return True
            return False
        action = _decide(job, self.known, self.with_platform, self.now, self.room, stop, self.others)
        self.actions.append(action)
        match action:
            case End():
                self.known[name] = replace(job, status=action.status, not_taken=action.not_taken)
            case Submit():
                self.with_platform.add(name)
                if self.room is not None:
                    self.room -= 1
            case Cancel():
                self.with_platform.discard(name)  # nothing is handed down behind it
            case Withdraw():
                self.with_platform.discard(name)
                if not job.withdrawing:  # it cannot start any more: nor can those that the platform has behind it
                    self.known[name] = again(job)
            case Recover() | ReadOutput() | Wait():
                return False
            case Reopen():
                raise AssertionError("only a job that has ended is reopened")
            case _:
                assert_never(action)
        return True


def why_waiting(
    names: Iterable[str], known: Mapping[str, JobRun], now: float, limit: int | None = None, cancel: Mark | None = None
) -> dict[str, str]:
    """Why each of these jobs waits, as `plan` would say it. For views that show a few of many jobs."""
    with_platform, room = _at_work(known.values(), limit)
    left = [known[name] for name in names if not known[name].status.ended]
    others = _others(list(known.values()), known, cancel) if any(job.job.final for job in left) else NO_OTHERS
    decided = [_decide(job, known, with_platform, now, room, None if job.job.final else cancel, others) for job in left]
    return {action.name: action.reason for action in decided if isinstance(action, Wait | Withdraw)}


def _at_work(jobs: Iterable[JobRun], limit: int | None) -> tuple[set[str], int | None]:
    """Which jobs are with their platform, and how many more may be."""
    live = {job.name for job in jobs if job.status.live}
    return live, None if limit is None else limit - len(live) - sum(_in_doubt(job) for job in jobs)


@dataclass(frozen=True, slots=True)
class _Others:
    """The jobs of a run that are no finally jobs, as a finally job sees them."""

    open: tuple[str, ...]
    """Those that have not ended for good."""
    submissions: int
    """How often they have been submitted, in all."""

    def outdate(self, job: JobRun) -> bool:
        """Whether it is a finally job that ran, and others run again, or have run since."""
        ran = job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.NOTFOUND)
        if not job.job.final or not ran or (job.mark is not None and job.mark.verb is Verb.FORCE_OK):
            return False
        return bool(self.open) or job.follows != self.submissions


NO_OTHERS = _Others((), 0)


def _others(jobs: Sequence[JobRun], known: Mapping[str, JobRun], cancel: Mark | None) -> _Others:
    """`jobs` as they are, `known` as the plan makes them: what it ends has not ended before that is recorded."""
    others = [job for job in jobs if not job.job.final]
    left = [job for job in others if not (job.status.ended and known[job.name].status.ended)]
    left += [job for job in others if job.status.ended and job.withdraw_asked and cancel is None]
    submissions = sum(job.attempt - 1 + _was_submitted(job) for job in others)
    return _Others(tuple(job.name for job in left), submissions)


def _ends_needed(known: Mapping[str, JobRun], with_platform: set[str], full: bool, others: _Others) -> int:
    """The fewest ends after which a job that is not submitted could be, or the run be over.

    A job that waits for all of several ends counts them; one that waits for another which itself waits counts nothing,
    because that one does. Too few only costs a needless look; too many would be an end that nobody sees.
    """
    needed = []
    for job in known.values():
        if job.status.ended or job.name in with_platform:
            continue
        upstream = dict.fromkeys([*job.job.depends_on, *job.job.outputs_of, *(others.open if job.job.final else ())])
        open_ends = [name for name in upstream if not known[name].status.ended]
        at_work = sum(name in with_platform for name in open_ends)
        if not open_ends:
            needed += [1] if full else []
        elif job.job.run_when not in NEEDS_ALL:
            needed += [1] if at_work or full else []
        elif at_work == len(open_ends):
            needed.append(at_work)
    return max(1, min(needed, default=len(with_platform)))


def _due(jobs: Sequence[JobRun], now: float) -> float | None:
    times = [job.job.not_before for job in jobs if not job.status.ended and not job.status.live]
    times += [job.intent_at + INTENT_SETTLE_SECONDS for job in jobs if _in_doubt(job)]
    return min((time for time in times if time > now), default=None)


def _decide(
    job: JobRun,
    known: Mapping[str, JobRun],
    with_platform: set[str],
    now: float,
    room: int | None,
    cancel: Mark | None,
    others: _Others,
) -> Action:
    if _in_doubt(job):
        if now - job.intent_at < INTENT_SETTLE_SECONDS:
            return Wait(job.name, "its submission's answer is awaited")
        return Recover(job.name, "its submission was begun and not confirmed")
    asked = cancel or (job.mark if job.cancelling else None)
    if job.status.live:
        if asked is not None:
            return Cancel(job.name, f"cancelled {asked}")
        if job.withdraw_asked or (job.move_to and not job.begun):
            return _withdrawal(job)
        if not job.begun and (over := [name for name in job.behind if _behind_the_past(job, known.get(name))]):
            return Withdraw(job.name, f"Batch would start it after an attempt of {over[0]} that is over")
        return Wait(job.name, in_batch(job, known, now))
    if asked is not None:
        return End(job.name, f"cancelled {asked}", JobStatus.CANCELLED)
    if job.withdraw_asked:
        return _withdrawal(job)
    upstream = _upstream(job, known)
    open_ends = tuple(name for name, state in upstream.items() if state is Edge.OPEN)
    judgement = judge(job.job.run_when, list(upstream.values()))
    if judgement.verdict is Verdict.NEVER:
        not_taken = judgement.status is JobStatus.SKIPPED
        return End(job.name, did_not_run(job, judgement, known), judgement.status, not_taken)
    if job.status is JobStatus.HELD:
        return Wait(job.name, state_text(job, now))
    if job.job.final and others.open:
        return Wait(job.name, f"runs last, waits for {states(others.open, known, now)}")
    if now < job.job.not_before:
        return Wait(job.name, f"not before {clock(job.job.not_before, now)}")
    if room is not None and room <= 0:
        return Wait(job.name, "as many jobs of the run are at work as its maxConcurrentJobs allows")
    if judgement.verdict is Verdict.READY:
        if awaited := [name for name in job.job.outputs_of if known[name].output_awaited]:
            return Wait(job.name, f"waits for the output of {states(awaited, known, now)}")
        return Submit(job.name, why_ready(job), follows=others.submissions if job.job.final else 0)
    if room is None and _can_be_handed_down(job, upstream, with_platform):
        return Submit(job.name, f"Batch starts it after {', '.join(open_ends)}", open_ends)
    return Wait(job.name, f"waits for {states(open_ends, known, now)}")


def _withdrawal(job: JobRun) -> Withdraw:
    """Why a job leaves its place, as the platform is told and people are shown."""
    if job.withdraw_asked:
        return Withdraw(job.name, f"{DONE_BY[job.mark.verb] if job.mark else 'taken back'} {job.mark}")
    return Withdraw(job.name, f"waited too long in queue {job.job.queue}: goes to {job.move_to}")


def withdrawn(job: JobRun) -> JobRun:
    """The job after it was taken back from its platform before it started: held, skipped, or waiting."""
    queue = job.move_to or job.job.queue
    waiting = again(replace(job, job=replace(job.job, queue=queue)))
    if not job.withdraw_asked or job.mark is None or job.mark.verb is not Verb.SKIP:
        return waiting
    reason = f"{DONE_BY[Verb.SKIP]} {job.mark}"
    return replace(waiting, status=JobStatus.SKIPPED, reason=reason, mark=job.mark, stopped_at=job.mark.at)


def _upstream(job: JobRun, known: Mapping[str, JobRun]) -> dict[str, Edge]:
    """What each of the job's dependencies has come to, by the upstream job's name."""
    return {each.job: edge(each, known[each.job]) for each in job.job.dependencies}


def _in_doubt(job: JobRun) -> bool:
    """Whether the job's submission was begun and nobody knows whether it was accepted."""
    return job.status is JobStatus.SUBMITTING


def _can_be_handed_down(job: JobRun, upstream: Mapping[str, Edge], with_platform: set[str]) -> bool:
    open_ends = [each for each in job.job.dependencies if upstream[each.job] is Edge.OPEN]
    return (
        job.job.run_when is RunWhen.ALL_SUCCESS
        and not job.job.outputs_of  # what they put out is needed to submit this one
        and not job.job.for_each_s3  # they may have written it
        and len(open_ends) <= MAX_BATCH_DEPENDENCIES
        and all(each.job in with_platform and not each.conditional for each in open_ends)
        and all(state in (Edge.OPEN, Edge.MET) for state in upstream.values())
    )


def again(job: JobRun) -> JobRun:
    """The job as it waits for another run.

    It is on hold if that was the newest decision about it. It gets a new attempt if it was submitted before.
    """
    return JobRun(
        job=job.job,
        position=job.position,
        status=JobStatus.HELD if job.on_hold else JobStatus.WAITING,
        attempt=job.attempt + _was_submitted(job),
        attempts=job.attempts,
        earlier=earlier_submissions(job),
        children="" if job.status.satisfies and not job.not_taken else job.children,
        mark=job.mark if job.mark is not None and job.mark.verb in (Verb.HOLD, Verb.RELEASE) else None,
    )


def _was_submitted(job: JobRun) -> bool:
    """Whether its present attempt was given to its platform, or is just being given."""
    return bool(job.intent_at or job.job_id)


def never_runs(job: JobRun, known: Mapping[str, JobRun]) -> str:
    """Why the job's rule keeps it from running in the present state; empty if it does not."""
    upstream = _upstream(job, known)
    judgement = judge(job.job.run_when, list(upstream.values()))
    return did_not_run(job, judgement, known) if judgement.verdict is Verdict.NEVER else ""


def _ended_too_early(job: JobRun, known: Mapping[str, JobRun]) -> bool:
    """Whether it ended because its rule could not be met any more, and by now it can: an operator acted upstream."""
    unreached = job.status is JobStatus.UPSTREAM_FAILED or (job.status is JobStatus.SKIPPED and job.not_taken)
    return unreached and not never_runs(job, known)


def _ended_to_be_moved(job: JobRun) -> bool:
    """Whether its end was heard of before it could be recorded as moved. Of an array nothing tells: Batch gives its
    parent no start."""
    never_ran = not job.started_at and not job.job.is_array
    return bool(job.move_to) and job.status is JobStatus.FAILED and never_ran


def outcome(jobs: Sequence[JobRun], cancel: Mark | None = None) -> RunStatus | None:
    """How a run with these jobs ends; None if one of them has not ended."""
    if not all(job.status.ended for job in jobs):
        return None
    if cancel is not None:
        return RunStatus.CANCELLED
    succeeded = all(job.status.satisfies or job.job.optional for job in jobs)
    return RunStatus.SUCCEEDED if succeeded else RunStatus.FAILED


def upstream_first(dependencies: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The names of the jobs in an order in which every job comes after all jobs that it depends on.

    Raises:
        graphlib.CycleError: there is no such order.
    """
    return tuple(TopologicalSorter(dependencies).static_order())


def explain(job: JobRun, known: Mapping[str, JobRun]) -> JobRun | None:
    """Explain a job that Batch has failed because of its dependsOn: not the job itself failed, but an upstream job.

    Returns: the job with the right end; the same job if it has failed itself; None if nobody can tell yet, because the
    end of the upstream job was not seen so far.
    """
    if job.status is not JobStatus.FAILED or job.started_at or not job.behind:
        return job
    if job.withdraw_asked:
        return job  # it was ended to be taken back
    upstream = _upstream(job, known)
    judgement = judge(job.job.run_when, list(upstream.values()))
    if judgement.verdict is not Verdict.NEVER and any(_behind_the_past(job, known[name]) for name in upstream):
        return replace(job, status=JobStatus.UPSTREAM_FAILED, reason="an upstream job failed, and was acted on since")
    match judgement.verdict:
        case Verdict.NOT_YET:
            return None
        case Verdict.READY:
            return job
        case Verdict.NEVER:
            reason = did_not_run(job, judgement, known)
            return replace(job, status=judgement.status, reason=reason)
        case _:
            assert_never(judgement.verdict)


def _behind_the_past(job: JobRun, upstream: JobRun | None) -> bool:
    """Whether Batch has the job behind an attempt of the upstream job that counts no more.

    Another attempt was begun since; or somebody took the failed one for done.
    """
    if upstream is None or upstream.name not in job.behind:
        return False
    if job.behind[upstream.name] != upstream.attempt:
        return True
    mark = upstream.mark
    if mark is None or upstream.withdraw_asked or not upstream.status.satisfies:
        return False
    return mark.verb in (Verb.FORCE_OK, Verb.SKIP) and mark.at >= job.submitted_at


def waiting_for(jobs: Sequence[JobRun], planned: Plan, now: float, cancel: Mark | None = None) -> str:
    """What a run waits for, as a sentence for people; empty if it waits for nothing.

    Jobs that run are named first. Jobs that wait for another job are left out.
    """
    known = {job.name: job for job in jobs}
    others_open = any(not job.status.ended for job in jobs if not job.job.final)
    waits = [action for action in planned.actions if isinstance(action, Wait)]
    first_hand = [
        action
        for action in waits
        if known[action.name].status is not JobStatus.WAITING
        or (
            all(known[name].status.ended for name in known[action.name].job.depends_on)
            and not (known[action.name].job.final and others_open)
        )
    ]
    parts = [f"its end was asked for {cancel}"] if cancel is not None else []
    for action in sorted(first_hand or waits, key=lambda action: not known[action.name].status.live)[:1]:
        job, more = known[action.name], len(first_hand or waits) - 1
        state = action.reason if job.status is JobStatus.WAITING else state_text(job, now)
        parts.append(f"waits for {job.name}, {state}" + (f", and {more} more" if more else ""))
    return "; ".join(parts)
