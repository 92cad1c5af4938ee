"""What `usched try` shows of a run: what has changed, or what there is room for, at a cost that follows it."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence

from rich.console import Console

from universal_scheduler.cli.console import View, jobs_table
from universal_scheduler.cli.progress import SHARE, follow
from universal_scheduler.cli.trial import Board
from universal_scheduler.domain.runs.model import Dependency, Execution, Job, JobRun, JobStatus, Run, RunKey, RunStatus

RUN = Run(RunKey("tried", "2026-11-21T06:00:00.000001"), RunStatus.RUNNING, Execution("arn", "try"))


def job(number: int, status: JobStatus = JobStatus.WAITING, *after: str) -> JobRun:
    return JobRun(Job(f"j{number}", "q", "d", tuple(map(Dependency, after))), number, status)


def board(*jobs: JobRun) -> Board:
    made = Board()
    made.changed_jobs(RUN, jobs)
    return made


def names(views: Sequence[View]) -> list[str]:
    [run] = views
    return [each["jobName"] for each in run["jobs"]]


def test_before_anything_is_told_there_is_nothing_to_show() -> None:
    assert (Board().changed(), Board().visible(10)) == ([], [])


def test_a_change_is_shown_once() -> None:
    shown = board(job(0), job(1))
    assert names(shown.changed()) == ["j0", "j1"]
    shown.changed_jobs(RUN, [job(1, JobStatus.RUNNING)])
    shown.changed_jobs(RUN, [job(1, JobStatus.SUCCEEDED)])
    [run] = shown.changed()
    assert run["jobs"] == [{"jobName": "j1", "attempts": 0, "status": "SUCCEEDED"}]
    assert names(shown.changed()) == []


def test_all_jobs_stand_in_their_order_where_there_is_room() -> None:
    shown = board(job(0), job(1, JobStatus.RUNNING), job(2, JobStatus.FAILED))
    assert names(shown.visible(3)) == ["j0", "j1", "j2"]
    assert names(shown.visible(2)) == ["j2", "j1"]


def test_of_many_jobs_those_that_matter_most_are_shown_and_all_are_counted() -> None:
    shown = board(*(job(number) for number in range(1000)))
    shown.changed_jobs(RUN, [job(7, JobStatus.RUNNING), job(500, JobStatus.FAILED)])
    [run] = shown.visible(5)
    assert names([run])[:2] == ["j500", "j7"]
    assert run["counts"] == {"FAILED": 1, "RUNNING": 1, "WAITING": 998}
    screen = io.StringIO()
    Console(file=screen, width=120).print(jobs_table(run, time.time(), 5))
    assert "5 of 1,000 jobs: 1 FAILED, 1 RUNNING, 998 WAITING" in screen.getvalue()


def test_a_job_that_waits_is_shown_with_its_reason() -> None:
    shown = board(job(0, JobStatus.HELD), job(1, JobStatus.WAITING, "j0"))
    [run] = shown.visible(10)
    assert run["jobs"][1]["reason"] == "waits for j0, held, as its schedule says"


def test_drawing_that_takes_long_comes_less_often() -> None:
    pauses: list[float] = []

    def look() -> Sequence[View]:
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass
        return []

    follow(Console(file=io.StringIO()), look, lambda _: len(pauses) == 2, 0.001, pause=pauses.append)
    assert min(pauses) >= 0.01 / SHARE


def test_the_lines_of_a_look_are_written_at_once() -> None:
    class Pipe(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    pipe = Pipe()
    shown = board(*(job(number, JobStatus.RUNNING) for number in range(100)))
    follow(Console(file=pipe), shown.changed, lambda _: True, 0.0)
    assert pipe.writes == 1
    assert len(pipe.getvalue().splitlines()) == 101, "a line for each job, and one for the run"
