"""Tables at 80 and at 200 columns, on a terminal and in a pipe: nothing is cut, broken or taken for markup."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tests.events import state_change
from tests.usched import Stage, row, told, usched, written
from universal_scheduler.cli import local
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.domain.events.job_events import read_event
from universal_scheduler.local.engine import Engine

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
LONG = "load_customers_from_the_warehouse_into_the_lake"
LONGEST = "x" * 128
"""The longest name that a job may have."""
JOB_ID = "5b3c1d2e-1111-2222-3333-444455556666"
REASON = "because of the [red]migration[/red] of \x1b[31m东京\x07 today\nand tomorrow, and for much longer than that"
SHOWN_REASON = (
    r"because of the [red]migration[/red] of \x1b[31m东京\x07 today and tomorrow, and for much longer than that"
)


def lines_of(table: Table, width: int = 1_000_000) -> list[str]:
    screen = StringIO()
    Console(file=screen, width=width).print(table)
    return screen.getvalue().splitlines()


def table_of(*rows: tuple[str, ...]) -> Table:
    table = Table("job", "status", "started", number("exit"), prose("why"))
    for cells in rows:
        table.add_row(*cells)
    return table


def test_what_fits_stands_in_columns() -> None:
    table = table_of(("load", "FAILED", "07:00:00", "3", "no space left"), ("report", "WAITING", "", "", ""))
    assert lines_of(table, 80) == [
        "job     status   started   exit  why",
        "─" * 46,
        "load    FAILED   07:00:00     3  no space left",
        "report  WAITING",
        "",
    ]


def test_prose_is_wrapped_between_words_where_there_is_room() -> None:
    why = "the container could not be started: its image has no such command"
    table = table_of(("load", "FAILED", "07:00:00", "3", why))
    assert lines_of(table, 80)[2:] == [
        "load  FAILED  07:00:00     3  the container could not be started: its image has",
        "                              no such command",
        "",
    ]


def test_what_does_not_fit_stands_below_its_row_with_the_columns_name() -> None:
    names = ("load_customers_of_yesterday", "UPSTREAM_FAILED", "2026-11-21 07:00:00", "", "did not run: upstream a")
    assert lines_of(table_of(names), 80) == [
        "job                          status           started              exit",
        "─" * 71,
        "load_customers_of_yesterday  UPSTREAM_FAILED  2026-11-21 07:00:00",
        "    why: did not run: upstream a",
        "",
    ]
    assert lines_of(table_of((*names[:3], "137", names[4])), 50)[2:] == [
        "load_customers_of_yesterday",
        "     UPSTREAM_FAILED  2026-11-21 07:00:00   137",
        "    why: did not run: upstream a",
        "",
    ]


def test_a_long_name_has_a_line_of_its_own() -> None:
    table = table_of(("a", "RUNNING", "", "", ""), (LONG, "FAILED", "07:00:00", "3", "why it is so"))
    assert lines_of(table, 80)[2:-1] == [
        "a    RUNNING",
        LONG,
        "     FAILED   07:00:00     3  why it is so",
    ]
    [_, _, _, first, second, *_] = lines_of(table_of(("a", "", "", "", ""), (LONGEST, "FAILED", "", "", "")), 80)
    assert first + second == LONGEST, "longer than the screen"


def test_wide_characters_keep_the_columns_straight() -> None:
    _, _, first, second, _ = lines_of(table_of(("东京", "RUNNING", "", "", "x"), ("a", "RUNNING", "", "", "y")))
    assert (first, second) == ("东京  RUNNING                 x", "a     RUNNING                 y")


def test_markup_and_control_characters_are_shown_as_text() -> None:
    table = table_of(("[red]", "[/]", "a\x1b[2Jb", "\x00", "one\r\ntwo\u202e"), ("a", "b", "", "", ""))
    table.add_row(Text("c", style="red"), Text("\x9b", style="red"), "", "", "\ud800")
    assert [line.split() for line in lines_of(table)[2:5]] == [
        ["[red]", "[/]", r"a\x1b[2Jb", r"\x00", "one", r"two\u202e"],
        ["a", "b"],
        ["c", r"\x9b", r"\ud800"],
    ]
    assert printable(REASON) == SHOWN_REASON


def test_of_too_many_lines_those_of_interest_are_shown() -> None:
    table = Table("job", "status", prose("why"), height=4, caption=lambda shown: f"{shown} of 9")
    for place in range(9):
        table.add_row(f"j{place}", "FAILED" if place == 7 else "WAITING", "word " * 12, interest=place != 7)
    assert [line.split()[0] for line in lines_of(table, 60)[2:-1]] == ["j7", "word", "j0", "word", "2"]
    assert [line.split()[0] for line in lines_of(table)[2:-1]] == ["j7", "j0", "j1", "j2", "4"]


WORDS = st.text(st.sampled_from("abc东_-"), min_size=1, max_size=30)


@given(
    rows=st.lists(
        st.tuples(WORDS, st.sampled_from(["RUNNING", "UPSTREAM_FAILED"]), st.lists(WORDS, max_size=12), WORDS),
        min_size=1,
        max_size=4,
    ),
    width=st.integers(40, 200),
)
def test_at_any_width_every_word_is_whole_and_no_line_is_too_long(
    rows: list[tuple[str, str, list[str], str]], width: int
) -> None:
    table = Table("job", "status", "queue", number("seconds"), prose("changes"), prose("why"))
    for name, status, words, other in rows:
        table.add_row(name, status, other, "12.5", ", ".join(words), " ".join(words))
    lines = lines_of(table, width)
    assert all(cell_len(line) <= width for line in lines)
    told_words = [word for line in lines for word in line.split()]
    for name, status, words, other in rows:
        wanted = [word for word in (name, status, other, *words) if cell_len(word) <= width - 4]
        assert all(word in told_words for word in wanted)
    assert len(lines_of(table)) == len(rows) + 3, "without a width a row is a line"


@pytest.fixture
def zurich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Zurich")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def busy(stage: Stage, zurich: None) -> Stage:
    """A schedule with short and long names of which a run has failed, with an audit trail and Batch's events."""
    del zurich
    names = ["a", LONG, LONGEST]
    jobs = [
        {"jobName": name, "jobDefinition": "shell", "jobQueue": "default", "jobDependencies": names[:place]}
        for place, name in enumerate(names)
    ]
    channel = {"slack": "ssm:/usched/the-team-of-the-warehouse", "on": ["run_failed", "job_failed", "job_stuck"]}
    stage.store.put_schedule(row(jobList=jobs, notifications=[channel]))
    stage.drive(told("run", "load")["name"], failing=LONG)
    stage.drive(told("skip", "load", LONGEST, "--reason", REASON)["name"])
    usched("pause", "load", "--reason", REASON)
    began = datetime.now(UTC) - timedelta(minutes=5)
    for at, status in enumerate(("RUNNABLE", "STARTING", "RUNNING", "FAILED")):
        moment = (began + timedelta(minutes=at)).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = state_change(JOB_ID, status, moment, jobName=LONG, statusReason=REASON, container={"exitCode": 137})
        stage.job_log.append([read_event(event)])
    return stage


COMMANDS = {
    "runs": (["runs"], ["load", "FAILED"]),
    "show": (["show", "load"], ["a", LONG, "SUCCEEDED", "FAILED", "SKIPPED"]),
    "jobs": (["jobs"], [LONG, JOB_ID, "FAILED"]),
    "job": (["jobs", JOB_ID], [LONG, JOB_ID, "RUNNABLE", "STARTING", "RUNNING", "FAILED"]),
    "audit": (["audit", "load"], ["skip", "pause", "FAILED"]),
    "notify": (["notify", "test", "load"], ["delivered", "run_failed"]),
}


@pytest.mark.parametrize("screen", [80, 200])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_table_is_readable(
    monkeypatch: pytest.MonkeyPatch, busy: Stage, command: str, screen: int, terminal: bool
) -> None:
    del busy
    monkeypatch.setenv("COLUMNS", str(screen))
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    words, wanted = COMMANDS[command]
    out = usched(*words).stdout
    assert bool(ANSI.search(out)) is terminal
    lines = ANSI.sub("", out).splitlines()
    assert all(cell_len(line) <= screen for line in lines)
    told_words = re.split(r"[\s,]+", "\n".join(lines))
    assert all(word in told_words for word in wanted)
    assert "\x07" not in out


@pytest.mark.parametrize("command", COMMANDS)
def test_in_a_pipe_a_row_is_a_line(busy: Stage, command: str) -> None:
    del busy
    words, wanted = COMMANDS[command]
    lines = usched(*words).stdout.splitlines()
    rule = next(place for place, line in enumerate(lines) if line.startswith("───"))
    heading, rows = lines[rule - 1], lines[rule + 1 : lines.index("", rule)]
    expected = {"runs": 1, "show": 3, "jobs": 1, "job": 4, "audit": 2, "notify": 1}
    assert len(rows) == expected[command], heading
    assert all(word in "\n".join(lines) for word in wanted)
    assert all("…" not in line for line in lines)
    if command != "notify":
        assert "(CE" in "\n".join(lines), "the zone of the times"


def test_a_reason_is_told_whole(busy: Stage) -> None:
    del busy
    assert SHOWN_REASON in usched("jobs").stdout
    assert SHOWN_REASON in usched("audit", "load").stdout
    assert "paused since" in usched("show", "load").stdout


@pytest.mark.parametrize("screen", [80, 200])
def test_files_that_are_checked_stored_and_simulated(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, tmp_path: Path, screen: int
) -> None:
    del stage
    monkeypatch.setenv("COLUMNS", str(screen))
    jobs = [{"jobName": name, "jobDefinition": "shell", "jobQueue": "default"} for name in ("a", LONG)]
    file = written(tmp_path / "all.json.yaml", row("short", jobList=jobs), row(f"of_{LONG}", jobList=jobs))
    for words in (["apply", file], ["simulate", file, "--fail", LONG]):
        lines = usched(*words).stdout.splitlines()
        assert all(cell_len(line) <= screen for line in lines)
        assert any(f"of_{LONG}" in line for line in lines)


def test_errors_of_files_are_folded_between_words(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, tmp_path: Path
) -> None:
    del stage
    job = {"jobName": LONG, "jobDefinition": "shell", "jobQueue": "default", "runWhen": "whenever_it_is_dark_outside"}
    written(tmp_path / "a.yaml", row(jobList=[job]))
    monkeypatch.chdir(tmp_path)
    in_a_pipe = usched("apply", "a.yaml").stdout.splitlines()
    assert len(in_a_pipe) == 2
    monkeypatch.setenv("COLUMNS", "80")
    lines = usched("apply", "a.yaml").stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [*" ".join(lines).split()] == [*" ".join(in_a_pipe).split()], "the same words"


@pytest.mark.parametrize("screen", [80, 200, None])
def test_an_engine_is_described(monkeypatch: pytest.MonkeyPatch, screen: int | None) -> None:
    names = {f"Table{place}OfTheScheduler": "arn" for place in range(9)}
    place = Path("/home") / LONG / LONG / "engine-4566"
    engine = Engine("http://127.0.0.1:4566", "http://127.0.0.1:4566/api/v1", "arn", names, names, {}, 7, 4566, place)
    monkeypatch.setattr(local, "find_engine", lambda _: engine)
    monkeypatch.setattr(local.engines, "running", lambda: [engine])
    if screen:
        monkeypatch.setenv("COLUMNS", str(screen))
    lines = usched("local", "status").stdout.splitlines()
    assert all(cell_len(line) <= (screen or 10_000) for line in lines)
    assert all(name in re.split(r"[\s,]+", " ".join(lines)) for name in names)
    assert (f"state: {place}" in lines) is (screen != 80)


def test_errors_of_a_row_are_readable(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    stage.store.put_schedule(row("load", **{"[red]东京[/red]": 1, "jobLst": []}))
    for screen in (80, 200):
        monkeypatch.setenv("COLUMNS", str(screen))
        out = usched("show", "load").stdout
        assert all(cell_len(line) <= screen for line in out.splitlines())
        assert "'[red]东京[/red]'" in out


def test_a_schedule_that_has_not_run_shows_its_jobs_whatever_they_depend_on(stage: Stage) -> None:
    jobs = row()["jobList"]
    jobs[1]["jobDependencies"] = [{"job": "a", "status": "FAILED"}]
    stage.store.put_schedule(row(jobList=jobs))
    assert "b    default  a      shell" in usched("show", "load").stdout


def test_json_is_not_made_printable(busy: Stage) -> None:
    del busy
    [job] = told("jobs")["jobs"]
    assert json.dumps(job["reason"]) == json.dumps(REASON)
    assert job["events"][0]["time"].endswith(".000000"), "UTC"
