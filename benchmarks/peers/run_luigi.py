"""Luigi: one process schedules and forks a worker a task; a marker file says that a task is done."""

from __future__ import annotations

import uuid

import luigi

from benchmarks.peers.protocol import home, job, serve, timed
from benchmarks.workloads import Workload

AT_ONCE = 4

_workloads: dict[str, Workload] = {}


class Job(luigi.Task):
    run_id = luigi.Parameter()
    name = luigi.Parameter()

    def requires(self) -> list[Job]:
        return [Job(run_id=self.run_id, name=name) for name in _workloads[self.run_id].upstream[self.name]]

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(home() / self.run_id / self.name)

    def run(self) -> None:
        job(self.name)
        with self.output().open("w"):
            pass


def run(workload: Workload) -> str:
    run_id = f"{workload.name}-{uuid.uuid4().hex[:8]}"
    _workloads[run_id] = workload
    tasks = [Job(run_id=run_id, name=name) for name in workload.upstream]
    ended = luigi.build(tasks, workers=AT_ONCE, local_scheduler=True, detailed_summary=True, log_level="WARNING")
    return "SUCCEEDED" if ended.status is luigi.LuigiStatusCode.SUCCESS else str(ended.one_line_summary)


if __name__ == "__main__":
    serve(timed(run))
