"""State *Submit Jobs*: submits the jobs that are ready."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.payload import next_payload, run_ref
from universal_scheduler.adapters.telemetry import observed, of_payload
from universal_scheduler.usecases.boards import Boards
from universal_scheduler.usecases.drive import submit_jobs
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.usecases.submission import Pace
from universal_scheduler.wiring import from_env

wiring = from_env()
pool = ThreadPoolExecutor(8)  # a submission mostly waits for answers
boards = Boards()
pace = Pace(wiring.settings.submit_rate, time.time, time.sleep)


@observed(of_payload, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes and answers the payload. Its `next` is SUBMIT if the time was too short to submit everything."""

    def time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    settings = wiring.settings
    ports = notifying(wiring.store, wiring.outbox, time.time), wiring.platform, wiring.objects
    turn = submit_jobs(*ports, run_ref(event), time.time, time_left, pool.map, pace, boards, int(event["turn"]))
    return next_payload(event, turn, settings.max_turns, settings.events, time.time())
