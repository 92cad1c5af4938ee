"""How a stream mapping delivers a batch, by the rules of partial failures, splitting and retries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.local.gaps import stream_mappings
from universal_scheduler.local.gaps.dynamodb_file import Database, Positions
from universal_scheduler.local.gaps.stream_mappings import Delivery, Failure, MappingGone
from universal_scheduler.local.state import State

Answer = dict[str, Any]
OK: Answer = {"body": None}
FAILED: Answer = {"error": True, "body": {"errorType": "ValueError"}}


def batch(*numbers: int) -> list[Any]:
    return [{"dynamodb": {"SequenceNumber": str(n), "ApproximateCreationDateTime": 0}} for n in numbers]


def numbers(records: Sequence[Any]) -> list[int]:
    return [int(record["dynamodb"]["SequenceNumber"]) for record in records]


class Told:
    """What a delivery did."""

    def __init__(self, answer: Callable[[list[int]], Answer], **rules: Any) -> None:
        self.calls: list[list[int]] = []
        self.given_up: list[tuple[list[int], str]] = []
        self.pauses: list[float] = []
        self.delivery = Delivery(
            invoke=lambda records: self._invoke(answer, records),
            give_up=self._give_up,
            pause=self.pauses.append,
            **rules,
        )

    def _invoke(self, answer: Callable[[list[int]], Answer], records: Sequence[Any]) -> Answer:
        self.calls.append(numbers(records))
        return answer(self.calls[-1])

    def _give_up(self, failure: Failure) -> None:
        self.given_up.append((numbers(failure.records), failure.condition))


def reports(*failed: object) -> Answer:
    return {"body": {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}}


def test_a_batch_that_succeeds_is_delivered_once() -> None:
    told = Told(lambda _: OK)
    told.delivery.deliver(batch(1, 2))
    assert (told.calls, told.given_up, told.pauses) == ([[1, 2]], [], [])


@pytest.mark.parametrize("body", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_an_answer_without_failures_is_success(body: Any) -> None:
    told = Told(lambda _: {"body": body}, reports_items=True)
    told.delivery.deliver(batch(1))
    assert told.calls == [[1]]


@pytest.mark.parametrize(
    "answer", [reports("nobody"), reports(""), reports(None), {"body": {"batchItemFailures": ["1"]}}]
)
def test_an_answer_that_names_no_record_of_the_batch_fails_it_all(answer: Answer) -> None:
    answers = iter([answer, OK])
    told = Told(lambda _: next(answers), reports_items=True)
    told.delivery.deliver(batch(1, 2))
    assert told.calls == [[1, 2], [1, 2]]


def test_the_lowest_record_that_failed_is_where_it_goes_on() -> None:
    answers = iter([reports("4", "2"), OK])
    told = Told(lambda _: next(answers), reports_items=True)
    told.delivery.deliver(batch(1, 2, 3, 4))
    assert told.calls == [[1, 2, 3, 4], [2, 3, 4]]


def test_reports_of_a_mapping_that_takes_none_are_ignored() -> None:
    told = Told(lambda _: reports("1"))
    told.delivery.deliver(batch(1))
    assert told.calls == [[1]]


def test_splitting_takes_nothing_from_the_retries() -> None:
    told = Told(lambda calls: FAILED if 3 in calls else OK, bisects=True, max_retries=1)
    told.delivery.deliver(batch(1, 2, 3, 4))
    assert told.calls == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [3], [4]]
    assert told.given_up == [([3], "RetryAttemptsExhausted")]


def test_an_old_record_is_given_up_before_its_retries() -> None:
    told = Told(lambda _: FAILED, max_age=60)
    told.delivery.deliver(batch(1))
    assert (len(told.calls), told.given_up) == (1, [([1], "MaxRecordAgeExceeded")])


def test_pauses_double_to_half_a_minute() -> None:
    told = Told(lambda _: FAILED, max_retries=9)
    told.delivery.deliver(batch(1))
    assert told.pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_retries_without_end_stop_at_the_records_age() -> None:
    told = Told(lambda _: FAILED, max_age=21600)
    records = batch(1)
    records[0]["dynamodb"]["ApproximateCreationDateTime"] = time.time() - 21500

    def pause(seconds: float) -> None:
        told.pauses.append(seconds)
        records[0]["dynamodb"]["ApproximateCreationDateTime"] -= seconds  # as if that long had passed

    replace(told.delivery, pause=pause).deliver(records)
    assert told.given_up == [([1], "MaxRecordAgeExceeded")]
    assert len(told.calls) > 5
    assert 100 <= sum(told.pauses) < 135


def test_a_delivery_that_breaks_is_tried_again_after_a_pause_and_not_in_a_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What broke is ministack's own code, here the filter of the mapping; its poller starts the batch anew."""
    events: list[object] = []
    ministack = SimpleNamespace(
        _apply_filter_criteria=lambda *_: 1 / 0,
        _dynamodb_stream_positions={},
        _esm_wake=SimpleNamespace(set=lambda: events.append("look again")),
    )
    monkeypatch.setattr(stream_mappings, "time", SimpleNamespace(sleep=events.append))
    mapping = {"UUID": "m", "EventSourceArn": "arn"}
    turns = stream_mappings._Turns(ministack, Positions(Database(State())))
    turns._busy.add("m")
    turns._turn(mapping, {}, batch(1), 1)
    assert events == [stream_mappings._BROKEN_SECONDS, "look again"]
    assert not turns._busy
    assert not ministack._dynamodb_stream_positions, "the batch is not taken for delivered"
    assert mapping["LastProcessingResult"].startswith("PROBLEM")
    assert "could not deliver a batch" in caplog.text


def test_a_mapping_that_is_gone_stops_the_retries() -> None:
    def gone(_: float) -> None:
        raise MappingGone

    with pytest.raises(MappingGone):
        Delivery(invoke=lambda _: FAILED, give_up=pytest.fail, pause=gone).deliver(batch(1))


@given(st.sets(st.integers(0, 19)), st.integers(1, 20), st.booleans(), st.booleans(), st.integers(0, 2))
def test_every_record_is_handled_or_given_up_and_none_is_lost(
    poison: set[int], size: int, bisects: bool, reports_items: bool, max_retries: int
) -> None:
    handled: set[int] = set()

    def answer(call: list[int]) -> Answer:
        bad = [number for number in call if number in poison]
        if reports_items and bad:
            handled.update(number for number in call if number < bad[0])
            return reports(str(bad[0]))
        if not bad:
            handled.update(call)
        return FAILED if bad else OK

    told = Told(answer, bisects=bisects, reports_items=reports_items, max_retries=max_retries)
    told.delivery.deliver(batch(*range(size)))
    given_up = {number for records, _ in told.given_up for number in records}
    assert handled | given_up == set(range(size))
    if bisects:
        assert given_up == poison & set(range(size))
