"""Every minute: the watchdogs look at the runs that are due, the indexes are completed, and the timetable is compared
with the rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from universal_scheduler.adapters.telemetry import emit, observed
from universal_scheduler.usecases.admission import tend
from universal_scheduler.usecases.indexes import complete_indexes
from universal_scheduler.usecases.sweep import Watchdogs, sweep
from universal_scheduler.usecases.timetable import Timetable, reconcile
from universal_scheduler.wiring import from_env

wiring = from_env()
timetable = Timetable(wiring.time_entries, wiring.calendars, time.time)


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Answers how many runs were looked at, and how many messages were queued."""
    del event

    def time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    try:
        return watch(time_left)
    finally:
        complete_indexes(wiring.store, time_left)
        mended = reconcile(timetable, wiring.store, time_left, partial(tend, wiring.store, wiring.workflow))
        emit(wiring.settings.metrics_namespace, {"EntriesMended": ("Count", [mended])})


def watch(time_left: Callable[[], float]) -> dict[str, int]:
    dogs = Watchdogs(
        wiring.store,
        wiring.watch,
        wiring.platform,
        wiring.workflow,
        wiring.job_log,
        wiring.outbox,
        time.time,
        wiring.settings.max_queue_seconds,
    )
    swept = sweep(dogs, time_left)
    namespace = wiring.settings.metrics_namespace
    emit(namespace, {"QueueTime": ("Seconds", swept.queue_seconds)})
    for kind, count in swept.kinds.items():
        emit(namespace, {"Breaches": ("Count", [count])}, {"Kind": kind})
    return {"looked": swept.looked, "notified": swept.notified}
