"""Random schedules of any shape, with failures, skips and holds, under faults: all end as the oracle says."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from tests.fault.test_faults import KINDS, SEEDS
from tests.fault.world import Faults, World
from tests.oracles.rules import Case, oracle
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import IllegalVerb
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Mark, RunWhen, Verb
from universal_scheduler.usecases.verbs import act_on_job

LARGEST = 60
"""Jobs of a schedule."""


def dependency(name: str, chance: random.Random) -> str | dict[str, Any]:
    return chance.choice([name, name, name, {"job": name, "status": "FAILED"}, {"job": name, "exitCode": [0, 3]}])


def schedule(chance: random.Random) -> dict[str, Any]:
    """Every second one has nothing but successes to wait for: whole chains of it are handed down to Batch."""
    jobs, plain = [], chance.random() < 0.5
    for index in range(chance.randint(2, LARGEST)):
        upstream = chance.sample(range(index), min(index, chance.choice([0, 1, 1, 2, 3, 5])))
        job: dict[str, Any] = {
            "jobName": f"j{index}",
            "jobDefinition": "d",
            "jobQueue": "q",
            "jobDependencies": [f"j{i}" if plain else dependency(f"j{i}", chance) for i in upstream],
            "runWhen": str(RunWhen.ALL_SUCCESS if plain else chance.choice([RunWhen.ALL_SUCCESS, *RunWhen])),
            "optional": chance.random() < 0.2,
        }
        job |= chance.choice([{}] * 8 + [{"hold": True}, {"jobStatus": "PASS"}])
        jobs.append(job)
    for index in range(len(jobs), len(jobs) + chance.choice([0, 0, 1, 2])):
        after = [jobs[-1]["jobName"]] if jobs[-1].get("finally") else []
        final = {"jobName": f"j{index}", "jobDefinition": "d", "jobQueue": "q", "jobDependencies": after}
        jobs.append(final | {"finally": True, "optional": chance.random() < 0.3})
    chance.shuffle(jobs)
    limit = None if plain else chance.choice([None, None, 1, 4])
    return {"scheduleId": "random", "jobList": jobs, "wait_time": 20} | ({"maxConcurrentJobs": limit} if limit else {})


class Operated(World):
    """A world with an operator who releases what is held some time or other, and holds and skips what has not begun.

    He does so between any two calls to a port, and while time passes.
    """

    asked: Counter[str]
    """How often he did what, and how often he came too late."""
    patience = 0
    """How often he still holds or skips something."""

    def operate(self) -> None:
        run = self.store.get_run(self._key)
        if run is None or run.status.ended:
            return
        for job in self.store.list_jobs(self._key.run_id):
            if job.status is JobStatus.HELD and self._chance.random() < 0.1:
                self._act(Verb.RELEASE, job)
            elif self.patience and not job.status.ended and not job.begun and self._chance.random() < 0.02:
                self.patience -= 1
                self._act(self._chance.choice([Verb.HOLD, Verb.HOLD, Verb.SKIP]), job)

    def _act(self, verb: Verb, job: JobRun) -> None:
        with suppress(IllegalVerb):
            act_on_job(self.store, self.workflow, self._key, job.name, Mark(verb, "ann", self.now))
            self.asked[f"{verb} {'handed down' if job.behind else job.status}"] += 1

    def _pass(self, seconds: float) -> None:
        super()._pass(seconds)
        self.operate()

    @property
    def skipped(self) -> set[str]:
        jobs = self.store.list_jobs(self._key.run_id)
        return {job.name for job in jobs if job.mark is not None and job.mark.verb is Verb.SKIP}

    def check_starts(self) -> None:
        """No job started twice, and none that was skipped started at all; a verb that came too late says so."""
        started = Counter(entry.job.name for entry in self.platform.jobs.values() if entry.seen.started_at)
        assert not [name for name, count in started.items() if count > 1], "a job started twice"
        assert not self.skipped & set(started), "a job started that was skipped"
        assert not [job for job in self.store.list_jobs(self._key.run_id) if job.withdraw_asked], "a verb is forgotten"
        late = [entry for entry in self.store.audit(self._key.run_id) if "too late" in entry.mark.reason]
        self.asked["too late"] += len(late)


def decide(world: Operated, chance: random.Random, _: int) -> str:
    """What goes wrong at a call to a port; before it somebody may act."""
    if chance.random() < 0.1:
        world.operate()
    return chance.choice(KINDS) if chance.random() < 0.1 else ""


def test_random_schedules_with_failures_skips_and_holds_under_faults() -> None:
    injected: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for seed in range(SEEDS):
        chance = random.Random(seed)
        document = schedule(chance)
        jobs = list(parse(document).jobs)
        code = chance.choice([[0, 0, 0, 1, 3], [0] * 40 + [1]])
        codes = {job.name: chance.choice(code) for job in jobs}

        world = Operated(document, codes, Faults(lambda _: ""), seed, max_turns=50, chaos=chance.choice([0.0, 0.2]))
        world.asked, world.patience = Counter(), chance.choice([0, 5, 20])
        world.faults.decide = partial(decide, world, chance)
        run = world.run()
        as_skipped = [replace(job, recorded_status="PASS") if job.name in world.skipped else job for job in jobs]
        expected = {
            name: str(status)
            for name, status in oracle(Case(as_skipped, codes, dict.fromkeys(codes, ""), seed, None)).items()
        }
        world.check(run, expected, optional={job.name for job in jobs if job.optional})
        world.check_starts()
        injected += world.faults.injected
        ends += Counter(expected.values())
        asked += world.asked
    print(f"{injected.total():,} faults injected into runs of {SEEDS} random schedules; jobs: {dict(ends)}")
    print(f"asked by operators: {dict(sorted(asked.items()))}")
    assert injected.total() > SEEDS
    assert min(ends[each] for each in ("SUCCEEDED", "FAILED", "SKIPPED", "UPSTREAM_FAILED")) > SEEDS / 4
    wanted = "hold handed down", "skip handed down", "hold SUBMITTED", "hold SUBMITTING", "too late"
    assert min(asked[each] for each in wanted) > SEEDS / 20
