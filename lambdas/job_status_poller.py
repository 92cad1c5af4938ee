"""State *Get Job Status*: looks at the jobs that run and records what has changed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambdas.payload import next_payload, run_ref
from universal_scheduler.adapters.telemetry import observed, of_payload
from universal_scheduler.usecases.drive import poll_jobs
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.wiring import from_env

wiring = from_env()
pool = ThreadPoolExecutor(8)  # what changed is written in any order


@observed(of_payload, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Takes and answers the payload, in which `next` says what comes next."""
    del context
    now, settings = time.time(), wiring.settings
    store = notifying(wiring.store, wiring.outbox, time.time)
    turn = poll_jobs(store, wiring.platform, run_ref(event), now, pool.map)
    return next_payload(event, turn, settings.max_turns, settings.events, now)
