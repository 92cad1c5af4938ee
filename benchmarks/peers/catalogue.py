"""Which peers there are: what is installed for each, and what its figures mean."""

from __future__ import annotations

from dataclasses import dataclass

from universal_scheduler.local.package import ROOT

OURS = (f"{ROOT}[local]",)


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    """Its script is `run_NAME.py`, its directory `build/peers/NAME`."""
    title: str
    requirements: tuple[str, ...]
    """For pip, into an environment that all peers with the same ones share."""
    how: str
    processes_in: str = ""
    """The part of its directory whose processes count as its memory: all, or those of the engine without its client."""


PEERS = (
    Peer("usched_try", "usched try", OURS, "in one process, no AWS API, nothing recorded"),
    Peer("usched_engine", "embedded engine", OURS, "wait_time 1; every run, job and change recorded", "engine"),
    Peer("luigi", "Luigi 3.8", ("luigi==3.8.1",), "4 workers, local scheduler; marker files, no history"),
    Peer("dagster", "Dagster 1.13", ("dagster==1.13.28",), "in-process executor: one op at a time; events in SQLite"),
    # Later FastAPIs refuse what this Prefect's server says of itself.
    Peer(
        "prefect",
        "Prefect 3.8",
        ("prefect==3.8.8", "fastapi<0.151"),
        "server up, SQLite, thread pool; until the server has every task's end",
    ),
    Peer(
        "airflow",
        "Airflow 3.3",
        ("apache-airflow==3.3.2",),
        "LocalExecutor, SQLite, its own limits (16 tasks of a DAG at a time); until the DAG run has ended",
    ),
)
