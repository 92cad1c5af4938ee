"""Operators' verbs on moto's tables, with the handlers between: what starts, what is paused, what a restart makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.integration.test_handlers import RUN, STREAMS, Context, load, put, started
from universal_scheduler.domain.errors import IllegalVerb, JobNotFound
from universal_scheduler.domain.runs.model import JobStatus, Mark, RunKey, Verb
from universal_scheduler.domain.runs.restart import Variant
from universal_scheduler.usecases import verbs

__all__ = ["load"]
Load = Callable[[str], ModuleType]
NOW = 1_795_240_800.0


def mark(verb: Verb, at: float = NOW) -> Mark:
    return Mark(verb, "ann", at, "source is late")


def document(*names: str, **more: Any) -> dict[str, Any]:
    jobs = [{"jobName": name, "jobDefinition": "shell", "jobQueue": "nowhere"} for name in names]
    return {"scheduleId": "nightly", "jobList": jobs, "trigger": {"manual": True}, **more}


@pytest.fixture
def failed(load: Load) -> RunKey:
    """A run whose two jobs were refused: there is no such queue."""
    put(document("a", "b"))
    payload = load("start_run").handler(RUN, Context())
    payload = load("submit_jobs").handler(payload, Context())
    assert load("record_result").handler(payload, Context())["status"] == "FAILED"
    return RunKey("nightly", payload["startDateTime"])


def test_a_paused_schedule_is_not_started_by_its_row(load: Load) -> None:
    module = load("schedule_stream")
    put(document("a"))
    verbs.pause(module.wiring.store, "nightly", mark(Verb.PAUSE))
    put(document("a"))
    assert module.handler(STREAMS["inserted"], Context()) == {"batchItemFailures": []}
    assert started() == []
    shown = json.loads(load("get_schedule").handler({"pathParameters": {"scheduleId": "nightly"}}, Context())["body"])
    assert (shown["paused"]["by"], shown["paused"]["reason"]) == ("ann", "source is late")
    verbs.resume(module.wiring.store, "nightly", mark(Verb.RESUME, NOW + 1))
    module.handler(STREAMS["inserted"], Context())
    assert started() == ["row-nightly"]
    assert [entry.mark.verb for entry in module.wiring.store.audit("nightly")] == [Verb.PAUSE, Verb.RESUME]


def test_what_is_forced_and_rerun_after_the_end_is_what_the_restart_makes(load: Load, failed: RunKey) -> None:
    module = load("start_run")
    wiring = module.wiring
    with pytest.raises(IllegalVerb, match="its run has just ended"):
        verbs.act_on_job(wiring.store, wiring.workflow, failed, "a", mark(Verb.FORCE_OK))
    with pytest.raises(JobNotFound):
        verbs.act_on_job(wiring.store, wiring.workflow, failed, "aa", mark(Verb.SKIP))
    execution = verbs.restart(
        wiring.store, wiring.workflow, failed, Variant(only=("b",), force_ok=("a",)), mark(Verb.RERUN), {"n": 1}
    )
    with pytest.raises(IllegalVerb, match="somebody was faster"):
        verbs.restart(wiring.store, wiring.workflow, failed, Variant(), mark(Verb.RESTART), {"n": 2})
    given = {
        "scheduleId": "nightly",
        "startDateTime": failed.start,
        "scheduleStatus": "RESTART",
        "ofGeneration": 1,
        "only": ["b"],
        "forceOk": ["a"],
        "cause": {"kind": "cli", "by": "ann", "reason": "mended"},
    }
    restart = {**RUN, "input": given, "executionArn": execution.arn, "executionName": execution.name}
    for _ in range(2):  # the state is tried again
        assert module.handler(restart, Context())["generation"] == 2
    jobs = {job.name: job for job in wiring.store.list_jobs(failed.run_id)}
    assert (jobs["a"].status, jobs["b"].status, jobs["b"].attempt) == (JobStatus.SUCCEEDED, JobStatus.WAITING, 2)
    run = wiring.store.get_run(failed)
    assert (run.preparing, run.verb_count) == (False, 1)
    trail = wiring.store.audit(failed.run_id)
    assert [(each.mark.verb, each.job, each.mark.by, each.given) for each in trail] == [
        (Verb.RERUN, "b", "ann", {"forceOk": ["a"]})
    ]
    late = {**restart, "executionArn": f"{execution.arn}-late", "executionName": "late"}
    with pytest.raises(IllegalVerb, match="restarted by somebody else"):
        module.start_run(wiring.store, given, module.Execution("arn:late", "late"), late["startTime"], lambda _: False)


def test_the_newest_definition_takes_the_place_of_the_runs(load: Load, failed: RunKey) -> None:
    put(document("b", "c", wait_time=7, parameters={"day": "monday"}))
    module = load("start_run")
    given = {
        "scheduleId": "nightly",
        "startDateTime": failed.start,
        "scheduleStatus": "RESTART",
        "definition": "newest",
        "parameters": {"day": "tuesday"},
    }
    payload = module.handler({**RUN, "input": given, "executionArn": f"{RUN['executionArn']}2"}, Context())
    store = module.wiring.store
    assert payload["waitSeconds"] == 7
    assert [job.name for job in store.list_jobs(failed.run_id)] == ["b", "c"]
    run = store.get_run(failed)
    assert (run.parameters, run.wait_seconds) == ({"day": "tuesday"}, 7)


def test_a_run_that_is_cancelled_is_ended_by_its_own_states(load: Load) -> None:
    put({**document("a"), "jobList": [{**document("a")["jobList"][0], "hold": True}]})
    payload = load("start_run").handler(RUN, Context())
    module = load("submit_jobs")
    payload = module.handler(payload, Context())
    assert payload["next"] == "WAIT"
    key = RunKey("nightly", payload["startDateTime"])
    verbs.cancel_run(module.wiring.store, module.wiring.workflow, key, mark(Verb.CANCEL))
    payload = module.handler(payload, Context())
    assert payload["next"] == "RECORD"
    assert load("record_result").handler(payload, Context())["status"] == "CANCELLED"
    view = json.loads(load("get_execution").handler({"pathParameters": {"name": "one"}}, Context())["body"])
    assert (view["status"], view["reason"]) == ("CANCELLED", "cancelled by ann: source is late")
    assert view["jobs"][0]["reason"] == view["reason"]
