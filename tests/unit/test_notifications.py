"""Who is told of what: channels of a schedule, ids, announcements, and what becomes of a message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.schema import SCHEMA_PATH
from universal_scheduler.domain.errors import DeliveryFailed, DeliveryRefused, StoreUnavailable
from universal_scheduler.domain.messages.messages import LogTail, Message
from universal_scheduler.domain.messages.notifications import (
    Channel,
    Delivery,
    Kind,
    Notification,
    Service,
    all_channels,
    backoff,
    channels_for,
    from_body,
    to_body,
)
from universal_scheduler.domain.runs.model import (
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Observation,
    Run,
    RunKey,
    RunStatus,
    Verb,
)
from universal_scheduler.usecases.delivery import compose, deliver, deliver_received
from universal_scheduler.usecases.notify import notify, notify_job, notify_run
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.usecases.verbs import act_on_job

TOPIC = "arn:aws:sns:us-east-1:123456789012:people"
URL = "https://hooks.example.com/services/s3cret"
KEY = RunKey("load", "2026-11-21T06:00:00.000001")
ARN = "arn:aws:states:eu-central-1:123456789012:execution:schedule_runner:row-load-1"


def document(*notifications: dict[str, Any], **more: Any) -> dict[str, Any]:
    jobs = [{"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}]
    return {"scheduleId": "load", "jobList": jobs, "notifications": list(notifications), **more}


def run(status: RunStatus = RunStatus.FAILED, **more: Any) -> Run:
    told = document({"on": [*set(Kind) - {Kind.TEST}], "sns": TOPIC})
    return Run(KEY, status, Execution(ARN, "row-load-1"), **{"document": told, **more})


def job(name: str = "a", status: JobStatus = JobStatus.FAILED, **more: Any) -> JobRun:
    return JobRun(Job(name, "default", "shell", optional=more.pop("optional", False)), status=status, **more)


class Logs:
    def tail(self, job: JobRun, lines: int) -> LogTail:
        assert lines == 20
        return LogTail((f"\x1b[31mlast words of {job.name}\x1b[0m\x07",), "/aws/batch/job", "shell/default/1")


class Sent(list[tuple[Channel, Message]]):
    def send(self, channel: Channel, message: Message, now: float) -> None:
        assert now
        self.append((channel, message))


# Channels


BY_DEFAULT = [
    *(Kind.RUN_SUCCEEDED, Kind.RUN_FAILED, Kind.RUN_LATE, Kind.RUN_LOST, Kind.JOB_STUCK),
    Kind.SCHEDULE_PAUSED,
]


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        ({"scheduleSnsTopic": TOPIC}, BY_DEFAULT),
        ({"scheduleSnsTopic": f" {TOPIC} "}, BY_DEFAULT),
        ({"scheduleSnsTopic": " "}, []),
        ({"scheduleSnsTopic": 7}, []),
        ({}, []),
        ({"scheduleSnsTopic": TOPIC, "notifications": []}, []),
        ({"notifications": [{"on": ["job_failed"], "sns": TOPIC}]}, [Kind.JOB_FAILED]),
        ({"notifications": [{"on": ["run_late"], "sns": TOPIC}, {"on": ["run_late"], "sns": TOPIC}]}, [Kind.RUN_LATE]),
        ({"notifications": "nonsense"}, []),
        ({"notifications": ["nonsense", {"on": ["run_failed"]}, {"sns": TOPIC}, {"on": ["run_failed"], "sns": 1}]}, []),
    ],
)
def test_a_schedule_says_who_hears_of_what(row: dict[str, Any], kinds: list[Kind]) -> None:
    channel = Channel(Service.SNS, TOPIC)
    assert all_channels(row) == ({channel: kinds} if kinds else {})
    assert all(channels_for(row, kind) == [channel] * (kind in kinds) for kind in Kind)


def test_the_schema_knows_every_kind_and_every_service() -> None:
    entry = json.loads(SCHEMA_PATH.read_text())["$defs"]["notification"]["properties"]
    assert set(entry["on"]["items"]["enum"]) == set(Kind) - {Kind.TEST}
    assert set(entry) == {"on", "secret", *Service}


@pytest.mark.parametrize(
    "entry",
    [
        {"sns": TOPIC},
        {"slack": URL},
        {"teams": "ssm:/usched/teams"},
        {"webex": "secretsmanager:usched/webex"},
        {"webhook": "http://127.0.0.1:8080/hook"},
        {"webhook": URL, "secret": "ssm:/usched/key"},
    ],
)
def test_a_right_channel_is_accepted(entry: dict[str, Any]) -> None:
    assert not find_errors(document({"on": ["run_failed"], **entry}))


@pytest.mark.parametrize(
    ("entry", "path", "found", "expected"),
    [
        ({}, "", "no channel", "one channel: sns, slack, teams, webex, webhook"),
        ({"sns": TOPIC, "slack": URL}, "", "sns and slack", "one channel"),
        ({"slack": URL, "secret": "ssm:/usched/key"}, ".secret", "beside slack", "with webhook alone"),
        ({"webhook": URL, "secret": "hunter2"}, ".secret", "not shown", "ssm:/usched/NAME"),
        ({"slack": "http://hooks.example.com/s3cret"}, ".slack", "not shown", "https://"),
        ({"slack": "ssm:/prod/database-password"}, ".slack", "not shown", "ssm:/usched/NAME"),
        ({"sns": "people"}, ".sns", '"people"', "an SNS topic's ARN"),
        ({"on": ["run_ended"], "sns": TOPIC}, ".on[0]", '"run_ended"', "run_succeeded"),
        ({"on": ["test"], "sns": TOPIC}, ".on[0]", '"test"', "one of"),
        ({"email": "me@example.com"}, "", "'email'", "only on, sns"),
    ],
)
def test_a_wrong_channel_is_told_and_its_secrets_are_not(
    entry: dict[str, Any], path: str, found: str, expected: str
) -> None:
    [error] = find_errors(document({"on": ["run_failed"], **entry}))
    assert error.path == f"$.notifications[0]{path}"
    assert found in error.found
    assert expected in error.expected
    assert "hunter2" not in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("channel", "label"),
    [
        (Channel(Service.SNS, TOPIC), f"sns {TOPIC}"),
        (Channel(Service.SLACK, "ssm:/usched/slack"), "slack ssm:/usched/slack"),
        (Channel(Service.SLACK, "https://user:pw@hooks.example.com/s3cret?k=s3cret"), "slack hooks.example.com"),
    ],
)
def test_what_is_shown_of_a_channel_lets_nobody_post(channel: Channel, label: str) -> None:
    assert channel.label == label
    assert channel.target not in repr(channel)


# Messages of the queue


def test_a_message_of_the_queue_reads_as_it_was_written() -> None:
    told = Notification(Kind.JOB_HELD, KEY, 12.5, 3, "a", "the source is late — “again”")
    delivery = Delivery(told, Channel(Service.WEBHOOK, URL, "ssm:/usched/key"))
    assert from_body(to_body(delivery)) == delivery


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"kind": "other"}', '"text"', "null"])
def test_what_is_no_notification_is_refused(body: str) -> None:
    with pytest.raises(ValueError):
        from_body(body)


def test_the_same_thing_has_the_same_id_and_another_another() -> None:
    told = Notification(Kind.JOB_FAILED, KEY, 1.0, 1, "a")
    channel = Channel(Service.SLACK, URL)
    assert Delivery(told, channel).id == Delivery(replace(told, at=2.0, detail="x"), channel).id
    others = [
        Delivery(replace(told, kind=Kind.JOB_HELD), channel),
        Delivery(replace(told, occurrence=2), channel),
        Delivery(replace(told, job_name="b"), channel),
        Delivery(replace(told, key=RunKey("load", "other")), channel),
        Delivery(told, Channel(Service.TEAMS, URL)),
        Delivery(told, Channel(Service.SLACK, URL + "2")),
    ]
    assert len({each.id for each in others} | {Delivery(told, channel).id}) == len(others) + 1


def test_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    assert [backoff(attempt, 0.0) for attempt in (1, 2, 3, 8, 9, 99)] == [5, 10, 20, 640, 900, 900]
    assert backoff(2, 0.999) == pytest.approx(5.0, rel=0.01)
    assert backoff(1, 0.5, at_least=30) == 30
    assert backoff(1, 0.5, at_least=1e9) == 900


# Announcements


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (None, RunStatus.RUNNING, Kind.RUN_STARTED),
        (RunStatus.RUNNING, RunStatus.SUCCEEDED, Kind.RUN_SUCCEEDED),
        (RunStatus.RUNNING, RunStatus.FAILED, Kind.RUN_FAILED),
        (RunStatus.RUNNING, RunStatus.CANCELLED, None),
        (RunStatus.RUNNING, RunStatus.RUNNING, None),
        (RunStatus.FAILED, RunStatus.RUNNING, None),
        (RunStatus.FAILED, RunStatus.FAILED, None),
        (None, RunStatus.FAILED, None),
    ],
)
def test_a_runs_start_and_end_are_announced(before: RunStatus | None, now: RunStatus, kind: Kind | None) -> None:
    outbox = MemoryOutbox()
    was = None if before is None else run(before)
    for _ in range(2):  # a stream may deliver twice
        notify_run(MemoryStore(), outbox, was, run(now, generation=2), 5.0)
    told = [from_body(body) for body in outbox.bodies]
    assert [each.notification.kind for each in told] == ([kind] * 2 if kind else [])
    assert len({each.id for each in told}) <= 1, "whoever is told twice can tell"


def test_each_channel_has_a_message_of_its_own() -> None:
    outbox = MemoryOutbox()
    row = document(
        {"on": ["run_failed"], "sns": TOPIC}, {"on": ["run_failed"], "slack": URL}, {"on": ["run_late"], "teams": URL}
    )
    assert notify(outbox, Notification(Kind.RUN_FAILED, KEY, 1.0), row) == 2
    assert [from_body(body).channel.service for body in outbox.bodies] == [Service.SNS, Service.SLACK]


def test_a_refused_run_is_told_to_whom_the_schedule_names() -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    refused = run(document={"scheduleId": "load", "jobList": []})
    assert notify_run(store, outbox, replace(refused, status=RunStatus.RUNNING), refused, 1.0) == 0
    store.put_schedule({"scheduleId": "load", "jobList": "broken", "scheduleSnsTopic": TOPIC})
    assert notify_run(store, outbox, replace(refused, status=RunStatus.RUNNING), refused, 1.0) == 1
    assert notify_run(store, outbox, None, replace(refused, status=RunStatus.RUNNING), 1.0) == 0


def test_a_held_job_is_announced_with_what_it_is_held_for() -> None:
    outbox = MemoryOutbox()
    assert notify_job(outbox, Kind.JOB_HELD, run(), "a", 1.0, detail="source is late") == 1
    assert notify_job(outbox, Kind.JOB_HELD, None, "a", 1.0) == 0
    assert from_body(outbox.bodies[0]).notification.detail == "source is late"


# What is told


def stored(status: RunStatus, *jobs: JobRun, **more: Any) -> MemoryStore:
    store = MemoryStore()
    made = run(RunStatus.RUNNING, document=document(scheduleName="Daily load"), **more)
    store.create_run(made)
    store.put_jobs(KEY.run_id, jobs)
    if status.ended:
        store.finish_run(made, status, "a FAILED", "2026-11-21T06:10:00.000000", [])
    return store


def composed(store: MemoryStore, told: Notification, api: str = "") -> Message:
    sent = Sent()
    deliver(store, Logs(), sent, Delivery(told, Channel(Service.SNS, TOPIC)), now=9.0, api=api)
    [(channel, message)] = sent
    assert channel == Channel(Service.SNS, TOPIC)
    return message


def test_a_failed_run_is_told_with_what_failed_and_how_to_go_on() -> None:
    jobs = [
        job("a", reason="Essential container\nin task exited", exit_code=3, job_id="1"),
        job("b", JobStatus.UPSTREAM_FAILED),
        job("c", JobStatus.SUCCEEDED),
    ]
    message = composed(stored(RunStatus.FAILED, *jobs), Notification(Kind.RUN_FAILED, KEY, 0.0))
    assert (message.name, message.status, message.reason) == ("Daily load", "FAILED", "a FAILED")
    assert message.ended_at == "2026-11-21T06:10:00.000000"
    [told] = message.jobs
    assert told.headline == "a FAILED with exit code 3: Essential container in task exited"
    assert told.log_lines == ("last words of a",), "without colours and bells"
    assert message.command == f"usched restart load {KEY.start}"
    console = "https://eu-central-1.console.aws.amazon.com"
    assert message.link == f"{console}/states/home?region=eu-central-1#/v2/executions/details/{ARN}"
    place = "log-group/$252Faws$252Fbatch$252Fjob/log-events/shell$252Fdefault$252F1"
    assert told.log_link == f"{console}/cloudwatch/home?region=eu-central-1#logsV2:log-groups/{place}"


def test_on_one_machine_the_link_leads_to_its_own_api() -> None:
    api = "http://127.0.0.1:4566/api/v1"
    message = composed(stored(RunStatus.FAILED, job()), Notification(Kind.RUN_FAILED, KEY, 0.0), api)
    assert message.link == f"{api}/executions/row-load-1"
    assert message.jobs[0].log_link == ""


def test_of_many_failed_jobs_those_are_told_that_failed_the_run() -> None:
    jobs = [job(f"o{i}", position=i, optional=True) for i in range(6)] + [job("main", position=9)]
    message = composed(stored(RunStatus.FAILED, *jobs), Notification(Kind.RUN_FAILED, KEY, 0.0))
    assert [each.name for each in message.jobs] == ["main", "o0", "o1", "o2", "o3"]
    assert message.more_jobs == 2


@pytest.mark.parametrize("kind", [Kind.JOB_FAILED, Kind.JOB_HELD, Kind.QUEUE_BLOCKED])
def test_what_is_told_of_a_job_is_about_that_job(kind: Kind) -> None:
    store = stored(RunStatus.RUNNING, job("a"), job("b", JobStatus.RUNNABLE))
    message = composed(store, Notification(kind, KEY, 0.0, 1, "b", "MISCONFIGURATION: no room"))
    assert [each.name for each in message.jobs] == ["b"]
    assert (message.detail, message.status) == ("MISCONFIGURATION: no room", "RUNNING")
    assert "Job b of load" in message.title


def test_a_start_that_is_told_late_is_still_a_start() -> None:
    message = composed(stored(RunStatus.FAILED, job()), Notification(Kind.RUN_STARTED, KEY, 0.0))
    assert (message.status, message.reason, message.jobs) == ("RUNNING", "", ())
    assert message.command == f"usched show load {KEY.start}"


def test_a_failure_that_is_told_after_a_restart_is_still_one() -> None:
    message = composed(stored(RunStatus.RUNNING, job()), Notification(Kind.RUN_FAILED, KEY, 0.0))
    assert (message.status, message.reason, message.ended_at) == ("FAILED", "", "")


def test_what_there_is_no_run_of_is_told_from_the_schedule() -> None:
    store = MemoryStore()
    store.put_schedule(document(scheduleName="Daily load"))
    delivery = Delivery(Notification(Kind.RUN_LATE, KEY, 0.0), Channel(Service.SNS, TOPIC))
    message = compose(store, Logs(), delivery)
    assert (message.name, message.link, message.status) == ("Daily load", "", "")


# What becomes of a message


@pytest.mark.parametrize(
    ("raised", "again", "paused", "dead"),
    [
        (None, False, [], 0),
        (DeliveryFailed("slack hooks.example.com answered 500"), True, [("receipt", 20)], 0),
        (DeliveryFailed("answered 429", retry_after=60), True, [("receipt", 60)], 0),
        (DeliveryRefused("answered 404"), False, [], 1),
    ],
)
def test_what_may_pass_is_tried_again_and_what_cannot_is_given_up(
    raised: Exception | None, again: bool, paused: list[Any], dead: int
) -> None:
    outbox = MemoryOutbox()
    body = to_body(Delivery(Notification(Kind.RUN_FAILED, KEY, 0.0), Channel(Service.SLACK, URL)))

    def send(_: Delivery) -> None:
        if raised:
            raise raised

    outcome = deliver_received(outbox, send, body, "receipt", 3, chance=0.0, first_pause=5.0)
    assert (outcome.again, outbox.paused, len(outbox.dead)) == (again, paused, dead)
    assert (str(raised) in outcome.problem) if raised else outcome.problem == ""


def test_what_is_no_notification_is_given_up_at_once() -> None:
    outbox = MemoryOutbox()
    outcome = deliver_received(outbox, pytest.fail, "{", "receipt", 1, chance=0.0, first_pause=5.0)
    assert not outcome.again
    assert [body for body, _ in outbox.dead] == ["{"]


# A store that tells of jobs


class Down(MemoryOutbox):
    def put(self, bodies: Sequence[str]) -> None:
        raise StoreUnavailable(f"{len(bodies)} messages not taken")


def told_by(outbox: MemoryOutbox) -> list[tuple[Kind, str]]:
    notifications = [from_body(body).notification for body in outbox.bodies]
    return [(each.kind, each.job_name) for each in notifications]


def test_who_records_a_failure_tells_it_and_who_comes_late_does_not() -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    store.create_run(run(RunStatus.RUNNING))
    running = job("a", JobStatus.RUNNING, job_id="1")
    store.put_jobs(KEY.run_id, [running, job("b", JobStatus.RUNNING, job_id="2"), job("c", JobStatus.WAITING)])
    both = [notifying(store, outbox, lambda: 5.0) for _ in range(2)]
    failed = [(running, Observation("1", JobStatus.FAILED)), (job("b", JobStatus.RUNNING, job_id="2"), SUCCEEDED)]
    assert [each.observe_jobs(KEY.run_id, failed) for each in both] == [{"a", "b"}, set()]
    assert told_by(outbox) == [(Kind.JOB_FAILED, "a")]
    refused = job("c", reason="no such queue")
    assert [each.end_jobs(KEY.run_id, [refused], 6.0) for each in both] == [{"c"}, set()]
    assert told_by(outbox) == [(Kind.JOB_FAILED, "a"), (Kind.JOB_FAILED, "c")]
    assert both[0].list_jobs(KEY.run_id) == store.list_jobs(KEY.run_id)


SUCCEEDED = Observation("2", JobStatus.SUCCEEDED)


def test_jobs_that_a_schedule_holds_are_told_when_its_run_starts() -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    store.create_run(run(RunStatus.RUNNING))
    notifying(store, outbox, lambda: 5.0).put_jobs(KEY.run_id, [job("a", JobStatus.HELD), job("b", JobStatus.WAITING)])
    assert told_by(outbox) == [(Kind.JOB_HELD, "a")]


def test_who_holds_a_job_is_told_with_the_reason() -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    store.create_run(run(RunStatus.RUNNING))
    store.put_jobs(KEY.run_id, [job("a", JobStatus.WAITING)])
    act_on_job(
        notifying(store, outbox, lambda: 5.0), MemoryWorkflow(), KEY, "a", Mark(Verb.HOLD, "ann", 4.0, "late source")
    )
    [told] = [from_body(body).notification for body in outbox.bodies]
    assert (told.kind, told.job_name, told.detail) == (Kind.JOB_HELD, "a", "held by ann: late source")


def test_a_queue_that_is_down_stops_no_run() -> None:
    store = MemoryStore()
    store.create_run(run(RunStatus.RUNNING))
    store.put_jobs(KEY.run_id, [job("a", JobStatus.WAITING)])
    assert notifying(store, Down(), lambda: 5.0).end_jobs(KEY.run_id, [job("a")], 6.0) == {"a"}


def test_where_nobody_wants_to_hear_nothing_is_queued() -> None:
    store = MemoryStore()
    store.create_run(run(RunStatus.RUNNING, document=document()))
    store.put_jobs(KEY.run_id, [job("a", JobStatus.WAITING)])
    assert notifying(store, Down(), lambda: 5.0).end_jobs(KEY.run_id, [job("a")], 6.0) == {"a"}
