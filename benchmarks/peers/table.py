"""Shows the peers' figures: one table, what each of them means, and who is missing why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.measures import Summary, percentile
from benchmarks.workloads import all_workloads, chain

NOTHING = "–"
WIDTH = 120


@dataclass(slots=True)
class Figures:
    """What was measured of a peer; what was not is None."""

    title: str
    how: str
    workloads: dict[str, Summary | str] = field(default_factory=dict)
    """By workload; a text where it was cut off."""
    memory_mb: float | None = None
    install_mb: float | None = None
    cold_start: float | None = None
    """Seconds from the start of its processes, with an empty home, until it takes a run."""
    problem: str = ""
    """Why it is missing, or why it went no further."""

    def wall(self, workload: str) -> str:
        """Seconds, or what came instead."""
        match self.workloads.get(workload):
            case None:
                return NOTHING
            case str(cut_off):
                return cut_off
            case Summary() as summary if summary.succeeded:
                return _formed(summary.median("wall"))
            case Summary() as summary:
                return summary.outcome.partition(" ")[0]

    @property
    def lags(self) -> tuple[float | None, float | None]:
        """Median and p95 of the chain's lags, in ms."""
        measured = self.workloads.get(chain().name)
        lags = measured.lags if isinstance(measured, Summary) else []
        return percentile(lags, 50), percentile(lags, 95)

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "how": self.how,
            "problem": self.problem,
            "memoryMiB": self.memory_mb,
            "installMiB": self.install_mb,
            "coldStart": self.cold_start,
            "workloads": {
                name: measured if isinstance(measured, str) else measured.to_json()
                for name, measured in self.workloads.items()
            },
        }


def table(figures: Sequence[Figures]) -> Table:
    names = [each.name for each in all_workloads()]
    shown = Table(title="One machine, wall seconds (median)", title_justify="left", box=SIMPLE)
    shown.add_column("", no_wrap=True)
    for title in (*names, "lag ms: median / p95", "memory MB", "install MB", "cold start s"):
        shown.add_column(title, justify="right")
    for each in figures:
        shown.add_row(
            each.title,
            *(each.wall(name) for name in names),
            " / ".join(_formed(value) for value in each.lags),
            _formed(each.memory_mb),
            _formed(each.install_mb),
            _formed(each.cold_start),
        )
    return shown


def show(console: Console, figures: Sequence[Figures]) -> None:
    console.print(table(figures))
    for each in figures:
        console.print(f"  {each.title}: {each.how}.", markup=False, highlight=False, soft_wrap=True)
    for each in figures:
        failed = [
            f"{name}: {measured.outcome}"
            for name, measured in each.workloads.items()
            if isinstance(measured, Summary) and not measured.succeeded
        ]
        for problem in filter(None, (each.problem, *failed)):
            console.print(f"  {each.title} did not do it all: {problem}", markup=False, highlight=False, soft_wrap=True)


def _formed(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
