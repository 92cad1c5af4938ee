"""Events as AWS documents them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

QUEUE = "arn:aws:batch:us-east-1:123456789012:job-queue/default"


def documented(name: str) -> dict[str, Any]:
    """An example event of AWS's documentation, to change at will."""
    event: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return event


def state_change(job_id: str, status: str, time: str = "2026-11-21T06:00:00Z", **detail: Any) -> dict[str, Any]:
    """The documented event for another job, status and time, with these keys of the detail changed."""
    event = documented("batch_job_state_change")
    arn = f"arn:aws:batch:us-east-1:123456789012:job/{job_id}"
    event["time"], event["resources"] = time, [arn]
    event["detail"] |= {"jobId": job_id, "jobArn": arn, "jobQueue": QUEUE, "status": status, **detail}
    return event


def execution_ended(arn: str, status: str, message: Any = None, **detail: Any) -> dict[str, Any]:
    """The documented event for another execution, status and input."""
    event = documented("execution_status_change")
    event["resources"] = [arn]
    named = {"executionArn": arn, "name": arn.rpartition(":")[2], "status": status, "input": json.dumps(message or {})}
    event["detail"] |= named | detail
    return event
