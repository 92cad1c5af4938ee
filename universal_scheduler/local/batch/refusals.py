"""Refuses what AWS Batch refuses, in its words where public reports tell them. The rules are `domain.batch_limits`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from universal_scheduler.domain.batch import limits as batch_limits
from universal_scheduler.domain.batch.limits import Refusal
from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.model import Json


def check_submission(request: Json, command: Sequence[str], parameters: Mapping[str, str]) -> None:
    """Check a SubmitJob request; the command and the parameters are those with the job definition's.

    Overrides over ECS's limit are no reason here: as on AWS the job is accepted, and fails when it should start.
    """
    overrides = {**(request.get("containerOverrides") or {}), "command": command}
    _check(batch_limits.refusals({**request, "containerOverrides": overrides, "parameters": parameters}))
    _check(batch_limits.payload_refusals(request))


def check_definition(request: Json) -> None:
    """Check what a RegisterJobDefinition request has in common with a SubmitJob request."""
    container = request["containerProperties"]
    _check(batch_limits.environment_refusals(container.get("environment") or ()))
    _check(batch_limits.refusals({key: request[key] for key in ("retryStrategy", "timeout") if key in request}))


def check_tags(tags: Json) -> dict[str, str]:
    """A resource's tags; ClientError if AWS would refuse them."""
    _check(batch_limits.refusals({"tags": tags}))
    return dict(tags)


def _check(found: Iterable[Refusal]) -> None:
    for refusal in found:
        raise ClientError(refusal.answer or str(refusal))
