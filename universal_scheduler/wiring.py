"""Builds the adapters from the settings. Only this module makes boto3 clients, each when it is first used."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

from universal_scheduler.adapters.batch import BatchPlatform
from universal_scheduler.adapters.dynamodb.answers import read_plainly
from universal_scheduler.adapters.dynamodb.job_log import DynamoJobLog
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.message_queue import MessageQueue
from universal_scheduler.adapters.objects import S3Objects
from universal_scheduler.adapters.stepfunctions import StepFunctionsWorkflow
from universal_scheduler.settings import Settings, from_environment

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_stepfunctions import SFNClient

    from universal_scheduler.adapters.batch_names import BatchNames
    from universal_scheduler.adapters.dynamodb.recordings import DynamoRecordings
    from universal_scheduler.adapters.dynamodb.watch import DynamoWatch
    from universal_scheduler.adapters.log_tails import CloudWatchLogTails
    from universal_scheduler.adapters.notifier import ServiceNotifier
    from universal_scheduler.adapters.outbox import SqsOutbox
    from universal_scheduler.adapters.scheduler import EventBridgeTimeEntries
    from universal_scheduler.domain.time.calendars import Calendar

USER_AGENT = " ".join(
    [
        f"universal-scheduler Boto3/{boto3.__version__}",
        *(f"exec-env/{place}" for place in [os.environ.get("AWS_EXECUTION_ENV")] if place),
    ]
)
"""botocore would put its own together twice for every request: a seventh of what a request costs a function. The
embedded engine knows by `exec-env` that a function asks, as AWS does:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
QUICK = Config(
    retries={"mode": "standard", "total_max_attempts": 6},
    connect_timeout=5,
    read_timeout=20,
    parameter_validation=False,
    user_agent=USER_AGENT,
)
SUBMIT_CONNECT_SECONDS, SUBMIT_READ_SECONDS = 2, 8
ONCE = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    connect_timeout=SUBMIT_CONNECT_SECONDS,
    read_timeout=SUBMIT_READ_SECONDS,
    parameter_validation=False,
    user_agent=USER_AGENT,
)
"""SubmitJob has no client token: a repeated call would be a second job, so the SDK must not repeat it unasked."""


class Wiring:
    """The adapters of one stage. `session` has the region, the credentials and the endpoint; by default, it is the
    SDK's own."""

    def __init__(self, settings: Settings, session: boto3.Session | None = None, endpoint: str | None = None) -> None:
        self.settings = settings
        self._session = session or _session()
        self._endpoint = endpoint

    def caller(self) -> str:
        """The ARN of the caller; empty on the embedded engine, where nobody checks credentials."""
        if self._endpoint is not None:
            return ""
        return str(self._session.client("sts", config=QUICK).get_caller_identity()["Arn"])

    @cached_property
    def store(self) -> DynamoStore:
        settings = self.settings
        return DynamoStore(
            self.dynamodb,
            schedules=settings.schedules_table,
            history=settings.history_table,
            jobs=settings.jobs_table,
            calendars=settings.calendars_table,
        )

    @cached_property
    def recordings(self) -> DynamoRecordings:
        from universal_scheduler.adapters.dynamodb.recordings import DynamoRecordings

        settings = self.settings
        return DynamoRecordings(
            self.dynamodb, schedules=settings.schedules_table, history=settings.history_table, jobs=settings.jobs_table
        )

    @cached_property
    def watch(self) -> DynamoWatch:
        from universal_scheduler.adapters.dynamodb.watch import DynamoWatch

        return DynamoWatch(self.dynamodb, history=self.settings.history_table, jobs=self.settings.jobs_table)

    @cached_property
    def job_log(self) -> DynamoJobLog:
        return DynamoJobLog(self.dynamodb, table=self.settings.job_events_table, keep_days=self.settings.job_event_days)

    def calendars(self, names: Iterable[str]) -> dict[str, Calendar]:
        """The calendars with these names, by name. Those that there are not, or whose row is wrong, are left out."""
        from universal_scheduler.domain.documents.calendars import calendars_of

        return calendars_of(self.store.get_calendars(names))

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        return self._session.client("dynamodb", endpoint_url=self._endpoint, config=self._signed(QUICK))

    @cached_property
    def platform(self) -> BatchPlatform:
        return BatchPlatform(
            self.batch,
            submitter=self._session.client("batch", endpoint_url=self._endpoint, config=self._signed(ONCE)),
            queues=self.settings.job_queues,
            definitions=self.settings.job_definitions,
        )

    @cached_property
    def batch(self) -> BatchClient:
        """The client for all calls except SubmitJob. These calls may be repeated."""
        return self._session.client("batch", endpoint_url=self._endpoint, config=self._signed(QUICK))

    @cached_property
    def batch_names(self) -> BatchNames:
        from universal_scheduler.adapters.batch_names import BatchNames

        return BatchNames(self.batch)

    @cached_property
    def workflow(self) -> StepFunctionsWorkflow:
        return StepFunctionsWorkflow(self.stepfunctions, state_machine_arn=self.settings.state_machine_arn)

    @cached_property
    def stepfunctions(self) -> SFNClient:
        return self._session.client("stepfunctions", endpoint_url=self._endpoint, config=QUICK)

    @cached_property
    def job_events(self) -> MessageQueue:
        client = self._session.client("sqs", endpoint_url=self._endpoint, config=QUICK)
        return MessageQueue(client, self.settings.job_events_queue_url)

    @cached_property
    def time_entries(self) -> EventBridgeTimeEntries:
        from universal_scheduler.adapters.scheduler import EventBridgeTimeEntries

        return EventBridgeTimeEntries(
            cache(partial(self._client, "scheduler")),
            group=self.settings.schedule_group,
            queue=self.settings.due_queue_arn,
            dead_letters=self.settings.due_dead_letters_arn,
            role=self.settings.due_role_arn,
        )

    @cached_property
    def outbox(self) -> SqsOutbox:
        from universal_scheduler.adapters.outbox import SqsOutbox

        return SqsOutbox(
            cache(partial(self._client, "sqs")),
            queue=self.settings.notifications_queue_url,
            dead_letters=self.settings.notifications_dead_letters_url,
        )

    @cached_property
    def notifier(self) -> ServiceNotifier:
        from universal_scheduler.adapters.notifier import ServiceNotifier

        clients = cache(self._client)
        return ServiceNotifier(clients, seconds=self.settings.notify_timeout, loopback=bool(self.local_api))

    @cached_property
    def log_tails(self) -> CloudWatchLogTails:
        from universal_scheduler.adapters.log_tails import CloudWatchLogTails

        return CloudWatchLogTails(self.platform, self.logs)

    @cached_property
    def objects(self) -> S3Objects:
        return S3Objects(self._client("s3"), bucket=self.settings.outputs_bucket)

    @property
    def local_api(self) -> str:
        """The base URL of the REST API on the embedded engine, which needs no signature; empty on AWS."""
        endpoint = self._endpoint or self.settings.endpoint
        return f"{endpoint}/api/v1" if endpoint.startswith("http://127.0.0.1:") else ""

    def _signed(self, config: Config) -> Config:
        """The configuration, without signatures on the embedded engine: a quarter of what a request costs there."""
        unsigned = self.local_api and not self.settings.engine_auth
        return config.merge(Config(signature_version=UNSIGNED)) if unsigned else config

    def _client(self, service: str, region: str = "") -> Any:
        client: Any = self._session.client
        return client(service, region_name=region or None, endpoint_url=self._endpoint, config=QUICK)

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        return self._session.client("logs", endpoint_url=self._endpoint, config=QUICK)


def _session() -> boto3.Session:
    core = botocore.session.get_session()
    read_plainly(core)
    return boto3.Session(botocore_session=core)


def from_env() -> Wiring:
    """The wiring of a Lambda function, from its environment."""
    return Wiring(from_environment())
