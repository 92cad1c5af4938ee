"""Decides when a job may run: by its `runWhen` rule and by how its upstream jobs have ended. It is pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from universal_scheduler.domain.runs.model import Dependency, JobRun, JobStatus, RunWhen
from universal_scheduler.domain.runs.references import as_text

NEEDS_ALL = frozenset({RunWhen.ALL_SUCCESS, RunWhen.ALL_DONE, RunWhen.NONE_FAILED})
"""Rules under which a job cannot run before its last upstream job has ended."""


class Edge(StrEnum):
    """The state of one dependency, for the job that has it."""

    OPEN = "OPEN"
    MET = "MET"
    FAILED = "FAILED"
    NOT_TAKEN = "NOT_TAKEN"
    """The upstream job has ended, but not as the dependency's condition asks; or its own rule kept it from running."""


class Verdict(StrEnum):
    """What a rule says of a job."""

    READY = "READY"
    NOT_YET = "NOT_YET"
    NEVER = "NEVER"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer of a rule. If the verdict is NEVER, `status` is the end of the job."""

    verdict: Verdict
    status: JobStatus = JobStatus.SKIPPED


READY = Judgement(Verdict.READY)
NOT_YET = Judgement(Verdict.NOT_YET)
SKIPPED = Judgement(Verdict.NEVER, JobStatus.SKIPPED)
UPSTREAM_FAILED = Judgement(Verdict.NEVER, JobStatus.UPSTREAM_FAILED)


def edge(dependency: Dependency, upstream: JobRun) -> Edge:
    """The state of a dependency, from the state of its upstream job.

    A condition on status, exit code or output makes the dependency a branch: it is MET or NOT_TAKEN. A condition on an
    output is OPEN until the output was read; if the upstream job SUCCEEDED and its output cannot be read, it is FAILED.
    Without a condition, the dependency is MET by an upstream job that SUCCEEDED or that an operator skipped. It is
    NOT_TAKEN if the rule of the upstream job kept that job from running.
    """
    if not upstream.status.ended or upstream.withdraw_asked:  # it may have been ended only to be taken back
        return Edge.OPEN
    if dependency.status is not None:
        return Edge.MET if upstream.status is dependency.status else Edge.NOT_TAKEN
    if dependency.exit_codes:
        return Edge.MET if upstream.exit_code in dependency.exit_codes else Edge.NOT_TAKEN
    if dependency.output:
        return _output_edge(dependency, upstream)
    if upstream.not_taken:
        return Edge.NOT_TAKEN
    return Edge.MET if upstream.status.satisfies else Edge.FAILED


def _output_edge(dependency: Dependency, upstream: JobRun) -> Edge:
    if upstream.status is not JobStatus.SUCCEEDED:
        return Edge.NOT_TAKEN
    if upstream.output_problem:
        return Edge.FAILED
    if upstream.output is None:
        return Edge.OPEN
    found = {name: as_text(value) for name, value in upstream.output.items()}
    return Edge.MET if all(found.get(name) == value for name, value in dependency.output) else Edge.NOT_TAKEN


def judge(rule: RunWhen, edges: Sequence[Edge]) -> Judgement:
    """Decide whether a job runs, waits, or never runs.

    The answer comes as early as the edges allow, and does not depend on their order. A job without upstream jobs is
    READY under every rule. A job that can never run ends as UPSTREAM_FAILED if a failure keeps it from running, and as
    SKIPPED if a branch was not taken.
    """
    if not edges:
        return READY
    done = Edge.OPEN not in edges
    failed, met, not_taken = (state in edges for state in (Edge.FAILED, Edge.MET, Edge.NOT_TAKEN))
    match rule:
        case RunWhen.ALWAYS:
            return READY
        case RunWhen.ALL_DONE:
            return READY if done else NOT_YET
        case RunWhen.ALL_SUCCESS:
            if failed:
                return UPSTREAM_FAILED
            if not done:
                return NOT_YET
            return SKIPPED if not_taken else READY
        case RunWhen.NONE_FAILED:
            if failed:
                return UPSTREAM_FAILED
            return READY if done else NOT_YET
        case RunWhen.ALL_FAILED:
            if met or not_taken:
                return SKIPPED
            return READY if done else NOT_YET
        case RunWhen.ONE_SUCCESS:
            if met:
                return READY
            if not done:
                return NOT_YET
            return UPSTREAM_FAILED if failed else SKIPPED
        case RunWhen.ONE_FAILED:
            if failed:
                return READY
            return SKIPPED if done else NOT_YET
        case _:
            assert_never(rule)
