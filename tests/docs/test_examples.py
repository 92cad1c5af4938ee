"""Every example of README and docs is run: documents are checked, commands parsed or run, Python executed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.docs.checks import check_page
from tests.docs.desk import ROOT
from tests.docs.markdown import examples
from universal_scheduler.domain.messages.messages import signature

PAGES = [
    *(ROOT / name for name in ("README.md", "DECISIONS.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = "```"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_of_a_page_is_right(page: Path, tmp_path: Path) -> None:
    _, wrong = check_page(page, tmp_path)
    assert not wrong, "\n".join(wrong)


def test_the_pages_have_examples(tmp_path: Path) -> None:
    counts = {page.name: check_page(page, tmp_path)[0] for page in PAGES}
    assert counts["README.md"] > 5
    assert counts["cli.md"] > 20
    assert counts["notifications.md"] > 2


WRONG = {
    "a block without a language": ("", "x", "a block without a language"),
    "an unknown language": ("brainfuck", "+", "a block in 'brainfuck'"),
    "a misspelt key of a schedule": ("yaml", "scheduleId: a\njobLst: []", "jobLst"),
    "a wrong part of a schedule": ("yaml", "wait_time: never", "$.wait_time"),
    "a wrong part of a job": ("yaml", "runWhen: sometimes", "$.jobList[0].runWhen"),
    "a wrong list of jobs": ("yaml", "- {jobName: a, jobQueue: default}", "jobDefinition"),
    "a document of something else": ("yaml", "kind: Pod", "no key of a schedule or a job"),
    "YAML that is none": ("yaml", "scheduleId: [", "YAML"),
    "JSON that is none": ("json", '{"jobList": ,}', "no JSON"),
    "a wrong schedule in JSON": ("json", '{"jobList": []}', "$.jobList"),
    "an answer with another key": ("json Failure", '{"fault": {}}', "Failure of api_gateway/openapi.yaml"),
    "a message with another key": ("json webhook", '{"version": 1}', "those of a message"),
    "a wrong input of an AWS call": ("json batch.RegisterJobDefinition", '{"type": "container"}', "jobDefinitionName"),
    "a policy with an unknown action": (
        "json policy",
        '{"Statement": [{"Effect": "Allow", "Action": "batch:SubmitJobs", "Resource": "*"}]}',
        "no operation SubmitJobs",
    ),
    "a wrong setting of an engine": ("toml", "[retention]\nrunDay = 1", "no setting of [retention] 'runDay'"),
    "a setting that is not the usual one": ("toml", "[retention]\nrunDays = 1", "not the usual values"),
    "an unknown mark": ("json something", "{}", "'something' is no schema"),
    "an unknown command": ("console", "$ usched frobnicate nightly", "no command 'usched frobnicate'"),
    "an unknown option": ("console", "$ usched runs --all", "No such option"),
    "a missing argument": ("console", "$ usched logs nightly", "Missing argument"),
    "a file that is nowhere": ("console", "$ usched simulate nowhere.yaml", "the file 'nowhere.yaml'"),
    "output without a command": ("console", "usched runs", "no command is in it"),
    "an unknown program": ("console", "$ kubectl get pods", "no test looks at the command 'kubectl'"),
    "an unknown target": ("sh", "make coffee", "the Makefile has no such target"),
    "an unknown variable": ("sh", "make bench MILK=1", "the Makefile reads no variable MILK"),
    "an unknown route": ("sh", "curl http://127.0.0.1:4566/api/v1/jobs", "403"),
    "a wrong body": ("sh", 'curl http://127.0.0.1:4566/api/v1/executions -d \'{"schedule": "a"}\'', "400"),
    "a wrong document in a body": (
        "sh",
        'curl http://127.0.0.1:4566/api/v1/executions -d \'{"jobList": [{"jobName": "a"}]}\'',
        "$.jobList[0]",
    ),
    "a variable that is not set": ("sh", "curl $NOWHERE/executions/a", "the variable $NOWHERE"),
    "an unknown command of AWS": ("sh", "aws batch submit-jobs", "there is no such command"),
    "an option that AWS has not": ("sh", "aws batch describe-jobs --ids 1", "--ids"),
    "what AWS needs is missing": ("sh", "aws batch describe-jobs --region us-east-1", "jobs is missing"),
    "an unknown parameter": ("sh", "sam deploy --parameter-overrides Colour=blue", "no parameter Colour"),
    "an unknown module": ("sh", "python -m benchmarks_of_nothing", "there is no such module"),
    "an option that a module has not": ("sh", "python -m benchmarks --slow", "it has no such option"),
    "an unknown extra": ("sh", "pip install 'universal-scheduler[gpu]'", "no such project or extra"),
    "a variable that nothing reads": ("sh", "export USCHED_COLOUR=blue", "nothing reads this variable"),
    "Python that raises": ("python", "import universal_scheduler.nowhere", "ModuleNotFoundError"),
    "Python that warns": ("python", "import warnings; warnings.warn('old', DeprecationWarning)", "DeprecationWarning"),
}


@pytest.mark.parametrize(("language", "text", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_example_is_found(language: str, text: str, expected: str, tmp_path: Path) -> None:
    page = f"# A page\n\n{FENCE}{language}\n{text}\n{FENCE}\n"
    _, [wrong] = check_page(ROOT / "docs" / "page.md", tmp_path, page)
    assert wrong.startswith("docs/page.md:4: ")
    assert expected in wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("    usched runs", "a block in 'indented'"),
        ("See `usched delete`.", "there is no command 'delete'"),
        ("See `usched runs --all`.", "there is no option '--all'"),
        ("See `make coffee`.", "no such target"),
        ("See `POST /v1/jobs`.", "no such route"),
        ("See [this](nowhere.md).", "nowhere.md, which is not there"),
        ("See [this](cli.md#nowhere).", "cli.md has no such heading"),
    ],
)
def test_a_wrong_word_of_the_text_is_found(text: str, expected: str, tmp_path: Path) -> None:
    _, [wrong] = check_page(ROOT / "docs" / "page.md", tmp_path, f"# A page\n\n{text}\n")
    assert wrong.startswith("docs/page.md:3: ")
    assert expected in wrong


def test_a_receiver_can_tell_our_messages_from_others_as_the_page_says() -> None:
    [block] = [each for each in examples(ROOT / "docs" / "notifications.md") if each.language == "python"]
    names: dict[str, Any] = {}
    exec(block.text, names)
    now, body = int(time.time()), b'{"version": 1}'
    assert names["is_genuine"](b"key", str(now), signature("key", now, body), body)
    assert not names["is_genuine"](b"key", str(now), signature("other", now, body), body)
    assert not names["is_genuine"](b"key", str(now - 400), signature("key", now - 400, body), body)


def test_the_line_of_a_wrong_command_is_told(tmp_path: Path) -> None:
    page = f"{FENCE}console\n$ make run\nit ran\n$ usched nothing\n{FENCE}\n"
    _, [wrong] = check_page(ROOT / "docs" / "page.md", tmp_path, page)
    assert wrong.startswith("docs/page.md:4: ")


def test_a_schedule_that_fails_where_it_is_tried_is_found(tmp_path: Path) -> None:
    job = "{jobName: a, jobQueue: default, jobDefinition: shell, containerOverrides: {command: ['false']}}"
    document = f"{FENCE}yaml file=a.yaml\nscheduleId: a\njobList: [{job}]\n{FENCE}\n"
    _, wrong = check_page(
        ROOT / "docs" / "page.md", tmp_path, f"{document}\n{FENCE}console\n$ usched try a.yaml\n{FENCE}"
    )
    assert len(wrong) == 1
    assert "exit code 1" in wrong[0]
