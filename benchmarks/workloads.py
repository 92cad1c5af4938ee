"""The four workloads: which jobs, and which of them after which others. Every job is the command `true`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMMAND = ("true",)


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs by name, each with the names of its upstream jobs; every job after all those it depends on."""

    name: str
    title: str
    upstream: Mapping[str, tuple[str, ...]]
    repeats: int

    def document(self, schedule_id: str, queue: str, definition: str, wait_seconds: int = 1) -> dict[str, Any]:
        """A schedule document as users of the reference design write it; it starts when it is told to."""
        return {
            "scheduleId": schedule_id,
            "scheduleName": self.title,
            "scheduleStatus": " ",
            "wait_time": wait_seconds,
            "jobList": [
                {
                    "jobName": name,
                    "jobDefinition": definition,
                    "jobQueue": queue,
                    "jobDependencies": list(upstream),
                    "jobStatus": " ",
                    "jobId": " ",
                    "containerOverrides": {"command": list(COMMAND)},
                }
                for name, upstream in self.upstream.items()
            ],
        }


def diamond() -> Workload:
    upstream = {
        "job1": (),
        "job2": ("job1",),
        "job3": ("job1",),
        "job4": ("job1", "job2"),
        "job5": ("job2", "job3", "job4"),
    }
    return Workload("W1", "a diamond of 5 jobs", upstream, repeats=5)


def fan(width: int = 100) -> Workload:
    middle = tuple(f"part{number}" for number in range(1, width + 1))
    upstream: dict[str, tuple[str, ...]] = {"first": ()}
    upstream |= dict.fromkeys(middle, ("first",))
    return Workload("W2", f"1 → {width} → 1", upstream | {"last": middle}, repeats=5)


def chain(length: int = 50) -> Workload:
    names = [f"job{number}" for number in range(1, length + 1)]
    upstream = {name: tuple(names[at - 1 : at]) for at, name in enumerate(names)}
    return Workload("W3", f"a chain of {length}", upstream, repeats=5)


def side_by_side(count: int = 1000) -> Workload:
    return Workload("W4", f"{count:,} side by side", {f"job{number}": () for number in range(1, count + 1)}, repeats=2)


def all_workloads() -> list[Workload]:
    return [diamond(), fan(), chain(), side_by_side()]
