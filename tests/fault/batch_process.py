"""A durable Batch as a process that can be killed: answers requests, one line of JSON each, on its standard output.

python -m tests.fault.batch_process STATE_DIR
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.local_batch import ACCOUNT, REGION, definition, environment, queue
from universal_scheduler.local.batch import Batch, BatchApi, ProcessRunner
from universal_scheduler.local.batch.api import Answer
from universal_scheduler.local.processes import MARK
from universal_scheduler.local.state import Safety, State

VCPUS = 8
PATHS = {"SubmitJob": "/v1/submitjob", "DescribeJobs": "/v1/describejobs", "ListJobs": "/v1/listjobs"}


async def serve(home: Path, environment_of_jobs: dict[str, str]) -> None:
    events = (home / "events").open("a", buffering=1)

    def listener(job_id: str, status: str, _: Callable[[], dict[str, Any]]) -> None:
        events.write(f"{job_id} {status}\n")

    marks = {MARK: str(home)}
    batch = Batch(
        region=REGION,
        account=ACCOUNT,
        state_dir=home,
        base_env={**environment_of_jobs, **marks},
        log_sink=None,
        runner=ProcessRunner(marks, engine_dir=home),
        listener=listener,
        state=State(home / "state", Safety.PROCESS),
    )
    api = BatchApi(batch)
    await api.start()
    api.call("CreateComputeEnvironment", environment("usched", VCPUS))
    api.call("CreateJobQueue", queue("default", 5, "usched"))
    api.call("RegisterJobDefinition", definition("shell"))
    batch.resume()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def answer(number: int, answering: asyncio.Task[Answer]) -> None:
        status, _, body = answering.result()
        print(json.dumps([number, status, json.loads(body)]), flush=True)

    running = set()
    while line := await reader.readline():
        number, operation, request = json.loads(line)
        task = asyncio.create_task(api.handle("POST", PATHS[operation], {}, json.dumps(request).encode()))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(lambda it, number=number: answer(number, it))  # type: ignore[misc]
    await api.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), {"PATH": sys.argv[2]}))
