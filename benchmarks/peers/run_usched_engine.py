"""This scheduler as deployed on its embedded engine: every run, job and change is recorded."""

from __future__ import annotations

from benchmarks.ours import Ours
from benchmarks.peers.protocol import home, serve
from benchmarks.runs import run
from benchmarks.stage import Stage
from universal_scheduler.local import engine as engines


def main() -> None:
    engine = engines.start(port=0, state_dir=home() / "engine")
    try:
        stage = Stage(engine)
        ours = Ours(stage)
        serve(lambda workload: run(stage, ours, workload))
    finally:
        engines.stop(engine)


if __name__ == "__main__":
    main()
