"""Finds what is wrong with a run, or may soon be: missed deadlines, and jobs that wait too long or take unusually long
or short. It is pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, tzinfo
from statistics import median
from typing import Any

from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.messages.notifications import Kind
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Run, RunKey
from universal_scheduler.domain.time.zones import next_time_of_day, time_zone

LOOK_SECONDS = 300.0
"""How often a run is looked at if nothing is due earlier. A lost execution is found within this time."""
LOST_AFTER_SECONDS = 120.0
"""How long an execution may be over without a recorded end of its run. The next execution may just take the run
over."""
RESUMED_AT_MOST = 3
"""How often a run goes on after its execution was lost: what ends its executions may do so again and again."""
NOTIFIED_OF_A_KIND = 10
"""For how many jobs of a run people get a message of the same kind: a full queue can hold up thousands of jobs."""
JOBS_NAMED, UPSTREAM_NAMED = 5, 3
"""How many open jobs a message about a late run names, and how many upstream jobs of each."""
SAMPLES_KEPT = 20
SAMPLES_NEEDED = 5
SPREADS = 5.0
"""A duration is unusual if it is more than so many spreads away from the median."""
LEAST_SPREAD_SECONDS, LEAST_SPREAD_PART = 10.0, 0.1
MAD_TO_DEVIATION = 1.4826
"""The factor from the median absolute deviation to the standard deviation of a normal distribution."""
QUEUED = frozenset({JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNABLE})


@dataclass(frozen=True, slots=True)
class Breach:
    """One problem of a run. People get one message about it."""

    kind: Kind
    detail: str
    job_name: str = ""
    occurrence: int = 1
    what: str = ""
    """Which deadline it is, because a run may have several."""

    @property
    def name(self) -> str:
        """Distinguishes the breach from every other one of its run."""
        return f"{self.kind}#{self.occurrence}#{self.job_name or self.what}"


@dataclass(frozen=True, slots=True)
class Seen:
    """One run at one moment, as a watchdog looks at it."""

    run: Run
    jobs: Sequence[JobRun]
    """All jobs of the run."""
    samples: Mapping[str, Sequence[float]]
    """By job name: how long the last successful runs of the job took, in seconds, oldest first."""
    now: float
    """Epoch seconds."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a watchdog has found in a run."""

    breaches: Sequence[Breach]
    due: Sequence[float] = ()
    """When the watchdog may find more, in epoch seconds: the run is looked at again then."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual duration of a job, in seconds."""

    median: float
    spread: float

    @property
    def longest(self) -> float:
        """A longer duration is unusual."""
        return self.median + SPREADS * self.spread

    @property
    def shortest(self) -> float:
        """A shorter duration is unusual."""
        return self.median - SPREADS * self.spread


def deadline(start: float, by: str, zone: str) -> float:
    """The time of a deadline for a run that began at `start`, both in epoch seconds.

    `by` is a time of day, `HH:MM`, in the time zone `zone`, of which the next one after `start` counts; or a duration
    after `start`.

    Raises:
        ValueError: `by` is neither, or there is no such zone.
    """
    if by.startswith("P"):
        return start + duration_seconds(by)
    return next_time_of_day(start, time.fromisoformat(by), time_zone(zone))


def began(key: RunKey) -> float:
    """Epoch seconds of a run's start."""
    return _epoch(key.start)


def queue_seconds(jobs: Sequence[JobRun]) -> list[float]:
    """How many seconds each job that has started had waited in its queue."""
    known = {job.name: job for job in jobs}
    since = {job.name: _free_since(job, known) for job in jobs if job.started_at and job.submitted_at}
    return [round(max(0.0, job.started_at - since[job.name]), 3) for job in jobs if job.name in since]


def late(seen: Seen) -> Found:
    """The deadlines that the run has missed, and the times of the others."""
    run, jobs, now = seen.run, seen.jobs, seen.now
    document, start = run.document, began(run.key)
    zone = str(document.get("timezone", "UTC"))
    ended = _epoch(run.ended_at) if run.status.ended and run.ended_at else None
    started = min((job.started_at for job in jobs if job.started_at), default=ended)
    missed, coming = [], []
    for key, done, what in (
        ("mustStartBy", started, "no job had started"),
        ("mustEndBy", ended, "it had not ended"),
        ("maxDuration", ended, "it had not ended"),
    ):
        if key not in document:
            continue
        wanted = document[key]
        due = start + duration_seconds(wanted) if key == "maxDuration" else deadline(start, wanted, zone)
        if (now if done is None else done) > due:
            clock = time_zone(zone)
            local = datetime.fromtimestamp(due, clock).strftime("%Y-%m-%d %H:%M")
            detail = f"{what} by {local} {zone} ({key} {wanted}); {_progress(jobs, now, clock)}"
            missed.append(Breach(Kind.RUN_LATE, detail, what=key))
        elif done is None:
            coming.append(due)
    return Found(missed, coming)


def queued_since(job: JobRun, known: Mapping[str, JobRun]) -> float | None:
    """Since when only its queue keeps a job from running (epoch seconds); None if that is not so."""
    if job.status not in QUEUED or not job.submitted_at:
        return None
    if not all(known[name].status.ended for name in job.job.depends_on if name in known):
        return None
    return _free_since(job, known)


def _free_since(job: JobRun, known: Mapping[str, JobRun]) -> float:
    return max([job.submitted_at, *(known[name].stopped_at for name in job.job.depends_on if name in known)])


def queue_limit(run: Run, job: JobRun, default: float) -> float:
    """How many seconds a job may wait in its queue: what the job says, else its schedule, else the stage."""
    if job.job.max_queue_seconds is not None:
        return job.job.max_queue_seconds
    return duration_seconds(run.document["maxQueueTime"]) if "maxQueueTime" in run.document else default


def stuck(job: JobRun, since: float, reason: str, move_to: str) -> Breach:
    """The breach of a job that has waited too long in its queue."""
    why = f": {reason}" if reason else "; Batch gives no reason"
    moved = f"; the scheduler moves it to queue {move_to}" if move_to else ""
    detail = f"waits in queue {job.job.queue} since {iso(since)[:16]} UTC{why}{moved}"
    return Breach(Kind.JOB_STUCK, detail, job.name, job.attempt)


def lost(run: Run) -> Breach:
    """The breach of a run whose execution is over although nobody has recorded the end of the run."""
    return Breach(
        Kind.RUN_LOST,
        "its execution has stopped without a result, so its jobs are being ended",
        occurrence=run.generation,
        what="run",
    )


def resumed(run: Run) -> Breach:
    """The breach of a run whose execution was lost, and which goes on in another."""
    detail = "its execution has stopped without a result, so it goes on in a new one, with the jobs that it has"
    return Breach(Kind.RUN_RESUMED, detail, occurrence=run.generation, what="run")


def is_resumed(run: Run, notified: AbstractSet[str]) -> bool:
    """Whether a run goes on if its execution is lost. Otherwise its jobs are ended, and it has FAILED."""
    if run.cancel or not resumes(run.document):
        return False
    before = [name for name in notified if name.startswith(f"{Kind.RUN_RESUMED}#")]
    return resumed(run).name in before or len(before) < RESUMED_AT_MOST


def resumes(document: Mapping[str, Any]) -> bool:
    """Whether the schedule says so: `onLost` is resume unless given."""
    return bool(document.get("onLost", "resume") == "resume")


def to_notify(breaches: Sequence[Breach], notified: AbstractSet[str]) -> list[Breach]:
    """The breaches that people get a message about now: the new ones, but not too many of a kind. The last one
    says so."""
    new = [breach for breach in breaches if breach.name not in notified]
    chosen: list[Breach] = []
    for kind in dict.fromkeys(breach.kind for breach in new):
        mine = [breach for breach in new if breach.kind is kind]
        room = NOTIFIED_OF_A_KIND - sum(name.startswith(f"{kind}#") for name in notified)
        if 0 < room <= len(mine):
            more = f"; {len(mine) - room} more jobs of this run have the same problem" if len(mine) > room else ""
            mine[room - 1] = replace(
                mine[room - 1],
                detail=f"{mine[room - 1].detail}{more}; no more messages of this kind follow for this run",
            )
        chosen += mine[: max(room, 0)]
    return chosen


def usual(samples: Sequence[float]) -> Usual | None:
    """The usual duration of a job by these samples (seconds); None if there are too few.

    It uses the median and the median absolute deviation, which single outliers do not move. The spread is at least 10 s
    and at least a tenth of the median, so that a job that always takes the same time may still vary a little.
    """
    if len(samples) < SAMPLES_NEEDED:
        return None
    middle = median(samples)
    deviation = MAD_TO_DEVIATION * median(abs(sample - middle) for sample in samples)
    return Usual(middle, max(deviation, LEAST_SPREAD_PART * middle, LEAST_SPREAD_SECONDS))


def unusual(seen: Seen) -> Found:
    """The jobs that take, or took, far longer or shorter than usual; and when other jobs will have taken too long."""
    found, coming = [], []
    for job in seen.jobs:
        rule = usual(seen.samples.get(job.name, ())) if job.started_at else None
        if rule is None:
            continue
        if job.status is JobStatus.RUNNING or (job.status.ended and job.stopped_at):
            took = (job.stopped_at if job.status.ended else seen.now) - job.started_at
            words = f"{_minutes(took)}, where {_minutes(rule.median)} is usual"
            if took > rule.longest:
                verb = "took" if job.status.ended else "has been running for"
                found.append(Breach(Kind.JOB_SLOW, f"{verb} {words}", job.name, job.attempt))
            elif job.status is JobStatus.SUCCEEDED and took < rule.shortest:
                found.append(Breach(Kind.JOB_SHORT, f"took {words}", job.name, job.attempt))
            elif not job.status.ended:
                coming.append(job.started_at + rule.longest)
    return Found(found, coming)


WATCHDOGS: tuple[Callable[[Seen], Found], ...] = (late, unusual)
"""Every watchdog that needs nothing but the run, its jobs and their usual durations. A sweep calls each for each run.

Two more ask AWS and are in `usecases.sweep`: whether Batch still has a job in its queue, and whether the execution of a
run is still there."""


def learned(samples: Mapping[str, Sequence[float]], jobs: Sequence[JobRun]) -> dict[str, list[float]]:
    """The newest durations of each job, with those of a run that has SUCCEEDED. A job that is not in the run is
    forgotten."""
    return {job.name: [*samples.get(job.name, ()), *_took(job)][-SAMPLES_KEPT:] for job in jobs}


def _took(job: JobRun) -> Iterator[float]:
    if job.status is JobStatus.SUCCEEDED and job.started_at and job.stopped_at >= job.started_at:
        yield round(job.stopped_at - job.started_at, 1)


def _progress(jobs: Sequence[JobRun], now: float, zone: tzinfo) -> str:
    """How many jobs have ended, and which have not: those that run first, longest first; times are the zone's."""
    known = {job.name: job for job in jobs}
    left = [job for job in jobs if not job.status.ended]
    progress = f"{len(jobs) - len(left)} of {len(jobs)} jobs have ended"
    if not left:
        return progress
    left.sort(key=lambda job: (-job.status.rank, job.started_at or job.submitted_at))
    more = f"; {len(left) - JOBS_NAMED} more" if len(left) > JOBS_NAMED else ""
    return f"{progress}; not ended: {'; '.join(_at_work(job, known, now, zone) for job in left[:JOBS_NAMED])}{more}"


def _at_work(job: JobRun, known: Mapping[str, JobRun], now: float, zone: tzinfo) -> str:
    """What a job that has not ended is at: `load RUNNING since 06:31`, `report waits for load`."""
    upstream = [name for name in job.job.depends_on if name in known and not known[name].status.ended]
    if upstream and not job.started_at and job.status is not JobStatus.HELD:
        more = f" and {len(upstream) - UPSTREAM_NAMED} more" if len(upstream) > UPSTREAM_NAMED else ""
        return f"{job.name} waits for {', '.join(upstream[:UPSTREAM_NAMED])}{more}"
    held = job.mark.at if job.status is JobStatus.HELD and job.mark is not None else 0.0
    since = held or job.started_at or (job.submitted_at if job.status.live else 0.0)
    return f"{job.name} {job.status}" + (f" since {_local(since, now, zone)}" if since else "")


def _local(moment: float, now: float, zone: tzinfo) -> str:
    """The time of day, with its date where that is another one than now's."""
    local = datetime.fromtimestamp(moment, zone)
    same_day = local.date() == datetime.fromtimestamp(now, zone).date()
    return local.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M")


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _epoch(moment: Any) -> float:
    return datetime.fromisoformat(str(moment)).replace(tzinfo=UTC).timestamp()
