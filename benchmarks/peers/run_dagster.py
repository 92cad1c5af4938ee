"""Dagster with its in-process executor: one op after the other in one process, every event in its SQLite storage."""

import os

from dagster import (
    DagsterInstance,
    DependencyDefinition,
    GraphDefinition,
    In,
    MultiDependencyDefinition,
    NodeInvocation,
    Nothing,
    OpExecutionContext,
    op,
)

from benchmarks.peers.protocol import home, job, serve, timed
from benchmarks.workloads import Workload


@op(ins={"after": In(Nothing)})
def no_op(context: OpExecutionContext) -> None:
    job(context.op_handle.name)


def run(workload: Workload) -> str:
    graph = GraphDefinition(
        workload.name,
        node_defs=[no_op],
        dependencies={
            NodeInvocation("no_op", alias=name): {
                "after": MultiDependencyDefinition([DependencyDefinition(other) for other in others])
            }
            if others
            else {}
            for name, others in workload.upstream.items()
        },
    )
    with DagsterInstance.get() as instance:
        ended = graph.to_job().execute_in_process(instance=instance, raise_on_error=False)
        return "SUCCEEDED" if instance.get_run_by_id(ended.run_id).is_success else "FAILED"


if __name__ == "__main__":
    os.environ["DAGSTER_HOME"] = str(home())
    (home() / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with DagsterInstance.get():
        serve(timed(run))
