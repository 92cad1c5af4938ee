"""The embedded engine's process: ministack with its gaps closed, our Batch and our REST API, on one port of 127.0.0.1.

    python -m universal_scheduler.local.server --port 4566 --state-dir DIR

It deploys the template, then writes engine.json; SIGTERM ends it with all that it started, SIGUSR1 without its jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import uvloop

from universal_scheduler.local import inprocess, package, processes, sfn_local
from universal_scheduler.local.auth import ANY, CREDENTIALS, Door, Keys, make_keys
from universal_scheduler.local.batch import Batch, BatchApi, ProcessRunner, owns
from universal_scheduler.local.engine import HOST, INFO, PORT, Engine, default_vcpus
from universal_scheduler.local.gaps import batch as batch_gap
from universal_scheduler.local.gaps import dynamodb as dynamodb_gap
from universal_scheduler.local.gaps import (
    dynamodb_storage,
    execution_storage,
    held_mappings,
    invocations,
    lambda_workers,
    logs_storage,
    object_storage,
    queue_mappings,
    queue_storage,
    resources,
    rest_api,
    scheduler,
    step_functions,
    stream_mappings,
)
from universal_scheduler.local.gateway import RestApi
from universal_scheduler.local.job_environment import job_path
from universal_scheduler.local.processes import MARK
from universal_scheduler.local.run_as import User, find_user, own_directory, show_only_to
from universal_scheduler.local.service import backup, metrics, notify, settings, sources
from universal_scheduler.local.service.backup import STATE
from universal_scheduler.local.service.health import Health
from universal_scheduler.local.service.retention import Sweeper
from universal_scheduler.local.service.room import Room, is_new_work, puts_items, refused
from universal_scheduler.local.service.routes import Service
from universal_scheduler.local.sfn_local import ENDPOINT_VARIABLE, SfnLocal
from universal_scheduler.local.state import Safety, State

if TYPE_CHECKING:
    from universal_scheduler.local import deploy

ACCOUNT = "123456789012"
REGION = "us-east-1"
SYNC_SECONDS = 1.0
"""How often what was written goes to the disk, unless each write waits for it."""
CALLS_PATH = "/_usched/calls"
"""Answers how often each was called, by path or target: {"/v1/submitjob": 5, "DynamoDB_20120810.Query": 9}."""
CORS, OF_S3 = b"access-control-", (b"x-amz-id-2", b"x-amz-request-id")
"""What only a browser reads of an answer, and what only S3 answers on AWS."""
DYNAMODB, SIGNED_OR_BROWSERS = b"DynamoDB_20120810.", frozenset({b"authorization", b"origin"})
"""Requests of our functions to DynamoDB are not signed: what ministack finds out of others' before it comes to the
service, it need not find out of these."""
DEPLOYS = b"usched-deploy"
"""In the user agent of the engine's own deployment."""

GO_ON = ("/usched-job-events", "/usched-notifications")
"""The queues whose messages are delivered also where the disk gets full: runs that there are need them to end."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("usched.engine")


def main() -> None:
    arguments = _arguments()
    listener = _listener(arguments)
    kept = [os.dup(listener.fileno()), *([] if arguments.lock is None else [arguments.lock])]
    for descriptor in kept:
        os.set_inheritable(descriptor, False)
    home = arguments.state_dir.absolute()
    home.mkdir(parents=True, exist_ok=True)
    keys = make_keys(home / CREDENTIALS) if arguments.auth else None
    _set_up_environment(listener.getsockname()[1], home, keys or ANY)
    try:
        parameters = {
            "MaxVcpus": str(arguments.vcpus),
            "SubmitRate": "0",
            "JobEvents": "DISABLED" if arguments.no_events else "ENABLED",
            "JobEventBatch": "100",
            **settings.read(home).parameters(),
        }
        state = State(home / STATE, Safety(arguments.safety))
        user = find_user(arguments.run_as)
        if user:
            os.umask(0o022)  # functions read their code; what is not for the user is closed by its directory
        server = _Server(listener, home, state, parameters, arguments.ready, user, keys)
        uvloop.run(server.run(bare=arguments.bare))
    except Exception as error:  # noqa: BLE001 - the process that waits for us must hear it, whatever it is
        _log.exception("the engine did not start")
        _report(arguments.ready, {"error": str(error) or repr(error)})
        code = 1
    else:
        code = 0
        if server.starts_again:
            _start_again(kept)
    logging.shutdown()
    os._exit(code)  # ministack's threads know no end, and must not hold up ours


def _start_again(descriptors: list[int]) -> NoReturn:
    """With what a restore has brought, in this process and on the same port: whoever connects meanwhile waits."""
    home = Path(os.environ[MARK])
    processes.sweep(home)
    backup.adopt(home)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    given = [*sys.argv[1:], "--listener", str(descriptors[0]), "--ready", "-1"]
    os.execv(sys.executable, [sys.executable, "-m", "universal_scheduler.local.server", *given])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run an embedded engine.")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--vcpus", type=int, default=default_vcpus())
    parser.add_argument("--safety", choices=list(Safety), default=Safety.EPHEMERAL)
    parser.add_argument("--bare", action="store_true", help="deploy nothing")
    parser.add_argument("--no-events", action="store_true", help="deploy it deaf to job state changes")
    parser.add_argument("--run-as", help="the user that jobs and functions run as")
    parser.add_argument("--auth", action="store_true", help="take only requests with the engine's keys")
    parser.add_argument("--listener", type=int, help="the descriptor of a listening socket, instead of --port")
    parser.add_argument("--lock", type=int, help="the descriptor of the state directory's lock, to hold on to")
    parser.add_argument("--ready", type=int, help="a descriptor to write one line of JSON to when ready")
    return parser.parse_args()


def _listener(arguments: argparse.Namespace) -> socket.socket:
    if arguments.listener is not None:
        return socket.socket(fileno=arguments.listener)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, arguments.port))
    listener.listen(1024)
    return listener


def _set_up_environment(port: int, home: Path, keys: Keys) -> None:
    """ministack reads its settings when it is imported; what this user has set for other purposes must not reach it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "SERVICES", "USE_SSL", "DOCKER_NETWORK"):
        os.environ.pop(name, None)
    os.environ |= {
        MARK: str(home),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": HOST,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        **keys.environment,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PERSIST_STATE": "0",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_WARM_TTL_SECONDS": "30",  # a burst's workers go soon; the first of each function stays
        "S3_DATA_DIR": str(home / "s3"),
        "STATE_DIR": str(home / "ministack"),
        "LOG_LEVEL": os.environ.get("USCHED_LOG_LEVEL", "WARNING"),
    }


class App:
    """The engine's ASGI application: Batch, deployed stages of REST APIs and what the engine tells of itself are ours,
    all else is ministack's."""

    def __init__(
        self,
        ministack: Asgi,
        stages: rest_api.Stages,
        batch: BatchApi,
        service: Service,
        calls: Counter[str],
        door: Door | None,
        health: Health,
        room: Room,
    ) -> None:
        self._ministack, self._stages, self._batch, self._service = ministack, stages, batch, service
        self._calls, self._door, self._health, self._room = calls, door, health, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._ministack(scope, receive, send)
        if self._door:
            refusal, receive = await self._door.enter(scope, receive)
            if refusal:
                return await _send(send, 403, [("content-type", refusal.content_type)], refusal.body)
        path, query = scope["raw_path"].decode(), scope["query_string"].decode()
        if not self._health.ready and not self._serves_already(scope, path):
            await _body(receive)  # else it would be taken for the next request
            return await _send(send, 503, *_starting(dict(scope["headers"])))
        if path == CALLS_PATH:
            return await _send(send, 200, [("content-type", "application/json")], json.dumps(self._calls).encode())
        if reason := self._room.short():
            headers = dict(scope["headers"])
            if is_new_work(scope["method"], path, query, headers):
                body = await _body(receive)
                if puts_items(headers, body):
                    status, fields, content = refused(path, headers, reason)
                    return await _send(send, status, fields.items(), content)
                receive = _again(body)
        if api := self._stages.get(path.split("/", 2)[1]):
            named = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
            client = (scope.get("client") or (HOST,))[0]
            answer = await api.handle(scope["method"], path, named, query, await _body(receive), client)
            return await _send(send, answer.status, answer.headers, answer.body)
        if owns(scope["method"], path):
            self._calls[path] += 1
            target = f"{path}?{query}" if query else path
            status, answered, content = await self._batch.handle(scope["method"], target, {}, await _body(receive))
            return await _send(send, status, answered.items(), content)
        headers = dict(scope["headers"])
        if self._service.owns(scope["method"], path, headers):
            return await self._service.handle(scope, receive, send)
        if operation := headers.get(b"x-amz-target"):
            self._calls[operation.decode("latin-1")] += 1
            if path == "/" and operation.startswith(DYNAMODB) and SIGNED_OR_BROWSERS.isdisjoint(headers):
                named = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
                status, fields, content = await inprocess.call_dynamodb(dict(named), await _body(receive))
                return await _send(send, status, fields.items(), content)
        unread = () if b"origin" in headers else (CORS, *OF_S3) if operation else (CORS,)
        return await self._ministack(scope, receive, _without(unread, send) if unread else send)

    def _serves_already(self, scope: Scope, path: str) -> bool:
        """Jobs that have outlived an engine may call while the next one deploys the template."""
        headers = dict(scope["headers"])
        return self._service.owns(scope["method"], path, headers) or DEPLOYS in headers.get(b"user-agent", b"")


def _starting(headers: Mapping[bytes, bytes]) -> tuple[list[tuple[str, str]], bytes]:
    """AWS's clients try again: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html

    Those that wait for XML take no JSON, but they do take an answer without a body.
    """
    fields = [("retry-after", "1"), ("content-type", "application/json")]
    if b"authorization" in headers and b"x-amz-target" not in headers:
        return fields[:1], b""
    return fields, b'{"__type": "ServiceUnavailable", "message": "The engine is starting. Try again in a second."}'


def _without(unread: tuple[bytes, ...], send: Send) -> Send:
    """Leaves out headers that begin so and that nobody reads: whoever called has to go through all of an answer's."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [pair for pair in message["headers"] if not pair[0].lower().startswith(unread)]
        await send(message)

    return sent


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes) -> Receive:
    """A body that was read already."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _send(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    pairs = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


class _Server:
    def __init__(
        self,
        listener: socket.socket,
        home: Path,
        state: State,
        parameters: dict[str, str],
        ready: int | None,
        user: User | None,
        keys: Keys | None,
    ) -> None:
        self._listener, self._home, self._state, self._parameters, self._ready = (
            listener,
            home,
            state,
            parameters,
            ready,
        )
        self._user, self._keys = user, keys
        self._port: int = listener.getsockname()[1]
        self._endpoint = f"http://{HOST}:{self._port}"
        self._room = Room(home, state.shrink)
        self._health = Health(home, state.safety, [self._room.problem])
        self._product, self._jobs, self._calls = metrics.ProductMetrics(), sources.Jobs(), Counter[str]()
        self._retention = settings.read(home)
        self._stop = asyncio.Event()
        self.starts_again, self._keeps_jobs = False, False
        elsewhere = os.environ.get(ENDPOINT_VARIABLE)
        self._sfn_local = SfnLocal(elsewhere) if elsewhere else None

    async def run(self, *, bare: bool) -> None:
        """Serve until a signal. Raises what kept the engine from starting."""
        stop = self._stop
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        common = {"PATH": os.environ.get("PATH", os.defpath), MARK: str(self._home)}
        ids = self._user.ids if self._user else None
        zygote = lambda_workers.Zygote(common, ids)  # first: it makes itself ready while this process imports ministack
        service = self._batch(common)
        batch = BatchApi(service)
        try:
            code = self._home / "lambda"
            of_functions = common | ({"ENGINE_AUTH": "ENABLED"} if self._keys else {})
            runtime = lambda_workers.Runtime(zygote, code, self._endpoint, of_functions, self._product.read_log)
            if self._keys:  # before there is any code
                show_only_to(code, self._user)
            routes = Service(self._home, self._state, self._health, lambda: self._metrics(service), self._start_again)
            app = self._app(batch, runtime, routes)
            self._live_attempts = service.live_tasks
            await batch.start()
            serving = asyncio.create_task(self._serve(app, stop))
            try:
                await asyncio.to_thread(self._deploy, bare=bare)
            finally:
                if serving.done():
                    serving.result()
            await serving
        finally:
            stop.set()
            if not self.starts_again:
                notify.send("STOPPING=1")
            (self._home / INFO).unlink(missing_ok=True)
            await batch.close(keep_jobs=self._keeps_jobs)
            zygote.close()

    def _end(self, number: signal.Signals) -> None:
        self._keeps_jobs = number == signal.SIGUSR1 and self._state.durable
        self._stop.set()

    def _start_again(self) -> None:
        self.starts_again = True
        self._stop.set()

    def _metrics(self, batch: Batch) -> str:
        files = sorted((self._home / STATE).glob("*.sqlite"))
        return metrics.text(
            [
                *metrics.engine_families(self._home, self._state.safety, self._health.started, files),
                *sources.requests(self._calls),
                *sources.queues(),
                *sources.executions(),
                *self._jobs.families(batch),
                *self._product.families(),
            ]
        )

    def _batch(self, common: dict[str, str]) -> Batch:
        data = self._home / "data"
        own_directory(data, self._user)
        environment = {
            **common,
            "PATH": job_path(common["PATH"]),
            **(self._user.environment if self._user else {"HOME": os.environ.get("HOME", "/")}),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "AWS_ENDPOINT_URL": self._endpoint,
            **(self._keys or ANY).environment,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
            "USCHED_DATA": str(data),
        }

        def publish(job_id: str, status: str, make_detail: Callable[[], dict[str, Any]]) -> None:
            self._jobs.count(status)
            inprocess.publish_job_state(job_id, status, make_detail)

        return Batch(
            region=REGION,
            account=ACCOUNT,
            state_dir=self._home,
            base_env=environment,
            log_sink=inprocess.CloudWatchLogs(),
            runner=ProcessRunner(
                common, self._user.ids if self._user else None, self._home if self._state.durable else None
            ),
            state=self._state,
            listener=publish,
            on_blocked=inprocess.publish_queue_blocked,
            hindrance=self._room.short,
        )

    def _app(self, batch: BatchApi, runtime: lambda_workers.Runtime, service: Service) -> App:
        import ministack.app

        ministack.app._docker_socket_present = lambda: False  # the user's containers are none of its business
        stages = rest_api.Stages(
            lambda stage, body: RestApi(
                body,
                stage=stage,
                account=ACCOUNT,
                region=REGION,
                call_aws=inprocess.call_aws,
                invoke_lambda=inprocess.invoke_lambda,
            )
        )
        batch_gap.apply(batch)
        dynamodb = dynamodb_storage.apply(self._state)
        dynamodb_storage.apply_to_stacks(dynamodb)
        dynamodb_gap.apply(dynamodb)
        self._dynamodb = dynamodb
        lambda_workers.apply(runtime)
        logs_storage.apply(self._state, most_length=self._retention.log_megabytes << 20 or None)
        queue_mappings.apply(lambda url: bool(self._room.short()) and not url.endswith(GO_ON))
        restore_queues, define_queues = queue_storage.apply(self._state)
        restore_buckets, define_buckets, send_notifications = object_storage.apply(self._state)
        self._executions = execution_storage.apply(self._state)
        restore_resources = resources.apply(self._state, (define_queues, define_buckets, self._executions.define))
        go_on = invocations.apply(self._state)
        self._restore = (restore_queues, restore_resources, restore_buckets)
        self._begin = (send_notifications, go_on, held_mappings.apply(), batch.resume_from_thread)
        rest_api.apply(stages)
        self._firing = scheduler.apply(self._state, held=lambda: bool(self._room.short()))
        step_functions.apply()
        stream_mappings.apply(dynamodb.positions, held=lambda: bool(self._room.short()))
        if self._sfn_local:
            sfn_local.apply(self._sfn_local)
        door = Door(self._keys, self._home / CREDENTIALS) if self._keys else None
        return App(ministack.app.app, stages, batch, service, self._calls, door, self._health, self._room)

    async def _serve(self, app: App, stop: asyncio.Event) -> None:
        import uvicorn

        from universal_scheduler.local.http import OnePiece

        class HttpServer(uvicorn.Server):
            """Leaves the signals to the engine, which has more to end than this."""

            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        config = uvicorn.Config(
            app,
            http=OnePiece,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        server = HttpServer(config)

        async def end() -> None:
            await stop.wait()
            self._executions.close()
            server.should_exit = True

        ending = asyncio.create_task(end())
        try:
            await server.serve(sockets=[self._listener])
        finally:
            ending.cancel()

    def _deploy(self, *, bare: bool) -> None:
        from universal_scheduler.local import deploy

        outputs: dict[str, str] = {}
        if not bare:
            zip_path = package.build(self._home / "lambda.zip")
            target = deploy.Target(self._endpoint, REGION, self._keys or ANY)
            outputs = deploy.deploy(target, self._parameters, zip_path=zip_path)
            if self._sfn_local:
                machine = target.client("stepfunctions").describe_state_machine(
                    stateMachineArn=outputs["StateMachineArn"]
                )
                self._sfn_local.take(machine["stateMachineArn"], machine["definition"], machine["roleArn"])
        for restore in self._restore:
            restore()
        self._health.ready = True
        for begin in self._begin:
            begin()
        self._executions.resume()
        self._firing.start()
        engine = self._engine(outputs)
        unfinished = self._home / f"{INFO}.part"
        unfinished.write_text(json.dumps(engine.to_json(), indent=2) + "\n")
        unfinished.replace(self._home / INFO)
        if self._state.safety is Safety.PROCESS:
            threading.Thread(target=self._sync, daemon=True, name="usched-sync").start()
        if self._state.durable and not bare:
            self._begin_sweeps(deploy.Target(self._endpoint, REGION, self._keys or ANY))
        self._health.watch_loops()
        notify.send("READY=1", f"STATUS=Serving at {self._endpoint}")
        _report(self._ready, {"engine": engine.to_json()})

    def _sync(self) -> None:
        while True:
            time.sleep(SYNC_SECONDS)
            try:
                self._state.sync()
            except OSError:
                _log.exception("the disk does not take what was written")

    def _begin_sweeps(self, target: deploy.Target) -> None:
        from universal_scheduler.adapters.dynamodb.retention import DynamoRetention

        kept_days = self._retention.event_days
        sweeper = Sweeper(
            self._home,
            self._retention,
            runs=DynamoRetention(
                target.client("dynamodb"),
                schedules="BatchSchedules",
                history="BatchScheduleHistory",
                jobs="BatchScheduleJobs",
            ),
            # An event's time is up so many days after it: by then, those of fewer days will be, too.
            forget_events=lambda days: self._dynamodb.reap(time.time() + (kept_days - days) * 86400, "BatchJobEvents"),
            used_bytes=lambda: self._state.used_bytes("dynamodb"),
            live_attempts=self._live_attempts,
            s3=target.client("s3"),
        )
        threading.Thread(target=sweeper.run, daemon=True, name="usched-retention").start()

    def _engine(self, outputs: dict[str, str]) -> Engine:
        def named(*keys: str) -> dict[str, str]:
            arns = [outputs[key] for key in keys if key in outputs]
            return {arn.rpartition("/")[2].partition(":")[0]: arn for arn in arns}

        return Engine(
            endpoint=self._endpoint,
            api=f"{self._endpoint}/api/v1",
            state_machine_arn=outputs.get("StateMachineArn", ""),
            tables=named(
                "SchedulesTableArn", "HistoryTableArn", "JobsTableArn", "JobEventsTableArn", "CalendarsTableArn"
            ),
            queues=named("HighQueueArn", "DefaultQueueArn", "LowQueueArn"),
            job_definitions=named("ShellJobDefinitionArn"),
            pid=os.getpid(),
            port=self._port,
            state_dir=self._home,
            safety=self._state.safety,
            run_as=self._user.name if self._user else None,
            credentials=self._home / CREDENTIALS if self._keys else None,
        )


def _report(descriptor: int | None, news: dict[str, Any]) -> None:
    if descriptor is not None:
        with suppress(OSError):  # whoever waited may have gone, or has heard before
            os.write(descriptor, json.dumps(news).encode() + b"\n")
            os.close(descriptor)


if __name__ == "__main__":
    main()
