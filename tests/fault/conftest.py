"""Says at the end of the tests how many faults and crashes there were, in all processes together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fault.machine import FIGURES
from tests.fault.world import TALLY


def pytest_sessionfinish(session: pytest.Session) -> None:
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["tally"] = dict(TALLY)
        told["figures"] = FIGURES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    output = getattr(node, "workeroutput", {})
    TALLY.update(output.get("tally", {}))
    FIGURES.extend(output.get("figures", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TALLY["runs"]:
        failed = len(terminalreporter.stats.get("failed", ()))
        outcome = f"{failed} tests FAILED" if failed else "0 jobs doubled, 0 lost, 0 wrong ends"
        terminalreporter.write_line(f"{TALLY['faults']:,} faults in {TALLY['runs']:,} simulated runs: {outcome}")
    for figures in FIGURES:
        terminalreporter.write_line(figures)
