"""The example schedules and the scripts that their jobs run, as plain processes that share nothing but files."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.runs.planner import upstream_first

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "containers" / "job" / "bin"
START = "2026-11-21T06:00:00.000001"
RUN = START.replace(":", "-")
COLUMNS = "order_id,order_date,customer,region,product,category,quantity,unit_price"
GOOD = "A1,2026-09-01,C1,north,lamp,home,2,29.50"


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "schedules" / f"{name}.yaml").read_text())
    return read


def commands(name: str) -> list[str]:
    """The scripts of a schedule in an order in which its dependencies let them run."""
    schedule = document(name)
    by_name = {job["jobName"]: job for job in schedule["jobList"]}
    order = upstream_first({name: job.get("jobDependencies", ()) for name, job in by_name.items()})
    return [by_name[name]["containerOverrides"]["command"][0] for name in order]


class Jobs:
    """Runs scripts as the local Batch does: found by name, told of their run by the environment."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.run_dir = data / "edw" / RUN
        path = os.pathsep.join([str(SCRIPTS), str(Path(sys.executable).parent), os.defpath])
        self.env = {"PATH": path, "USCHED_DATA": str(data), "USCHED_START": START}

    def run(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command], env=self.env | env, cwd=self.data, capture_output=True, text=True, timeout=60, check=False
        )

    def must(self, *names: str, **env: str) -> str:
        printed = ""
        for name in names:
            done = self.run(name, **env)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
        return printed

    def orders(self, *lines: str) -> str:
        """A source file with these orders."""
        source = self.data / "source.csv"
        source.write_text("\n".join([COLUMNS, *lines]) + "\n")
        return str(source)

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.run_dir / name).open(newline="") as lines:
            return list(csv.DictReader(lines))

    def sql(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.data / "edw" / "warehouse.sqlite")) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


@pytest.mark.parametrize("name", ["daily-edw-load", "daily-edw-report"])
def test_the_schedules_are_valid_and_their_scripts_are_there(name: str) -> None:
    assert parse(document(name)).schedule_id == name
    for command in commands(name):
        assert os.access(SCRIPTS / command, os.X_OK), command


def test_the_report_starts_after_the_load_which_starts_when_it_is_inserted() -> None:
    assert not parse(document("daily-edw-load")).starts_when_inserted
    assert parse(document("daily-edw-report")).triggers == ({"after": ["daily-edw-load"]},)


def test_the_jobs_of_both_schedules_make_the_report_from_the_orders(jobs: Jobs) -> None:
    printed = jobs.must(*commands("daily-edw-load"), *commands("daily-edw-report"))
    assert "checked: 400 archived = 379 loaded + 21 rejected" in printed
    assert parquet.read_metadata(jobs.run_dir / "parquet" / "orders.parquet").num_rows == 400
    assert jobs.sql("SELECT archived, loaded, rejected FROM loads") == [(400, 379, 21)]
    [(sold,)] = jobs.sql("SELECT ROUND(SUM(quantity * unit_price), 2) FROM orders")
    assert jobs.sql("SELECT ROUND(SUM(revenue), 2) FROM daily_sales") == [(sold,)]
    report = (jobs.data / "edw" / "reports" / RUN / "report.md").read_text()
    assert f"Revenue {sold:,.2f}." in report


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("A1,2026-09-01,,north,lamp,home,2,29.50", "no customer"),
        ("A1,2026-09-01,C1,atlantis,lamp,home,2,29.50", "unknown region"),
        ("A1,2026-09-31,C1,north,lamp,home,2,29.50", "order_date is no date"),
        ("A1,2026-09-01,C1,north,lamp,home,-2,29.50", "quantity is no positive whole number"),
        ("A1,2026-09-01,C1,north,lamp,home,,29.50", "quantity is no positive whole number"),
        ("A1,2026-09-01,C1,north,lamp,home,2,n/a", "unit_price is no positive number"),
        ("A1,2026-09-01,C1,north,lamp,home,2,0.00", "unit_price is no positive number"),
    ],
)
def test_a_dirty_order_is_set_aside_with_the_reason(jobs: Jobs, order: str, reason: str) -> None:
    jobs.must("edw-fetch", "edw-cleanse", EDW_SOURCE=jobs.orders(order))
    assert [row["reason"] for row in jobs.rows("rejected/orders.csv")] == [reason]
    assert jobs.rows("clean/orders.csv") == []


def test_an_order_that_came_before_is_set_aside(jobs: Jobs) -> None:
    jobs.must("edw-fetch", "edw-cleanse", EDW_SOURCE=jobs.orders(GOOD, GOOD))
    assert len(jobs.rows("clean/orders.csv")) == 1
    assert [row["reason"] for row in jobs.rows("rejected/orders.csv")] == ["order_id came before"]


def test_what_can_be_mended_is_mended(jobs: Jobs) -> None:
    printed = jobs.must(
        "edw-fetch", "edw-cleanse", EDW_SOURCE=jobs.orders("A1,2026-09-01,C1, NORTH ,lamp,home,2,$29.50")
    )
    [order] = jobs.rows("clean/orders.csv")
    assert (order["region"], order["unit_price"]) == ("north", "29.50")
    assert "1 of them mended" in printed


def test_the_archive_keeps_every_row_as_it_came(jobs: Jobs) -> None:
    jobs.must("edw-fetch", "edw-convert-parquet", EDW_SOURCE=jobs.orders(GOOD, "A2,x,,,,,,"))
    table = parquet.read_table(jobs.run_dir / "parquet" / "orders.parquet").to_pylist()
    assert [row["order_date"] for row in table] == ["2026-09-01", "x"]
    assert table[0]["unit_price"] == "29.50"


def test_sales_are_added_up_by_day_region_and_category(jobs: Jobs) -> None:
    other = "A2,2026-09-01,C2,north,rug,home,1,119.00"
    jobs.must("edw-fetch", "edw-cleanse", "edw-aggregate", EDW_SOURCE=jobs.orders(GOOD, other))
    [sales] = jobs.rows("aggregate/daily_sales.csv")
    assert (sales["orders"], sales["pieces"], sales["revenue"]) == ("2", "3", "178.00")


def test_a_load_that_is_done_again_replaces_what_it_had_loaded(jobs: Jobs) -> None:
    jobs.must(*commands("daily-edw-load"))
    jobs.must("edw-load")
    assert jobs.sql("SELECT COUNT(*) FROM orders") == [(379,)]


def test_nothing_is_loaded_when_an_order_got_lost(jobs: Jobs) -> None:
    names = commands("daily-edw-load")
    jobs.must(*names[:-1])
    rejected = jobs.run_dir / "rejected" / "orders.csv"
    rejected.write_text("\n".join(rejected.read_text().splitlines()[:-1]) + "\n")
    done = jobs.run(names[-1])
    assert done.returncode == 2
    assert "400 orders were archived, but 379 are clean and 20 rejected" in done.stderr
    assert not (jobs.data / "edw" / "warehouse.sqlite").exists()


@pytest.mark.parametrize("command", [*commands("daily-edw-load")[1:], *commands("daily-edw-report")])
def test_a_missing_input_is_named_with_the_job_that_makes_it(jobs: Jobs, command: str) -> None:
    done = jobs.run(command)
    assert done.returncode == 1
    assert f"{command}: there is no {jobs.data}" in done.stderr
    assert "makes it" in done.stderr


def test_the_job_image_has_the_scripts_and_what_they_read() -> None:
    lines = (ROOT / "containers" / "job" / "Dockerfile").read_text().splitlines()
    for source in (line.split()[1] for line in lines if line.startswith("COPY ")):
        assert (ROOT / "containers" / "job" / source).is_dir()
    assert shutil.which("edw-fetch", path=str(SCRIPTS))
    assert "USER job" in lines
