"""Prefect 3 with its server up: tasks in a pool of threads; a run counts when the server has all its tasks' ends."""

from __future__ import annotations

import os
import sys
from typing import Any

from benchmarks.peers.protocol import call, free_port, home, job, serve, servers, timed
from benchmarks.workloads import Workload


def main() -> None:
    port = str(free_port())
    api = f"http://127.0.0.1:{port}/api"
    os.environ |= {
        "PREFECT_HOME": str(home()),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    start = (sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui")
    with servers(start) as until:
        until(lambda: call(f"{api}/health"))
        flow = make_flow()

        def run(workload: Workload) -> str:
            state = flow(workload.upstream, return_state=True)
            if not state.is_completed():
                return f"{state.type}: {state.message}"
            question = {
                "flow_runs": {"id": {"any_": [state.result()]}},
                "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
            }
            until(lambda: call(f"{api}/task_runs/count", question) == len(workload.upstream))
            return "SUCCEEDED"

        serve(timed(run))


def make_flow() -> Any:
    from prefect import flow, task  # after its settings are in the environment
    from prefect.context import get_run_context

    @task
    def no_op(name: str) -> None:
        job(name)

    @flow
    def jobs(upstream: dict[str, list[str]]) -> str:
        futures: dict[str, Any] = {}
        for name, others in upstream.items():
            futures[name] = no_op.submit(name, wait_for=[futures[other] for other in others])
        for future in futures.values():
            future.wait()
        return str(get_run_context().flow_run.id)

    return jobs


if __name__ == "__main__":
    main()
