"""What the metrics tell of the engine's services: requests, messages in queues, executions and jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from universal_scheduler.local.batch import Batch
from universal_scheduler.local.service.metrics import Family, by_labels


def requests(calls: Mapping[str, int]) -> Iterator[Family]:
    """`calls` is the count by target or path: DynamoDB_20120810.Query, /v1/submitjob."""
    counts: Counter[tuple[str, ...]] = Counter()
    for operation, count in calls.items():
        service, _, name = operation.rpartition(".")
        counts[service.partition("_")[0] or "Batch", name.removeprefix("/v1/")] += count
    yield by_labels(
        "usched_requests_total", "Requests to the engine's services.", "counter", ("service", "operation"), counts
    )


def queues() -> Iterator[Family]:
    """Of SQS."""
    from ministack.services import sqs

    counts: dict[tuple[str, ...], float] = {
        (queue["name"],): len(queue["messages"]) for queue in list(sqs._queues.all_values())
    }
    about = "Messages in a queue of SQS, those in somebody's hands too. One that ends in -dead-letters should be empty."
    yield by_labels("usched_queue_messages", about, "gauge", ("queue",), counts)


def executions() -> Iterator[Family]:
    """Of Step Functions."""
    from ministack.services import stepfunctions

    machines = (arn.split(":")[-2] for arn, _ in stepfunctions._executions.items())
    counts: Counter[tuple[str, ...]] = Counter((machine,) for machine in machines)
    about = "Executions of Step Functions that go on. Each run of a schedule is one of the machine schedule_runner."
    yield by_labels("usched_executions", about, "gauge", ("machine",), counts)


class Jobs:
    """Of the local Batch. `count` is given each change of a job."""

    def __init__(self) -> None:
        self._ends: Counter[tuple[str, ...]] = Counter()

    def count(self, status: str) -> None:
        if status in ("SUCCEEDED", "FAILED"):
            self._ends[(status,)] += 1

    def families(self, batch: Batch) -> Iterator[Family]:
        names = ("queue", "status")
        yield by_labels("usched_jobs", "Jobs of Batch that have not ended.", "gauge", names, batch.unfinished())
        about = "Jobs of Batch, and children of arrays, that have ended since the engine started."
        yield by_labels("usched_ended_jobs_total", about, "counter", ("status",), self._ends)
