"""What an operator may do to a job, a run or a schedule, and what it becomes. It is pure."""

from __future__ import annotations

from typing import assert_never

from universal_scheduler.domain.errors import IllegalVerb
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Mark, Run, Verb
from universal_scheduler.domain.runs.planner import DONE_BY, again

NOT_BEGUN = frozenset({JobStatus.WAITING, JobStatus.HELD})
FAILED = frozenset({JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.NOTFOUND, JobStatus.UPSTREAM_FAILED})
ON_JOBS = (Verb.HOLD, Verb.RELEASE, Verb.SKIP, Verb.FORCE_OK, Verb.RERUN, Verb.CANCEL)
ALSO_AFTER_THE_END = frozenset({Verb.SKIP, Verb.FORCE_OK, Verb.RERUN})
"""The verbs that are legal for a job of a run that has ended. The run then goes on with this job."""


def on_job(run: Run, job: JobRun, mark: Mark) -> JobRun:
    """The job after the verb of `mark`.

    A job that the platform has is only marked: the execution of the run then ends it or takes it back.

    Raises:
        IllegalVerb: the verb is not legal for this job now.
    """
    _check_run(run, job, mark.verb)
    if job.cancelling:
        raise _illegal(mark.verb, job, f"its end was asked for already {job.mark}", "Wait until it is CANCELLED.")
    if job.withdraw_asked and not job.status.ended:
        word = DONE_BY[job.mark.verb] if job.mark else "held"
        raise _illegal(mark.verb, job, f"it is just being {word} {job.mark}", "Try again in a moment.")
    match mark.verb:
        case Verb.HOLD:
            if _can_be_withdrawn(run, job):
                return replace(job, mark=mark, withdraw_asked=True)
            if job.status is not JobStatus.WAITING:
                raise _illegal(Verb.HOLD, job, _state(job), _instead(job, "release"))
            return replace(job, status=JobStatus.HELD, mark=mark)
        case Verb.RELEASE:
            if job.status is not JobStatus.HELD:
                raise _illegal(Verb.RELEASE, job, f"it is not held, {_state(job)}")
            return replace(job, status=JobStatus.WAITING, mark=mark)
        case Verb.SKIP:
            if _can_be_withdrawn(run, job):
                return replace(job, mark=mark, withdraw_asked=True)
            if job.status not in NOT_BEGUN | FAILED:
                raise _illegal(Verb.SKIP, job, _state(job), _instead(job))
            return _ended(job, JobStatus.SKIPPED, "skipped", mark)
        case Verb.FORCE_OK:
            check_failed(job)
            return forced(job, mark)
        case Verb.RERUN:
            if not job.status.ended:
                raise _illegal(Verb.RERUN, job, f"it has not ended, {_state(job)}", _instead(job))
            return replace(again(job), status=JobStatus.WAITING, attempt=job.attempt + 1, mark=mark)
        case Verb.CANCEL:
            if job.status.ended:
                raise _illegal(Verb.CANCEL, job, _state(job))
            if job.status in NOT_BEGUN:
                return _ended(job, JobStatus.CANCELLED, "cancelled", mark)
            return replace(job, mark=mark)
        case Verb.RESTART | Verb.PAUSE | Verb.RESUME | Verb.BACKFILL:
            raise _illegal(mark.verb, job, "that is nothing to do to a job")
        case _:
            assert_never(mark.verb)


def check_failed(job: JobRun) -> None:
    """Check that the job has failed, so that it can be forced.

    Raises:
        IllegalVerb: it has not failed.
    """
    if job.status not in FAILED:
        raise _illegal(Verb.FORCE_OK, job, f"it has not failed, {_state(job)}", _instead(job, "skip"))


def forced(job: JobRun, mark: Mark) -> JobRun:
    """A failed job after an operator has declared it SUCCEEDED."""
    return replace(_ended(job, JobStatus.SUCCEEDED, "forced", mark), exit_code=0)


def cancelled(run: Run, mark: Mark) -> Run:
    """The run after an operator has asked for its end. Its execution then ends its jobs, and after them the run.

    Raises:
        IllegalVerb: the run has ended, or somebody has asked for its end before.
    """
    check_cancelling(run, Verb.CANCEL, _named(run))
    if run.status.ended:
        raise IllegalVerb(Verb.CANCEL, _named(run), f"it has ended {run.status}")
    return replace(run, cancel=mark)


def check_cancelling(run: Run, verb: Verb, subject: str) -> None:
    """Check that the run is neither being cancelled nor still being started.

    Raises:
        IllegalVerb: it is one of the two.
    """
    if run.status.ended:
        return
    if run.cancel is not None:
        advice = "When it is CANCELLED it can be restarted: usched restart"
        raise IllegalVerb(verb, subject, f"the end of the run was asked for {run.cancel}", advice)
    if run.preparing:
        raise IllegalVerb(
            verb, subject, "the run is still being started: its jobs are being written", "Try again in a moment."
        )


def _can_be_withdrawn(run: Run, job: JobRun) -> bool:
    """Whether Batch has the job, or is just being given it, and it has not started."""
    return not run.status.ended and not job.begun and (job.status.live or job.status is JobStatus.SUBMITTING)


def _check_run(run: Run, job: JobRun, verb: Verb) -> None:
    # A finally job runs in a cancelled run, so that it can be acted on there, too.
    check_cancelling(replace(run, cancel=None) if job.job.final else run, verb, f"the job '{job.name}'")
    if run.status.ended and verb not in ALSO_AFTER_THE_END:
        advice = "Run it again with: usched restart, or usched rerun for this job alone"
        raise _illegal(verb, job, f"its run has ended {run.status}", advice)


def _ended(job: JobRun, status: JobStatus, word: str, mark: Mark) -> JobRun:
    """Ended by an operator; what the job's own end was stays in the reason."""
    was = f" (it was {job.status}{': ' + job.reason if job.reason else ''})" if job.status.ended else ""
    stopped = job.stopped_at or mark.at
    reason = f"{word} {mark}{was}"
    return replace(
        job, status=status, not_taken=False, reason=reason, mark=mark, withdraw_asked=False, stopped_at=stopped
    )


def _illegal(verb: Verb, job: JobRun, why: str, advice: str = "") -> IllegalVerb:
    return IllegalVerb(verb, f"the job '{job.name}'", why, advice)


def _state(job: JobRun) -> str:
    if job.status is JobStatus.HELD:
        return f"it is HELD already {job.mark}" if job.mark is not None else "it is HELD already by its schedule"
    if job.status in NOT_BEGUN:
        return f"it is {job.status}"
    return f"it has ended {job.status}" if job.status.ended else f"it is {job.status}: it has started"


def _instead(job: JobRun, verb: str = "") -> str:
    """What can be done to a job in this state."""
    if job.status in NOT_BEGUN:
        return f"{verb.capitalize()} it with: usched {verb}" if verb else ""
    if job.status.ended:
        return "Run it again with: usched rerun"
    return "End it first with: usched cancel"


def _named(run: Run) -> str:
    return f"the run '{run.key.start}' of schedule '{run.key.schedule_id}'"
