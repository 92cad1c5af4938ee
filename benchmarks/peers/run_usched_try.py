"""This scheduler as `usched try`: planner and use cases in one process over memory, no AWS API, nothing recorded."""

from __future__ import annotations

from benchmarks.ours import try_out
from benchmarks.peers.protocol import serve

if __name__ == "__main__":
    serve(try_out)
