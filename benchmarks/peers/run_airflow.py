"""Airflow 3 with LocalExecutor on SQLite: API server, scheduler and DAG processor, as `airflow standalone` starts them.

A run is started over the REST API, and counts when the API says that it has ended.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from benchmarks.peers.protocol import call, free_port, home, serve, servers, timed
from benchmarks.workloads import Workload, all_workloads

DAGS = """
from airflow.sdk import DAG, task
from benchmarks.peers.protocol import job
from benchmarks.workloads import all_workloads

for workload in all_workloads():
    with DAG(workload.name, schedule=None) as dag:
        tasks = {name: task(job, task_id=name)(name) for name in workload.upstream}
        for name, others in workload.upstream.items():
            for other in others:
                tasks[other] >> tasks[name]
    globals()[workload.name] = dag
"""


class Api:
    """Airflow's REST API: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html"""

    def __init__(self, endpoint: str) -> None:
        self._endpoint, self._token = endpoint, ""

    def __call__(self, path: str, body: Any = None) -> Any:
        self._token = self._token or call(f"{self._endpoint}/auth/token")["access_token"]
        return call(f"{self._endpoint}/api/v2/{path}", body, {"Authorization": f"Bearer {self._token}"})

    def ready(self) -> bool:
        known = [self(f"dags/{each.name}")["dag_id"] for each in all_workloads()]
        return bool(known) and self("monitor/health")["scheduler"]["status"] == "healthy"


def main() -> None:
    port = str(free_port())
    endpoint = f"http://127.0.0.1:{port}"
    dags = home() / "dags"
    dags.mkdir()
    (dags / "workloads.py").write_text(DAGS)
    os.environ |= {
        "AIRFLOW_HOME": str(home()),
        # Its processes share one file: wait for each other rather than break with "database is locked".
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home()}/airflow.db?timeout=60",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{endpoint}/execution/",
        "AIRFLOW__API__BASE_URL": endpoint,
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    airflow = str(Path(sys.executable).with_name("airflow"))
    subprocess.run([airflow, "db", "migrate"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    with servers(
        (airflow, "api-server", "--host", "127.0.0.1", "--port", port),
        (airflow, "scheduler", "--skip-serve-logs"),
        (airflow, "dag-processor"),
    ) as until:
        api = Api(endpoint)
        until(api.ready)

        def run(workload: Workload) -> str:
            run_id = uuid.uuid4().hex
            api(f"dags/{workload.name}/dagRuns", {"dag_run_id": run_id, "logical_date": None})
            state = until(lambda: ended(api(f"dags/{workload.name}/dagRuns/{run_id}")["state"]))
            return "SUCCEEDED" if state == "success" else f"the DAG run is {state}"

        serve(timed(run))


def ended(state: str) -> str:
    return state if state in ("success", "failed") else ""


if __name__ == "__main__":
    main()
