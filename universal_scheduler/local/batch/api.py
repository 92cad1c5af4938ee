"""Speaks the Batch REST API: HTTP requests in, calls of the service, HTTP answers out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote
from uuid import uuid4

from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.journal import Unwritten
from universal_scheduler.local.batch.model import Json
from universal_scheduler.local.batch.service import Batch
from universal_scheduler.local.batch.shapes import Malformed, operations, read

_TAGS = "/v1/tags/"
_TAGS_URI = "/v1/tags/{resourceArn}"

Answer = tuple[int, dict[str, str], bytes]
"""HTTP status, headers and body."""

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def owns(method: str, path: str) -> bool:
    """Whether a request is one of Batch's. ``path`` may be percent-encoded and have a query."""
    path = unquote(path.partition("?")[0])
    if path.startswith(_TAGS):  # other services have this path too
        return path.removeprefix(_TAGS).startswith("arn:aws:batch:") and (method, _TAGS_URI) in operations()
    return (method, path) in operations()


class BatchApi:
    """The API of one ``Batch``.

    ``handle`` serves HTTP. ``call`` and ``call_from_thread`` are for callers in this process, by operation name, such
    as ``call_from_thread("CreateJobQueue", {...})``.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._loop: asyncio.AbstractEventLoop | None = None
        resources = batch.resources
        self._operations: Mapping[str, Callable[[Json], dict[str, Any]]] = {
            "CancelJob": batch.cancel_job,
            "CancelJobs": batch.cancel_jobs,
            "CreateComputeEnvironment": resources.create_compute_environment,
            "CreateJobQueue": resources.create_job_queue,
            "DeleteComputeEnvironment": resources.delete_compute_environment,
            "DeleteJobQueue": batch.delete_job_queue,
            "DeregisterJobDefinition": resources.deregister_job_definition,
            "DescribeComputeEnvironments": resources.describe_compute_environments,
            "DescribeJobDefinitions": resources.describe_job_definitions,
            "DescribeJobQueues": resources.describe_job_queues,
            "DescribeJobs": batch.describe_jobs,
            "ListJobs": batch.list_jobs,
            "ListTagsForResource": batch.list_tags_for_resource,
            "RegisterJobDefinition": resources.register_job_definition,
            "SubmitJob": batch.submit_job,
            "TagResource": batch.tag_resource,
            "TerminateJob": batch.terminate_job,
            "TerminateJobs": batch.terminate_jobs,
            "UntagResource": batch.untag_resource,
            "UpdateComputeEnvironment": resources.update_compute_environment,
            "UpdateJobQueue": resources.update_job_queue,
        }

    async def start(self) -> None:
        """Start the service in this event loop."""
        self._loop = asyncio.get_running_loop()
        await self._batch.start()

    def resume_from_thread(self) -> None:
        """Go on with the jobs of an earlier Batch, from any thread; see ``Batch.resume``."""
        self._in_loop(self._batch.resume)

    async def close(self, *, keep_jobs: bool = False) -> None:
        """Kill the running jobs, or leave them to the engine that comes next, and stop the service."""
        await self._batch.close(keep_jobs=keep_jobs)

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation in the service's event loop. Raises ClientError, also for a malformed request."""
        if operation not in self._operations:
            raise ClientError(f"This engine does not know the operation {operation}.")
        try:
            known = read(operation, request)
        except Malformed as error:
            raise ClientError(str(error)) from None
        return self._operations[operation](known)

    def call_from_thread(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The same, from any thread: waits until the event loop has done it."""
        return self._in_loop(lambda: self.call(operation, request))

    def _in_loop(self, action: Callable[[], Result]) -> Result:
        if self._loop is None:
            raise RuntimeError("the service has not been started")

        async def called() -> Result:
            result = action()
            await self._batch.written()
            return result

        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:  # waiting for itself, it would wait for ever
            result = action()
            self._batch.write()
            return result
        return asyncio.run_coroutine_threadsafe(called(), self._loop).result()

    async def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002
        """Answer a request that ``owns`` accepts. ``path`` has the query, if there is one."""
        try:
            operation, request = _parse(method, path, body)
            answer = self.call(operation, request)
            await self._batch.written()
            return _answer(200, answer)
        except ClientError as error:
            return _answer(400, {"message": str(error)}, "ClientException")
        except Unwritten as error:
            return _answer(500, {"message": str(error)}, "ServerException")
        except Exception:
            logger.exception("%s %s failed", method, path)
            return _answer(500, {"message": "The service failed, its log says how."}, "ServerException")


def _parse(method: str, path: str, body: bytes) -> tuple[str, dict[str, Any]]:
    """The name of the operation and its request."""
    path, _, query = path.partition("?")
    request: dict[str, Any] = {}
    if body.strip():
        try:
            request = json.loads(body)
        except ValueError as error:
            raise ClientError(f"The request body is not valid JSON: {error}") from None
        if not isinstance(request, dict):
            raise ClientError("The request body must be an object.")
    plain = unquote(path)
    if plain.startswith(_TAGS):
        request["resourceArn"] = plain.removeprefix(_TAGS)
        if keys := parse_qs(query).get("tagKeys"):
            request["tagKeys"] = keys
        plain = _TAGS_URI
    operation = operations().get((method, plain))
    if operation is None:
        raise ClientError(f"{method} {path} is no operation of Batch.")
    return operation.name, request


def _answer(status: int, content: Mapping[str, Any], error: str | None = None) -> Answer:
    headers = {"content-type": "application/json", "x-amzn-requestid": str(uuid4())}
    if error is not None:
        headers["x-amzn-errortype"] = error
    return status, headers, json.dumps(content).encode()
