"""The embedded engine's queues: a batch is taken without a walk through the queue; what comes too often is given up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import lambda_svc, sqs

from universal_scheduler.local.gaps import queue_mappings

QUEUE = "http://127.0.0.1:4566/123456789012/any"
CHANGED = {
    sqs: ("_receive_messages_for_esm", "_delete_messages_for_esm"),
    lambda_svc: ("_run_sqs_batch", "_ESM_IDLE_WAKE_GAP_SECONDS", "_sqs_esm_concurrency"),
}


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """ministack as it is, put back afterwards."""
    for module, names in CHANGED.items():
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))


@pytest.fixture(params=["closed", pytest.param("stock", marks=pytest.mark.xfail(reason="a gap of ministack"))])
def either(request: pytest.FixtureRequest, stock: None) -> None:
    del stock
    if request.param == "closed":
        queue_mappings.apply()


@pytest.fixture
def queue() -> Iterator[dict[str, Any]]:
    sqs._act_create_queue({"QueueName": "any", "Attributes": {"VisibilityTimeout": "30"}}, "")
    url = sqs._queue_url("any")
    yield sqs._queues[url]
    sqs._act_delete_queue({"QueueUrl": url}, url)


def send(*bodies: str) -> None:
    for body in bodies:
        sqs._act_send_message({"QueueUrl": sqs._queue_url("any"), "MessageBody": body}, "")


@pytest.mark.usefixtures("either")
def test_a_batch_is_taken_without_a_look_at_what_is_behind_it(queue: dict[str, Any]) -> None:
    class Unseen(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise AssertionError(f"looked at for its {key}")

    send(*"abc")
    queue["messages"].append(Unseen(queue["messages"][0]))
    taken = sqs._receive_messages_for_esm(sqs._queue_url("any"), 3)
    assert [message["body"] for message in taken] == ["a", "b", "c"]
    sqs._delete_messages_for_esm(sqs._queue_url("any"), {message["receipt_handle"] for message in taken})
    assert len(queue["messages"]) == 1


@pytest.mark.usefixtures("stock")
def test_messages_come_back_are_given_up_and_are_forgotten(queue: dict[str, Any]) -> None:
    queue_mappings.apply()
    url = sqs._queue_url("any")
    sqs._act_create_queue({"QueueName": "dead"}, "")
    dead = sqs._queues[sqs._queue_url("dead")]
    try:
        arn = dead["attributes"]["QueueArn"]
        queue["attributes"]["RedrivePolicy"] = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 2}}'
        send("a", "b", "old")
        queue["messages"][2]["sent_at"] = time.time() - 345_601
        assert [message["body"] for message in sqs._receive_messages_for_esm(url, 1)] == ["a"]
        queue["messages"][0]["visible_at"] = 0.0
        second = sqs._receive_messages_for_esm(url, 10)
        assert [(message["body"], message["receive_count"]) for message in second] == [("a", 2), ("b", 1)]
        queue["messages"][0]["visible_at"] = 0.0
        assert sqs._receive_messages_for_esm(url, 10) == []
        assert [message["body"] for message in dead["messages"]] == ["a"]
        assert [message["body"] for message in queue["messages"]] == ["b"]
    finally:
        sqs._act_delete_queue({"QueueUrl": sqs._queue_url("dead")}, sqs._queue_url("dead"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_comes_one_by_one_while_a_batch_is_at_work_is_the_next_batch(queue: dict[str, Any]) -> None:
    clock, mapping, many = Clock(), {"UUID": "m", "BatchSize": 3}, queue_mappings._WORKERS
    at_work = queue_mappings._AtWork(clock)
    assert at_work.limit(mapping, queue) == 1, "nothing waits"
    send(*"ab")
    with at_work.handling("m", 2):
        send(*"cd")
        assert at_work.limit(mapping, queue) == 1, "two that wait are no full batch"
        assert at_work.limit(mapping | {"BatchSize": 1}, queue) == many
        send("e")
        assert at_work.limit(mapping, queue) == many, "three are one"
        del queue["messages"][-1]
        clock.now += 0.4
        assert at_work.limit(mapping, queue) == 1
        clock.now += 0.2
        assert at_work.limit(mapping, queue) == many, "the one at work takes long"
        assert at_work.limit(mapping | {"UUID": "another"}, queue) == many, "of which nothing is at work: four wait"
    assert at_work.limit(mapping | {"BatchSize": 5}, queue) == 1


@pytest.mark.usefixtures("stock")
def test_a_batch_that_fails_is_not_at_work_any_more(queue: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    queue_mappings.apply()
    mapping, seen = {"UUID": "m", "BatchSize": 2}, []

    def execute(_function: Any, _event: Any) -> Any:
        seen.append(lambda_svc._sqs_esm_concurrency(mapping, {}, {}, queue))
        raise RuntimeError

    monkeypatch.setattr(lambda_svc, "_execute_function", execute)
    send("a", "b", "c")
    taken = sqs._receive_messages_for_esm(sqs._queue_url("any"), 2)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            lambda_svc._run_sqs_batch(mapping, {}, {}, taken, sqs._queue_url("any"), "any")
    assert seen == [1, 1], "one waits beside the two"
    assert lambda_svc._sqs_esm_concurrency(mapping, {}, {}, queue) == queue_mappings._WORKERS


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (None, ""),
        ({}, ""),
        ({"batchItemFailures": None}, ""),
        ({"batchItemFailures": []}, ""),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, "b"),
        ({"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "nobody"}]}, "abc"),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, "abc"),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, "abc"),
        ({"batchItemFailures": [{"messageId": "b"}]}, "abc"),
        ({"batchItemFailures": ["b"]}, "abc"),
        ("text", "abc"),
    ],
)
def test_which_messages_failed(body: Any, failed: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    assert queue_mappings._failed({"body": body}, set("abc"), True) == set(failed)
    assert queue_mappings._failed({"body": body}, set("abc"), False) == set()
    assert queue_mappings._failed({"body": body, "error": True}, set("abc"), True) == set("abc")
