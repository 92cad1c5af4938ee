"""`make run`: the main job on an engine of its own, from two documents to the second run's report, and when both would
start next; then all ends.

    python -m universal_scheduler.cli.demo

Exit codes: 0 all went well, 1 something failed (the engine's log is shown), 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.text import Text

from universal_scheduler.cli import apply
from universal_scheduler.cli.console import View, jobs_table, make_console
from universal_scheduler.cli.documents import check_file, files_of
from universal_scheduler.cli.next_starts import show_starts
from universal_scheduler.cli.progress import follow
from universal_scheduler.cli.run import start
from universal_scheduler.cli.target import of_engine
from universal_scheduler.local import engine as engines
from universal_scheduler.local.engine import Engine
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.upcoming import Span, starts_of_stored
from universal_scheduler.usecases.views import run_view

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".usched"
SCHEDULES = ROOT / "schedules"
LOAD, REPORT = "daily-edw-load", "daily-edw-report"
PATIENCE_SECONDS = 120.0
INTERVAL = 0.2
KEPT = 5
STARTS = 3
"""How many coming starts of each schedule are shown."""
LOG_LINES = 40
INTERRUPTED = 130


class DemoFailed(Exception):
    """A step did not do what it should; the message says which and what happened."""


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    console = make_console()
    home = _new_home()
    try:
        _run(console, home)
    except KeyboardInterrupt:
        console.print("\nInterrupted.")
        return INTERRUPTED
    except (DemoFailed, engines.EngineError) as error:
        _explain(console, home, error)
        return 1
    except BaseException:
        _explain(console, home, None)
        raise
    finally:
        engines.stop(home)
    console.print(f"Stopped the engine. Results are in {home / 'data'}", soft_wrap=True)
    return 0


def _run(console: Console, home: Path) -> None:
    began = time.monotonic()
    console.print("Starting an embedded engine and deploying template.yaml to it …", style="bold")
    engine = engines.start(0, home)
    console.print(f"Ready after {time.monotonic() - began:.1f} s: every AWS API at {engine.endpoint}", soft_wrap=True)
    stage = of_engine(engine)

    console.print("\nusched apply schedules", style="bold")
    checked = [check_file(file) for file in files_of([str(SCHEDULES)])]
    apply.show(console, apply.store_all(stage.store, checked), checked)
    if apply.errors_of(checked):
        raise DemoFailed("a schedule was not stored")

    console.print(f"\nusched run {LOAD}", style="bold")
    start(stage, LOAD)
    console.print("This starts the first run; its end starts the second.", style="bold")
    runs = follow(console, _Look(stage.store), _both_ended, INTERVAL, stays=False)
    _try_the_api(console, engine, stage)

    console.print("\nBoth runs", style="bold")
    for run in runs:
        console.print(jobs_table(run, time.time()))
    _show_addresses(console, engine, runs)

    console.print("When each schedule starts next, and why: usched next", style="bold")
    for schedule_id in (LOAD, REPORT):
        show_starts(
            console, *starts_of_stored(stage.store, stage.calendars, schedule_id, Span(datetime.now(UTC)), STARTS)
        )


class _Look:
    """Looks at the newest run of both schedules; raises DemoFailed when these take too long."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._deadline = time.monotonic() + PATIENCE_SECONDS

    def __call__(self) -> Sequence[View]:
        if time.monotonic() > self._deadline:
            raise DemoFailed(f"the runs did not end within {PATIENCE_SECONDS:.0f} seconds")
        runs = [run for schedule in (LOAD, REPORT) for run in self._store.list_runs(schedule, 1)]
        views = [run_view(run, self._store.list_jobs(run.key.run_id), time.time()) for run in runs]
        for view in views:
            if view["status"] not in ("RUNNING", "SUCCEEDED"):
                raise DemoFailed(f"the run of {view['scheduleId']} ended {view['status']}: {view.get('reason', '')}")
        return views


def _both_ended(runs: Sequence[View]) -> bool:
    return len(runs) == 2 and all(run["status"] == "SUCCEEDED" for run in runs)


def _try_the_api(console: Console, engine: Engine, stage: Wiring) -> None:
    """Start the report once more over REST, with the very command that is printed, and see it through."""
    name = "by-hand-1"
    message = json.dumps({"scheduleId": REPORT, "name": name})
    url = f"{engine.api}/executions"
    command = ["curl", "-sS", "-X", "POST", url, "-H", "Content-Type: application/json", "-d", message]
    console.print(f"\nREST API: {engine.api}", style="bold", soft_wrap=True)
    console.print(Text(shlex.join(command)), soft_wrap=True)
    status, answer = _curl(command) if shutil.which("curl") else _post(url, message)
    console.print(Text(f"{status} {answer}"), soft_wrap=True)
    if status != 202:
        raise DemoFailed(f"POST {url} answered {status}: {answer}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (run := stage.store.find_run(name)) is None or not run.status.ended:
        if time.monotonic() > deadline:
            raise DemoFailed(f"the run {name} did not end within {PATIENCE_SECONDS:.0f} seconds")
        time.sleep(INTERVAL)
    if run.status != "SUCCEEDED":
        raise DemoFailed(f"the run {name} ended {run.status}: {run.reason}")
    console.print(f"That run SUCCEEDED too: GET {url}/{name}", soft_wrap=True)


def _curl(command: Sequence[str]) -> tuple[int, str]:
    asked = [*command, "-w", "\n%{http_code}"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise DemoFailed(f"curl ended with {done.returncode}: {done.stderr.strip()}")
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), answer.strip()


def _post(url: str, message: str) -> tuple[int, str]:
    request = urllib.request.Request(url, message.encode(), {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


def _show_addresses(console: Console, engine: Engine, runs: Sequence[View]) -> None:
    edw = engine.state_dir / "data" / "edw"
    places = {
        "warehouse": edw / "warehouse.sqlite",
        "report": edw / "reports" / runs[1]["startDateTime"].replace(":", "-") / "report.md",
        "engine's log": engine.state_dir / engines.LOG,
        "jobs' output": engine.state_dir / "jobs",
    }
    for name, place in places.items():
        if not place.exists():
            raise DemoFailed(f"the {name} is not where it should be: {place}")
        console.print(Text(f"{name:13} {place}"), soft_wrap=True)
    console.print("\nTry it yourself:", style="bold")
    console.print("  . .venv/bin/activate; usched local start; export USCHED_LOCAL=1")
    console.print(f"  usched apply schedules; usched run {LOAD} --wait; usched logs {LOAD} Cleanse\n")


def _explain(console: Console, home: Path, error: Exception | None) -> None:
    if error is not None:
        console.print(Text(f"\nmake run failed: {error}", style="bold red"), soft_wrap=True)
    log = home / engines.LOG
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    console.print(f"The engine's log, {log}, {'ends with' if lines else 'is empty.'}", soft_wrap=True)
    for line in lines[-LOG_LINES:]:
        console.print(Text(f"  {line}"), soft_wrap=True)


def _new_home() -> Path:
    """A state directory for this engine alone; of older ones the newest few stay for who wants to look at them."""
    PLACE.mkdir(exist_ok=True)
    older = sorted(PLACE.glob("run-*"), key=lambda path: path.stat().st_mtime)
    for home in older[: -(KEPT - 1)]:
        if engines.find(home) is None:
            shutil.rmtree(home, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"run-{time.strftime('%Y%m%d-%H%M%S')}-", dir=PLACE))


def _interrupt(number: int, frame: Any) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
