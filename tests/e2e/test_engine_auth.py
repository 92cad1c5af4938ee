"""An engine with --auth, for machines with several users: it works for who has its keys, and for nobody else."""

from __future__ import annotations

import json
import os
import pickle
import stat
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from click.testing import CliRunner

from universal_scheduler.cli import app, target
from universal_scheduler.cli.problems import Problem
from universal_scheduler.local import engine as engines
from universal_scheduler.local.auth import ANY, Keys, read_keys
from universal_scheduler.local.engine import Engine
from universal_scheduler.local.state import Safety

pytestmark = pytest.mark.e2e

READS: dict[str, Callable[[Any], Any]] = {
    "apigateway": lambda client: client.get_rest_apis(),
    "batch": lambda client: client.describe_job_queues(),
    "cloudformation": lambda client: client.list_stacks(),
    "dynamodb": lambda client: client.list_tables(),
    "events": lambda client: client.list_rules(),
    "iam": lambda client: client.list_roles(),
    "lambda": lambda client: client.list_functions(),
    "logs": lambda client: client.describe_log_groups(),
    "s3": lambda client: client.list_buckets(),
    "scheduler": lambda client: client.list_schedules(),
    "sns": lambda client: client.list_topics(),
    "sqs": lambda client: client.list_queues(),
    "stepfunctions": lambda client: client.list_state_machines(),
    "sts": lambda client: client.get_caller_identity(),
}
SHELL = {"jobQueue": "default", "jobDefinition": "shell"}
DOCUMENT = {
    "scheduleId": "closed",
    "trigger": {"manual": True},
    "jobList": [
        {"jobName": "put", **SHELL, "containerOverrides": {"command": ["usched-output", "x=41"]}},
        {
            "jobName": "get",
            **SHELL,
            "jobDependencies": ["put"],
            "containerOverrides": {"command": ["echo", "got {{jobs.put.output.x}}"]},
        },
    ],
}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory that every user may enter, as pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="usched-auth-") as name:
        os.chmod(name, 0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def closed(home: Path) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USCHED_STATE_DIR", str(home))
        started = engines.start(0, auth=True, safety=Safety.PROCESS)
    yield started
    engines.stop(started)


@pytest.fixture(autouse=True)
def _commands_find_the_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USCHED_STATE_DIR", str(home))


@pytest.fixture
def keys(closed: Engine) -> Keys:
    assert closed.credentials is not None
    return read_keys(closed.credentials)


def client(at: Engine, service: str, keys: Keys, **more: Any) -> Any:
    given = {"aws_access_key_id": keys.key_id, "aws_secret_access_key": keys.secret}
    return boto3.client(service, endpoint_url=at.endpoint, region_name="us-east-1", **given, **more)


@pytest.mark.parametrize("service", READS)
def test_every_service_answers_who_has_the_keys_and_nobody_else(closed: Engine, keys: Keys, service: str) -> None:
    read = READS[service]
    assert read(client(closed, service, keys))["ResponseMetadata"]["HTTPStatusCode"] == 200
    for wrong in (ANY, Keys("AKIAIOSFODNN7EXAMPLE", "x")):
        with pytest.raises(ClientError, match=r"runs with --auth.*AWS_SHARED_CREDENTIALS_FILE") as refused:
            read(client(closed, service, wrong))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError) as refused:
        read(client(closed, service, keys, config=Config(signature_version=UNSIGNED)))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    "path", ["/api/v1/executions/none", "/metrics", "/health", "/_usched/calls", "/bucket/key", "/"]
)
def test_every_address_is_closed(closed: Engine, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(closed.endpoint + path, timeout=60):
        pass
    with refused.value as error:
        assert error.code == 403
        assert "runs with --auth" in json.loads(error.read())["error"]["message"]


def test_an_address_opens_by_name_and_password(closed: Engine, keys: Keys) -> None:
    request = urllib.request.Request(f"{closed.endpoint}/metrics", headers={"Authorization": keys.basic})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert b"# TYPE" in answer.read()


def usched(*words: str) -> Any:
    result = CliRunner().invoke(app.main, ["--local", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("closed")
def test_a_run_works_with_its_functions_and_its_jobs(tmp_path: Path) -> None:
    document = tmp_path / "closed.json"
    document.write_text(json.dumps(DOCUMENT))
    usched("apply", str(document))
    assert "SUCCEEDED" in usched("run", "closed", "--wait")
    assert usched("logs", "closed", "get").strip() == "got 41"


def test_a_backup_is_for_who_has_the_keys(closed: Engine, tmp_path: Path) -> None:
    assert closed.credentials is not None
    usched("local", "backup", str(tmp_path / "backup"))
    assert (tmp_path / "backup").stat().st_size > 0


def test_who_has_a_session_of_the_keys_may_come_in(closed: Engine, keys: Keys) -> None:
    role = "arn:aws:iam::123456789012:role/any"
    given = client(closed, "sts", keys).assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    session = Keys(given["AccessKeyId"], given["SecretAccessKey"])
    assert client(closed, "s3", session, aws_session_token=given["SessionToken"]).list_buckets()


def test_what_was_uploaded_comes_by_a_presigned_address(closed: Engine, keys: Keys) -> None:
    s3 = client(closed, "s3", keys, config=Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a b/ü+c", Body=b"x" * 300_000)
    address = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "a b/ü+c"})
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert answer.read() == b"x" * 300_000


def test_the_files_are_closed_to_other_users(closed: Engine) -> None:
    def mode(name: str) -> int:
        return stat.S_IMODE((closed.state_dir / name).stat().st_mode)

    assert mode("credentials") == mode("engine.log") == 0o600
    for name in ("state", "jobs", "data", "s3", "lambda"):
        assert mode(name) == 0o700


def test_the_keys_are_the_same_after_the_next_start() -> None:
    first = engines.start(0, bare=True, auth=True)
    assert first.credentials is not None
    before = read_keys(first.credentials)
    engines.stop(first)
    second = engines.start(first.port, bare=True, auth=True)
    assert second.credentials == first.credentials
    assert read_keys(first.credentials) == before
    engines.stop(second)
    third = engines.start(first.port, bare=True)
    assert third.credentials is None
    assert client(third, "sts", ANY).get_caller_identity()
    engines.stop(third)


def as_nobody(call: Callable[[], Any]) -> Any:
    """What a function answers or raises where another user calls it."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            try:
                answer = call()
            except Exception as error:  # noqa: BLE001 - it is the answer
                answer = f"{type(error).__name__}: {error} {getattr(error, 'advice', '')}"
            os.write(writes, pickle.dumps(answer))
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as file:
        answer = pickle.loads(file.read())
    os.waitpid(pid, 0)
    return answer


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_told_whose_engine_it_is(closed: Engine) -> None:
    told = as_nobody(lambda: target.keys_of(target.find_engine(closed.port)))
    assert told.startswith(f"Problem: The engine on port {closed.port} runs with --auth, and its keys cannot be read")
    assert "as the user who started the engine, or as root" in told
    told = as_nobody(lambda: engines.start(0, closed.state_dir.parent / "mine", bare=True))
    assert "is another user's" in told


def test_keys_that_are_gone_are_a_problem_with_advice(closed: Engine, tmp_path: Path) -> None:
    gone = Engine.from_json({**closed.to_json(), "credentials": str(tmp_path / "none")})
    with pytest.raises(Problem, match="its keys cannot be read"):
        target.keys_of(gone)
