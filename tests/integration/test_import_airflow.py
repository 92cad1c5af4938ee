"""The DAGs of a Python file of Airflow become schedules. The file is read, not run."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.importers import CASES, imported, jobs, reports, schedules, tried, usched
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument

FILE = CASES / "warehouse_dag.py"
TEXT = FILE.read_text()
PROGRAMS = [f"wh-{name}" for name in ("extract", "load", "report", "publish", "tidy")]


def test_a_file_becomes_schedules_and_reports() -> None:
    found = imported("airflow", TEXT)
    assert list(schedules(found)) == ["warehouse_nightly", "warehouse_model"]
    assert [(line, why.split(":")[0]) for line, why in reports(found)] == [
        (75, 'the task "train" has no work here, so it FAILS'),
        (79, 'no schedule of the DAG "warehouse_sites"'),
    ]


def test_a_dag_has_its_times_limits_and_dependencies() -> None:
    made = schedules(imported("airflow", TEXT, zone="Asia/Tokyo"))
    nightly = made["warehouse_nightly"]
    assert nightly["trigger"] == {"cron": "30 1 * * *", "timezone": "Europe/Zurich", "startDate": "2026-01-01"}
    assert (nightly["maxConcurrentRuns"], nightly["maxDuration"], nightly["catchUp"]) == (1, 14400, "last")
    assert {name: job.get("jobDependencies") for name, job in jobs(nightly).items()} == {
        "start": None,
        "extract-orders": ["start"],
        "extract-stock": ["extract-orders"],
        "load": ["extract-stock"],
        "report": ["load"],
        "publish": ["load"],
        "tidy": ["report", "publish"],
    }
    assert (jobs(nightly)["tidy"]["runWhen"], jobs(nightly)["load"]["retryStrategy"]) == ("all_done", {"attempts": 4})
    assert made["warehouse_model"]["trigger"]["timezone"] == "Asia/Tokyo"
    assert jobs(made["warehouse_model"])["features"]["jobDefinition"] == "features:7"


def test_the_imported_dag_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = schedules(imported("airflow", TEXT))["warehouse_nightly"]
    states, calls, run = tried(document, PROGRAMS, tmp_path, monkeypatch)
    assert (run["status"], set(states.values())) == ("SUCCEEDED", {"SUCCEEDED"})
    assert calls[:3] == ["wh-extract orders --mode full", "wh-extract stock", "wh-load "]
    assert sorted(calls[3:5]) == ["wh-publish ", "wh-report "]
    assert calls[5:] == ["wh-tidy "]


def dag(*lines: str, head: str = "") -> str:
    body = "\n".join(f"    {line}" for line in lines)
    tasks = "".join(f"    {name} = BashOperator(task_id='{name}', bash_command='{name}')\n" for name in "abc")
    return f"{head}\nwith DAG('d', schedule='@daily', catchup=False) as dag:\n{tasks}{body}\n"


def upstream(text: str) -> dict[str, Any]:
    [document] = schedules(imported("airflow", text)).values()
    return {name: job.get("jobDependencies", []) for name, job in jobs(document).items()}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("a >> b >> c",), {"a": [], "b": ["a"], "c": ["b"]}),
        (("a << b << c",), {"a": ["b"], "b": ["c"], "c": []}),
        (("[a, b] >> c",), {"a": [], "b": [], "c": ["a", "b"]}),
        (("both = [a, b]", "both >> c"), {"a": [], "b": [], "c": ["a", "b"]}),
        (("last = a >> b", "last >> c"), {"a": [], "b": ["a"], "c": ["b"]}),
        (("a.set_downstream([b, c])",), {"a": [], "b": ["a"], "c": ["a"]}),
        (("c.set_upstream(a)",), {"a": [], "b": [], "c": ["a"]}),
        (("chain(a, [b, c])",), {"a": [], "b": ["a"], "c": ["a"]}),
        (("cross_downstream([a, b], [c])",), {"a": [], "b": [], "c": ["a", "b"]}),
        (("a >> EmptyOperator(task_id='e') >> b",), {"a": [], "b": ["e"], "c": [], "e": ["a"]}),
        (("dag.doc_md = 'x'", '"""A text."""', "a.doc_md = __doc__"), {"a": [], "b": [], "c": []}),
    ],
)
def test_dependencies_are_read_as_airflow_reads_them(lines: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert upstream(dag(*lines)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "for x in [a, b]: x >> c",
        "if a: a >> b",
        "connect(a, b)",
        "a >> get(b)",
        "a >> nobody",
        "chain(*[a, b])",
        "chain([a, b], [c])",
        "d = BashOperator(task_id=NAME, bash_command='d')",
        "d = BashOperator(**more)",
        "e = BashOperator(task_id='a', bash_command='again')",
        "x = connect(a)",
        "x = extract()",
        "a.x, y = 1, 2",
        "del a",
        "with connect() as x: pass",
        "with TaskGroup(NAME) as g: pass",
    ],
)
def test_a_dag_that_is_not_read_in_full_becomes_no_schedule(line: str) -> None:
    found = imported("airflow", dag(line))
    assert (list(found.schedules), reports(found)[0][0]) == ([], 6)
    assert 'no schedule of the DAG "d"' in reports(found)[0][1]


def test_a_loop_beside_a_dag_that_makes_its_tasks_is_reported() -> None:
    text = "d = DAG('d', schedule=None)\nfor x in 'ab':\n    BashOperator(task_id=x, bash_command=x, dag=d)\n"
    found = imported("airflow", text)
    assert (list(found.schedules), reports(found)[0][0]) == ([], 2)


def test_functions_of_the_task_flow_and_dags_in_loops_are_reported() -> None:
    flow = "@dag(schedule='@daily')\ndef flow():\n    @task\n    def a(): ...\n    a()\nflow()\n"
    loop = "for x in 'ab':\n    with DAG(x) as d:\n        BashOperator(task_id='a', bash_command='a')\n"
    assert 'no schedule of the DAG "flow"' in reports(imported("airflow", flow))[0][1]
    assert "made only when the file runs" in " ".join(why for _, why in reports(imported("airflow", loop)))


def test_what_has_nothing_to_do_with_dags_is_passed_over() -> None:
    head = "import os\nlog = get()\nlog.info('x')\ntry:\n    import x\nexcept ImportError:\n    x = None\n"
    tail = "\nif __name__ == '__main__':\n    dag.test()\n"
    assert upstream(dag("a >> b", head=head) + tail)["b"] == ["a"]


@pytest.mark.parametrize(
    ("head", "schedule", "trigger"),
    [
        ("TIMES = '0 5 * * *'", "TIMES", {"cron": "0 5 * * *", "timezone": "UTC", "startDate": "2026-01-01"}),
        ("", "timedelta(hours=6)", {"rate": "rate(360 minutes)", "timezone": "UTC", "startDate": "2026-01-01"}),
        ("", "None", {"manual": True}),
        ("TIMES = '@daily'\nif x:\n    TIMES = None", "TIMES", {"manual": True}),
        ("", "[Dataset('x')]", {"manual": True}),
        ("", "Variable.get('x')", {"manual": True}),
    ],
)
def test_the_schedule_of_a_dag(head: str, schedule: str, trigger: dict[str, Any]) -> None:
    opened = f"with DAG('d', schedule={schedule}, start_date=datetime(2026, 1, 1)):"
    found = imported("airflow", f"{head}\n{opened}\n    EmptyOperator(task_id='a')\n")
    assert found.schedules[0].document["trigger"] == trigger
    assert bool(found.reported) is (trigger == {"manual": True} and schedule != "None")


def test_every_part_of_a_file_may_be_missing() -> None:
    lines = TEXT.splitlines()
    for number in range(len(lines)):
        text = "\n".join(lines[:number] + lines[number + 1 :])
        answer = usched_read(text)
        assert answer in ("read", "refused")


def usched_read(text: str) -> str:
    errors: tuple[DocumentError, ...] = ()
    with suppress(UnreadableDocument):
        try:
            imported("airflow", text)
        except UnreadableDocument as refused:
            errors = refused.errors
            raise
    assert all(error.line for error in errors)
    return "refused" if errors else "read"


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 5000,
        "x = " + "[" * 80 + "]" * 80,
        "with DAG(",
        "x = " + "-" * 20000 + "1",
        "if a: pass\n" + "elif a: pass\n" * 3000,
    ],
)
def test_what_is_no_python_or_nested_without_end_is_refused(text: str) -> None:
    assert usched_read(text) == "refused"


def test_many_arrows_are_read_or_refused() -> None:
    assert usched_read(dag(" >> ".join(["a"] * 5000))) in ("read", "refused")


def test_without_libcst_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcst", None)
    refused = usched("import", "airflow", str(FILE))
    assert refused.exit_code == 2
    assert "needs the package libcst" in refused.output
    assert "pip install 'universal-scheduler[airflow]'" in refused.output


@pytest.mark.parametrize(
    "change", ["args['retries'] = 9", "args.update(retries=9)", "x = configure(args)", "args |= x"]
)
def test_arguments_that_the_file_changes_are_not_known(change: str) -> None:
    text = f"args = {{'retries': 1}}\n{change}\nwith DAG('d', schedule=None, default_args=args):\n    {EMPTY}\n"
    assert "default_args are known only when the file runs" in reports(imported("airflow", text))[0][1]


EMPTY = "EmptyOperator(task_id='a')"


def operator(head: str, name: str) -> dict[str, Any]:
    text = f"{head}\nwith DAG('d', schedule=None):\n    {name}(task_id='a', bash_command='a')\n"
    [job] = imported("airflow", text).schedules[0].document["jobList"]
    return dict(job)


def test_an_operator_is_known_by_its_module() -> None:
    bash = operator("from airflow.operators.bash import BashOperator as Bash", "Bash")
    assert bash["containerOverrides"]["command"] == ["/bin/bash", "-c", "a"]
    assert operator("from airflow.operators import bash", "bash.BashOperator") == bash
    for head in ("from shop.operators import BashOperator", "class BashOperator(BaseOperator): ..."):
        assert "exit 1" in operator(head, "BashOperator")["containerOverrides"]["command"][2]


def test_a_file_without_a_dag_says_so() -> None:
    assert reports(imported("airflow", "x = 1\n")) == [(1, "there is no DAG in this file")]
