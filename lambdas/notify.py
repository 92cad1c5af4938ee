"""Queue of messages to people: sends one message to its channel."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.domain.messages.notifications import Delivery
from universal_scheduler.usecases.delivery import deliver, deliver_received
from universal_scheduler.wiring import from_env

wiring = from_env()
logger = logging.getLogger(__name__)


def send(delivery: Delivery) -> None:
    about(delivery.notification.key)
    deliver(wiring.store, wiring.log_tails, wiring.notifier, delivery, now=time.time(), api=wiring.local_api)


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers `batchItemFailures`: the messages that the queue keeps for another try."""
    del context
    failures = []
    for record in event["Records"]:
        outcome = deliver_received(
            wiring.outbox,
            send,
            record["body"],
            record["receiptHandle"],
            int(record["attributes"]["ApproximateReceiveCount"]),
            chance=random.random(),
            first_pause=wiring.settings.notify_pause,
        )
        if outcome.problem:
            logger.warning("notification %s: %s", record["messageId"], outcome.problem)
        if outcome.again:
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
