"""Gap: a mapping of a queue looks late, takes ten messages at most, walks the whole queue for every batch, takes a
wrong answer for success, and takes the next batch before it has enough messages for one. What is left: it collects
nothing for its batching window.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from universal_scheduler.local.gaps import require_ministack

Json = dict[str, Any]

_LOOK_SECONDS = 0.002
"""The least time between two looks of which the first found nothing: ministack's own is 25 times that."""
_FAILED_PAUSE_SECONDS = 1.0
_WORKERS = max(2, os.cpu_count() or 1)
"""How many batches of one queue are handled at a time, at most: more would only fork more processes on one machine."""
_SLOW_SECONDS = 0.5
"""A batch that has taken so long does not keep others waiting."""


def apply(held: Callable[[str], bool] = lambda _: False) -> None:
    """Change ministack's queues and their mappings; must run before the first message.

    The messages of a queue wait as long as `held` says so of its URL.
    """
    require_ministack("queue_mappings")
    from ministack.services import lambda_svc, sqs

    at_work = _AtWork()
    sqs._receive_messages_for_esm = functools.partial(_receive, sqs, sqs._collect_msgs, held)
    sqs._delete_messages_for_esm = functools.partial(_delete, sqs)
    lambda_svc._run_sqs_batch = functools.partial(_run_batch, lambda_svc, sqs, at_work)
    lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = _LOOK_SECONDS
    concurrency: Callable[..., int] = lambda_svc._sqs_esm_concurrency
    lambda_svc._sqs_esm_concurrency = lambda *given: min(concurrency(*given), at_work.limit(given[0], given[3]))


class _AtWork:
    """The batches that functions handle just now, by their mapping.

    Messages that come one by one while a batch is at work are the next batch: on one machine the calls of a function
    share the processors anyway, and a call costs much the same with one message as with ten.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._batches: dict[str, dict[int, tuple[float, int]]] = {}

    @contextmanager
    def handling(self, mapping: str, size: int) -> Iterator[None]:
        """So many messages of a mapping are handled in this context."""
        batches = self._batches.setdefault(mapping, {})
        batch = threading.get_ident()
        batches[batch] = self._clock(), size
        try:
            yield
        finally:
            del batches[batch]

    def limit(self, mapping: Json, queue: Json) -> int:
        """How many batches may be handled at once: one, unless the next is full already, or those at work are slow."""
        batches = list(self._batches.get(mapping["UUID"], {}).values())
        waiting = len(queue["messages"]) - sum(size for _, size in batches)
        slow = self._clock() - _SLOW_SECONDS
        if waiting >= mapping.get("BatchSize", 10) or any(began < slow for began, _ in batches):
            return _WORKERS
        return 1


def _receive(
    sqs: Any, collect: Callable[..., list[Json]], held: Callable[[str], bool], queue_url: str, number: int
) -> list[Json]:
    """Take visible messages, from the oldest on, and no further than needed; give up those that came too often."""
    if held(queue_url):
        return []
    with sqs._queues_lock:
        queue = sqs._get_q(queue_url)
        seconds = int(queue["attributes"].get("VisibilityTimeout", "30"))
        if queue["is_fifo"]:
            sqs._expire_retained(queue)
            sqs._dlq_sweep(queue)
            return collect(queue, min(number, 10), seconds)
        now = time.time()
        oldest = now - int(queue["attributes"].get("MessageRetentionPeriod", "345600"))
        most = _most_receives(queue)
        taken: list[Json] = []
        gone: list[Json] = []
        for message in queue["messages"]:
            if len(taken) == number:
                break
            if message["sent_at"] <= oldest:
                gone.append(message)
            elif message["visible_at"] > now:
                continue
            elif most is not None and message["receive_count"] >= most:
                gone.append(message)
            else:
                taken.append(message)
        if gone:
            sqs._expire_retained(queue)
            sqs._dlq_sweep(queue)
        return [_handed_out(sqs, message, now + seconds) for message in taken]


def _most_receives(queue: Json) -> int | None:
    policy = queue["attributes"].get("RedrivePolicy")
    return int(json.loads(policy)["maxReceiveCount"]) if policy else None


def _handed_out(sqs: Any, message: Json, visible_at: float) -> Json:
    sqs._ensure_msg_fields(message)
    message["receipt_handle"] = sqs.new_uuid()
    message["visible_at"] = visible_at
    message["receive_count"] += 1
    message["first_receive_at"] = message["first_receive_at"] or time.time()
    return message


def _delete(sqs: Any, queue_url: str, handles: set[str]) -> None:
    with sqs._queues_lock:
        messages = sqs._get_q(queue_url)["messages"]
        left = set(handles)
        at = 0
        while left and at < len(messages):
            if messages[at]["receipt_handle"] in left:
                left.discard(messages.pop(at)["receipt_handle"])
            else:
                at += 1


def _run_batch(
    lambda_svc: Any,
    sqs: Any,
    at_work: _AtWork,
    mapping: Json,
    function: Json,
    event: Json,
    batch: list[Json],
    url: str,
    _queue: str,
) -> None:
    """Hand one batch to the function; what did not fail is deleted, the rest comes back when it is visible again."""
    handles = {message["id"]: message["receipt_handle"] for message in batch}
    with at_work.handling(mapping["UUID"], len(batch)):
        answer = lambda_svc._execute_function(function, event)
    failed = _failed(answer, handles.keys(), "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()))
    sqs._delete_messages_for_esm(url, {handle for name, handle in handles.items() if name not in failed})
    mapping["LastProcessingResult"] = "FAILED" if answer.get("error") else "OK"
    if answer.get("error"):
        lambda_svc._esm_backoff_until[mapping["UUID"]] = time.time() + _FAILED_PAUSE_SECONDS
    else:
        lambda_svc._esm_backoff_until.pop(mapping["UUID"], None)


def _failed(answer: Json, names: Any, reports_items: bool) -> set[str]:
    """Which messages of the batch failed. An answer that is not as it should be is the failure of them all."""
    if answer.get("error"):
        return set(names)
    body = answer.get("body")
    if not reports_items or body is None or body == {}:
        return set()
    if not isinstance(body, dict):
        return set(names)
    failures = body.get("batchItemFailures") or ()
    named: set[Any] = {failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures}
    return named if named <= set(names) else set(names)
