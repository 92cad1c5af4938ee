"""Gap: mappings of DynamoDB streams ignore partial failures, bisecting and retry limits, and block each other.

How far each has come is in DynamoDB's file, under the function's name and the stream's: a mapping that is made anew
when the engine starts goes on where the one before it was. A batch that was not done by then is delivered again.

https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.local.gaps import require_ministack
from universal_scheduler.local.gaps.dynamodb_file import Positions

Json = dict[str, Any]
Record = Json

_RETRY_SECONDS = (0.5, 30.0)  # the first pause, doubling to the last; AWS documents none
_BROKEN_SECONDS = 5.0  # before a batch whose delivery itself broke is delivered again
_FOREVER = -1

logger = logging.getLogger(__name__)


class MappingGone(Exception):
    """The mapping was deleted or disabled while its batch was being retried."""


@dataclass(frozen=True)
class Failure:
    """What came of records that a mapping gave up on."""

    records: Sequence[Record]
    condition: str
    attempts: int
    answer: Json


@dataclass(frozen=True)
class Delivery:
    """How one mapping hands a batch to its function: until it is done, given up on, or the mapping is gone.

    ``invoke`` takes records and gives ministack's answer; ``give_up`` hears of each failure; ``pause`` waits that long
    and raises MappingGone when there is no mapping any more.
    """

    invoke: Callable[[Sequence[Record]], Json]
    give_up: Callable[[Failure], None]
    pause: Callable[[float], None]
    reports_items: bool = False
    bisects: bool = False
    max_retries: int = _FOREVER
    max_age: int = _FOREVER

    def deliver(self, records: Sequence[Record], retries: int = 0) -> None:
        """Return when every record is processed or given up on. Splitting a batch takes nothing from its retries."""
        while records:
            answer = self.invoke(records)
            failed = self._first_failed(records, answer)
            if failed is None:
                return
            if failed > 0:  # all before it are done: the rest is a batch of its own
                records, retries = records[failed:], 0
                self.pause(_pause(0))
                continue
            if self.bisects and len(records) > 1:
                middle = len(records) // 2
                self.deliver(records[:middle], retries)
                records = records[middle:]
                continue
            if self._too_old(records):
                self.give_up(Failure(records, "MaxRecordAgeExceeded", retries + 1, answer))
                return
            if retries == self.max_retries:
                self.give_up(Failure(records, "RetryAttemptsExhausted", retries + 1, answer))
                return
            self.pause(_pause(retries))
            retries += 1

    def _first_failed(self, records: Sequence[Record], answer: Json) -> int | None:
        if answer.get("error"):
            return 0
        body = answer.get("body")
        if not self.reports_items or body is None or body == {}:
            return None
        if not isinstance(body, dict):
            return 0
        failures = body.get("batchItemFailures")
        if not failures:
            return None
        positions = {record["dynamodb"]["SequenceNumber"]: at for at, record in enumerate(records)}
        named = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
        # A name that is none of the batch's makes the whole batch a failure.
        return min(positions.get(name, 0) for name in named)

    def _too_old(self, records: Sequence[Record]) -> bool:
        if self.max_age <= 0:
            return False
        return time.time() - float(records[0]["dynamodb"]["ApproximateCreationDateTime"]) > self.max_age


def _pause(retries: int) -> float:
    first, last = _RETRY_SECONDS
    return min(last, first * 2.0 ** min(retries, 10))


def apply(positions: Positions, held: Callable[[], bool] = lambda: False) -> None:
    """Change how ministack polls DynamoDB streams; must run before the first mapping is made.

    Records wait as long as `held` says so.
    """
    require_ministack("stream_mappings")
    from ministack.core.responses import request_scope
    from ministack.services import lambda_svc

    turns = _Turns(lambda_svc, positions)
    lambda_svc._poll_dynamodb_streams = lambda: not held() and turns.poll()

    class Mappings(type(lambda_svc._esms)):  # type: ignore[misc]
        __slots__ = ()

        def __setitem__(self, identity: str, mapping: Json) -> None:
            turns.begin(mapping)
            super().__setitem__(identity, mapping)

        def pop(self, identity: str, *default: Any) -> Any:
            mapping = super().pop(identity, *default)
            if mapping:
                positions.forget(*_reader(mapping))
            return mapping

    def restore(mappings: Any) -> None:
        """Mappings that users made begin where they were, too."""
        for (account, region, identity), mapping in mappings._data.items():
            with request_scope(account, region):
                lambda_svc._esms[identity] = mapping

    lambda_svc._esms = Mappings()
    lambda_svc._restore_esms = restore


def _reader(mapping: Json) -> tuple[str, str]:
    """Who reads which stream."""
    return mapping["FunctionArn"], mapping["EventSourceArn"]


class _Turns:
    """Gives each mapping with new records a thread of its own for one batch."""

    def __init__(self, lambda_svc: Any, positions: Positions) -> None:
        self._lambda, self._positions = lambda_svc, positions
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, mapping: Json) -> None:
        """Where the mapping of this function and stream was, else where a new one has to begin."""
        source, known = mapping["EventSourceArn"], self._lambda._dynamodb_stream_positions
        if ":dynamodb:" not in source:
            return
        position = self._positions.get(*_reader(mapping))
        if position is None:
            self._lambda._init_stream_position(mapping["UUID"], source, mapping["StartingPosition"])
            self._positions.set(*_reader(mapping), known.get(mapping["UUID"], 0))
        else:
            known[mapping["UUID"]] = position

    def poll(self) -> bool:
        """Start what can be started; whether anything was (ministack's poller looks again at once if so)."""
        started = False
        for account, region, mapping in self._lambda._iter_all_esms():
            with self._lock:
                if mapping["UUID"] in self._busy:
                    continue
            tokens = (self._lambda._request_account_id.set(account), self._lambda._request_region.set(region))
            try:
                started = self._start(mapping) or started
            finally:
                self._lambda._request_account_id.reset(tokens[0])
                self._lambda._request_region.reset(tokens[1])
        return started

    def _start(self, mapping: Json) -> bool:
        from ministack.services import dynamodb

        source = mapping.get("EventSourceArn", "")
        if ":dynamodb:" not in source or "/stream/" not in source or not mapping.get("Enabled", True):
            return False
        table = source.split(":table/")[1].split("/")[0]
        function, _ = self._lambda._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
        if function is None or (dynamodb._tables.get(table) or {}).get("LatestStreamArn") != source:
            return False
        identity = mapping["UUID"]
        position = max(self._lambda._dynamodb_stream_positions.get(identity, 0), dynamodb.stream_start_position(table))
        batch = dynamodb.stream_records_since(table, position, int(mapping.get("BatchSize", 100)))
        if not batch:
            return False
        with self._lock:
            self._busy.add(identity)
        self._lambda.spawn_background(
            self._turn, mapping, function, batch, position + len(batch), thread_name="usched-stream-mapping"
        )
        return True

    def _turn(self, mapping: Json, function: Json, batch: list[Record], end: int) -> None:
        identity = mapping["UUID"]

        def pause(seconds: float) -> None:
            time.sleep(seconds)
            current = self._lambda._esms.get(identity)
            if current is None or not current.get("Enabled", True):
                raise MappingGone

        def give_up(failure: Failure) -> None:
            mapping["LastProcessingResult"] = f"PROBLEM: {failure.condition}"
            self._lambda._send_ddb_stream_failure_record(
                mapping, function, failure.records, mapping["EventSourceArn"], failure.answer, failure.condition
            )

        delivery = Delivery(
            invoke=lambda records: self._lambda._execute_function(function, {"Records": list(records)}),
            give_up=give_up,
            pause=pause,
            reports_items="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()),
            bisects=mapping.get("BisectBatchOnFunctionError") in (True, "true"),
            max_retries=int(mapping.get("MaximumRetryAttempts", _FOREVER)),
            max_age=int(mapping.get("MaximumRecordAgeInSeconds", _FOREVER)),
        )
        try:
            mapping["LastProcessingResult"] = "OK"
            delivery.deliver(self._lambda._apply_filter_criteria(batch, mapping))
            if identity in self._lambda._esms:
                self._positions.set(*_reader(mapping), end)
                with self._lambda._dynamodb_stream_positions_lock:
                    self._lambda._dynamodb_stream_positions[identity] = end
        except MappingGone:
            pass
        except Exception:
            # Not the function's failure but the delivery's (of filters, say, or of the queue for what is given up).
            logger.exception("mapping %s of %s could not deliver a batch", identity, mapping["EventSourceArn"])
            mapping["LastProcessingResult"] = "PROBLEM: internal error"
            time.sleep(_BROKEN_SECONDS)
        finally:
            with self._lock:
                self._busy.discard(identity)
            self._lambda._esm_wake.set()
