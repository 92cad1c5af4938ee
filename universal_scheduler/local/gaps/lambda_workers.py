"""Gap: a Lambda's exception loses its class and kills its worker, every call waits for log lines, cold starts are slow.

Replaces ministack's Python workers by forks of one process that has the usual imports done (lambda_zygote.py).
ministack still decides which function has how many workers, and for how long.
"""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from universal_scheduler.local.gaps import require_ministack

Json = dict[str, Any]

ONLY_OURS = (
    "This engine was started with --run-as. It runs Python functions without layers and SnapStart as that user. Others "
    "it could run as its own user only, so it does not run them."
)
_INIT_SECONDS = 10  # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html


class Zygote:
    """The process that workers are forked from; it ends when this one does. If it is killed, another one follows.

    ``user`` has the ids of the user, the group and the other groups that functions run as, if not as this process.
    """

    def __init__(self, environment: Json, user: tuple[int, int, Sequence[int]] | None = None) -> None:
        self.runs_as_other = user is not None
        self._ids = () if user is None else (user[0], user[1], *user[2])
        self._environment = {
            **environment,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    str(Path(__file__).with_name("lambda_zygote.py")),
                    *map(str, [theirs.fileno(), *self._ids]),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self._environment,
            )

    def fork(self, log: int) -> socket.socket:
        """A new worker's channel; its output goes to the file ``log``."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._control, [b"f"], [theirs.fileno(), log])
            except OSError:
                self.close()
                self._start()
                socket.send_fds(self._control, [b"f"], [theirs.fileno(), log])
        return ours

    def close(self) -> None:
        self._control.close()
        self.process.wait()


class _Process:
    """A forked worker, with the methods of Popen that ministack's pool calls."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self.channel = channel
        self._pid = pid

    def poll(self) -> int | None:
        self.channel.settimeout(0)  # with a time-out, Python itself waits for data before it calls recv
        try:
            return None if self.channel.recv(1, socket.MSG_PEEK) else 0
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def kill(self) -> None:
        if self.poll() is None:
            os.killpg(self._pid, signal.SIGKILL)

    terminate = kill

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002 - Popen's signature; the kernel reaps
        return 0


class Worker:
    """Stands in for ``ministack.core.lambda_runtime.Worker``: one execution environment of one function."""

    def __init__(self, runtime: "Runtime", name: str, config: Json, code_zip: bytes) -> None:
        self._runtime = runtime
        self.func_name, self.config, self.code_zip = name, config, code_zip
        self.in_use, self.last_used = False, time.time()
        self._lock = threading.Lock()
        self._cold = True
        self._proc: _Process | None = None
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the worker

    def invoke(self, event: Any, request_id: str, **values: Any) -> Json:
        """Run one invocation; the answer as ministack's executors give it: body, error, log."""
        with self._lock:
            try:
                answer = self._call(event, request_id, **values)
            except TimeoutError:
                self._end()
                seconds = f"{float(self.config.get('Timeout', 3)):.2f}"
                answer = _error(
                    "Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {seconds} seconds"
                )
            except (OSError, EOFError):
                self._end()
                answer = _error(
                    "Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited without providing a reason"
                )
            log = self._take_log()
        self._runtime.observe(log)
        if "error" in answer:
            extra = "" if "stackTrace" in answer["error"] else answer["error"]["errorMessage"]
            return {"body": answer["error"], "error": True, "log": "\n".join(filter(None, [log, extra]))}
        return {"body": json.loads(answer["result"]), "log": log}

    def _call(self, event: Any, request_id: str, **values: Any) -> Json:
        if self._proc is None or self._proc.poll() is not None:
            self._spawn()
        assert self._proc is not None
        timeout = float(self.config.get("Timeout", 3))
        call = {
            "event": event,
            "environment": {"_X_AMZN_TRACE_ID": values.get("trace_id")},
            "context": {
                "aws_request_id": request_id,
                "invoked_function_arn": values.get("invoked_function_arn") or self.config.get("FunctionArn", ""),
                "function_name": self.func_name,
                "function_version": self.config.get("Version", "$LATEST"),
                "memory_limit_in_mb": str(self.config.get("MemorySize", 128)),
                "log_group_name": _log_group(self.config),
                "log_stream_name": self._stream,
                "identity": None,
                "client_context": None,
                "deadline": time.time() + timeout,
            },
        }
        self._proc.channel.settimeout(timeout)
        self._proc.channel.sendall(json.dumps(call).encode() + b"\n")
        return _receive(self._proc.channel, timeout)

    def _spawn(self) -> None:
        self._end()
        self._stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid.uuid4().hex}"
        channel = self._runtime.zygote.fork(self._log.fileno())
        code = self._runtime.unpack(self.code_zip)
        init = {
            "code": str(code),
            "handler": self.config.get("Handler", ""),
            "environment": self._runtime.environment(self.config, code, self._stream),
        }
        try:
            channel.sendall(json.dumps(init).encode() + b"\n")
            self._proc = _Process(channel, _receive(channel, max(_INIT_SECONDS, self.config.get("Timeout", 3)))["pid"])
        except BaseException:
            channel.close()
            raise

    def _take_log(self) -> str:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        self._log.seek(0)  # the worker writes where this process has its place in the file
        self._log.truncate()
        return text.rstrip("\n")

    def _end(self) -> None:
        process, self._proc = self._proc, None
        if process:
            process.kill()
            process.channel.close()

    kill = _end

    def _discard_tmpdir(self) -> None:
        """Nothing: the code's directory is shared, and the log's file goes with this object."""


class Runtime:
    """What every worker needs: the process to fork, the place of unpacked code, the environment of a function.

    `observe` is given what each call has printed.
    """

    def __init__(
        self,
        zygote: Zygote,
        directory: Path,
        endpoint: str,
        environment: Json,
        observe: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.zygote, self.observe = zygote, observe
        self._directory, self._endpoint, self._environment = directory, endpoint, environment
        self._lock = threading.Lock()
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self._unpacked: dict[bytes, Path] = {}

    def unpack(self, code_zip: bytes) -> Path:
        """The directory with a function's code, shared by all workers with the same zip."""
        with self._lock:
            if code_zip not in self._unpacked:
                path = self._directory / str(len(self._unpacked))
                with zipfile.ZipFile(io.BytesIO(code_zip)) as archive:
                    archive.extractall(path)
                self._unpacked[code_zip] = path
            return self._unpacked[code_zip]

    def environment(self, config: Json, code: Path, stream: str) -> dict[str, str]:
        """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
        from ministack.core import lambda_runtime

        _, region = lambda_runtime._account_region_from_function_config(config)
        return {
            **self._environment,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            **lambda_runtime.execution_credentials(config),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', '')}",
            "AWS_LAMBDA_FUNCTION_NAME": config.get("FunctionName", ""),
            "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
            "AWS_LAMBDA_LOG_GROUP_NAME": _log_group(config),
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": config.get("Handler", ""),
            **(config.get("Environment") or {}).get("Variables", {}),
        }


def apply(runtime: Runtime) -> None:
    """Make ministack run Python functions on ``runtime``; must run before the first invocation."""
    require_ministack("lambda_workers")
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    stock_class = lambda_runtime._worker_class_for
    stock_execute = lambda_svc._execute_function_warm

    def ours(config: Json) -> bool:
        special = config.get("Layers") or (config.get("SnapStart") or {}).get("OptimizationStatus") == "On"
        return str(config.get("Runtime", "")).startswith("python") and not special

    def worker_class_for(config: Json) -> Any:
        if not ours(config):
            return stock_class(config)
        return lambda name, config, code_zip: Worker(runtime, name, config, code_zip)

    def execute_function_warm(function: Json, event: Any, request_id: str) -> Json:
        config: Json = function.get("config") or function
        if not (function.get("code_zip") and ours(config)):
            result: Json = stock_execute(function, event, request_id)
            return result
        lambda_svc._ensure_reaper_thread()
        version = config.get("Version", "$LATEST")
        worker, _ = lambda_svc.acquire_worker(config["FunctionName"], config, function["code_zip"], qualifier=version)
        try:
            answer: Json = worker.invoke(
                event,
                request_id,
                trace_id=lambda_svc._xray_trace_id_for_invocation(config),
                invoked_function_arn=config.get("FunctionArn"),
            )
            return answer
        finally:
            lambda_svc.release_worker(worker)

    def only_ours(function: Json, config: Json, *call: Any) -> Json:
        if ours(config):
            answer: Json = stock_dispatch(function, config, *call)
            return answer
        return {"body": {"errorType": "InvalidRuntimeException", "errorMessage": ONLY_OURS}, "error": True}

    if runtime.zygote.runs_as_other:
        stock_dispatch = lambda_svc._execute_function_dispatch
        lambda_svc._execute_function_dispatch = only_ours
    lambda_runtime._worker_class_for = worker_class_for
    lambda_svc._execute_function_warm = execute_function_warm


def _receive(channel: socket.socket, seconds: float) -> Json:
    end = time.monotonic() + seconds
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        channel.settimeout(left)
        part = channel.recv(1 << 20)
        if not part:
            raise EOFError
        parts.append(part)
    answer: Json = json.loads(b"".join(parts))
    return answer


def _error(kind: str, message: str) -> Json:
    return {"error": {"errorType": kind, "errorMessage": message}}


def _log_group(config: Json) -> str:
    group: str = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName', '')}"
    return group
