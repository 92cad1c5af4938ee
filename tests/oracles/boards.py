"""Random runs that change at random; the oracle of a board is the planner itself."""

from __future__ import annotations

import random
from dataclasses import replace

from universal_scheduler.domain.runs.board import Board
from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, JobStatus, Mark, RunWhen, Verb
from universal_scheduler.domain.runs.planner import plan

STEPS_OF_A_RUN = 40


def dependency(chance: random.Random, name: str) -> Dependency:
    match chance.randrange(8):
        case 0:
            return Dependency(name, status=chance.choice([JobStatus.FAILED, JobStatus.SUCCEEDED]))
        case 1:
            return Dependency(name, exit_codes=(0, 3))
        case 2:
            return Dependency(name, output=(("n", "1"),))
        case _:
            return Dependency(name)


def job(chance: random.Random, number: int, upstream: list[str], *, final: bool) -> Job:
    dependencies = tuple(dependency(chance, name) for name in upstream)
    reads = [each.job for each in dependencies if each.output or chance.random() < 0.1]
    return Job(
        f"j{number}",
        "q",
        "d",
        dependencies,
        run_when=RunWhen.ALL_SUCCESS if final else chance.choice([*RunWhen, RunWhen.ALL_SUCCESS, RunWhen.ALL_SUCCESS]),
        optional=chance.random() < 0.2,
        hold=chance.random() < 0.1,
        not_before=chance.choice([0.0, 0.0, 0.0, 500.0]),
        for_each_s3="s3://b/k" if chance.random() < 0.05 else "",
        outputs_of=tuple(dict.fromkeys(reads)),
        final=final,
    )


def changed(chance: random.Random, before: JobRun, jobs: dict[str, JobRun], now: float) -> JobRun:
    """The job in any state that it can be in, whether one leads to the other or not."""
    status = chance.choice(list(JobStatus))
    mark = Mark(chance.choice([Verb.HOLD, Verb.RELEASE, Verb.SKIP, Verb.FORCE_OK, Verb.CANCEL]), "ann", now)
    behind = {name: jobs[name].attempt - chance.randrange(2) for name in before.job.depends_on if chance.random() < 0.4}
    output = chance.choice([None, None, {"n": 1}, {"n": 2}]) if status is JobStatus.SUCCEEDED else None
    return replace(
        before,
        status=status,
        attempt=before.attempt + chance.randrange(2),
        job_id=chance.choice(["", "id"]),
        intent_at=now - chance.randrange(100) if status is JobStatus.SUBMITTING else chance.choice([0.0, 1.0]),
        submitted_at=now if status.live else 0.0,
        started_at=chance.choice([0.0, now]),
        exit_code=chance.choice([None, 0, 1, 3]),
        not_taken=status is JobStatus.SKIPPED and chance.random() < 0.5,
        mark=mark if chance.random() < 0.15 else None,
        move_to="other" if chance.random() < 0.05 else "",
        behind=behind if status.live or status is JobStatus.FAILED else {},
        output=output,
        output_problem="none" if status is JobStatus.SUCCEEDED and output is None and chance.random() < 0.2 else "",
    )


def check_boards(seed: int, steps: int) -> None:
    """Change the jobs of random runs at random, for so many steps: a board plans what the planner plans."""
    chance = random.Random(seed)
    for _ in range(max(1, steps // STEPS_OF_A_RUN)):
        count = chance.choice([1, 3, 8, 20])
        final = chance.random() < 0.1
        specs: list[Job] = []
        for number in range(count):
            last = final and number >= count - 2
            others = [spec.name for spec in specs if not last or spec.final]
            specs.append(job(chance, number, chance.sample(others, min(len(others), chance.randrange(4))), final=last))
        chance.shuffle(specs)
        jobs = {spec.name: JobRun(spec, position) for position, spec in enumerate(specs)}
        board, now = Board(jobs.values()), 100.0
        limit = chance.choice([None, None, None, 2])
        for _ in range(STEPS_OF_A_RUN):
            cancel = Mark(Verb.CANCEL, "ann", now) if chance.random() < 0.02 else None
            planned, whole = board.plan(now, limit, cancel), plan(list(jobs.values()), now, limit, cancel)
            assert planned.work == whole.work
            assert planned.outcome == whole.outcome
            assert planned.due == whole.due
            if not whole.work:
                assert planned.ends_needed == whole.ends_needed
            for name in chance.sample(list(jobs), min(count, chance.choice([0, 1, 1, 2, 5]))):
                jobs[name] = changed(chance, jobs[name], jobs, now)
                board.update([jobs[name]])
            now += chance.choice([0, 1, 30, 200])
