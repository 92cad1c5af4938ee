"""Random schedules of any shape, with failures, skips and holds, under faults: all end as the oracle says."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from tests.fault.test_faults import KINDS, SEEDS
from tests.fault.world import Faults, World
from tests.unit.test_rules import Case, oracle
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.model import JobStatus, Mark, RunWhen, Verb
from universal_scheduler.usecases.verbs import act_on_job

LARGEST = 60
"""Jobs of a schedule."""


def dependency(name: str, chance: random.Random) -> str | dict[str, Any]:
    return chance.choice([name, name, name, {"job": name, "status": "FAILED"}, {"job": name, "exitCode": [0, 3]}])


def schedule(chance: random.Random) -> dict[str, Any]:
    jobs = []
    for index in range(chance.randint(2, LARGEST)):
        upstream = chance.sample(range(index), min(index, chance.choice([0, 1, 1, 2, 3, 5])))
        job: dict[str, Any] = {
            "jobName": f"j{index}",
            "jobDefinition": "d",
            "jobQueue": "q",
            "jobDependencies": [dependency(f"j{i}", chance) for i in upstream],
            "runWhen": str(chance.choice([RunWhen.ALL_SUCCESS, *RunWhen])),
            "optional": chance.random() < 0.2,
        }
        job |= chance.choice([{}] * 8 + [{"hold": True}, {"jobStatus": "PASS"}])
        jobs.append(job)
    chance.shuffle(jobs)
    limit = chance.choice([None, None, 1, 4])
    return {"scheduleId": "random", "jobList": jobs, "wait_time": 20} | ({"maxConcurrentJobs": limit} if limit else {})


class Operated(World):
    """A world with an operator who releases what is held, some time or other."""

    def _pass(self, seconds: float) -> None:
        super()._pass(seconds)
        for job in self.store.list_jobs(self._key.run_id):
            if job.status is JobStatus.HELD and self._chance.random() < 0.1:
                mark = Mark(Verb.RELEASE, "ann", self.now)
                act_on_job(self.store, self.workflow, self._key, job.name, mark)


def test_random_schedules_with_failures_skips_and_holds_under_faults() -> None:
    injected: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for seed in range(SEEDS):
        chance = random.Random(seed)
        document = schedule(chance)
        jobs = list(parse(document).jobs)
        codes = {job.name: chance.choice([0, 0, 0, 1, 3]) for job in jobs}
        expected = {
            name: str(status)
            for name, status in oracle(Case(jobs, codes, dict.fromkeys(codes, ""), seed, None)).items()
        }
        faults = Faults(lambda _, c=chance: c.choice(KINDS) if c.random() < 0.1 else "")  # type: ignore[misc]
        world = Operated(document, codes, faults, seed, max_turns=50, chaos=chance.choice([0.0, 0.2]))
        world.check(world.run(), expected, optional={job.name for job in jobs if job.optional})
        injected += faults.injected
        ends += Counter(expected.values())
    print(f"{injected.total():,} faults injected into runs of {SEEDS} random schedules; jobs: {dict(ends)}")
    assert injected.total() > SEEDS
    assert min(ends[each] for each in ("SUCCEEDED", "FAILED", "SKIPPED", "UPSTREAM_FAILED")) > SEEDS / 4
