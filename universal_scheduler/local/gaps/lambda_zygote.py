"""The Lambda runtime that functions run in: a process with the usual imports done, forked for each worker.

Run by path as a script (never imported), so that ``universal_scheduler`` in a function is the one from its own zip.
It reads from the control socket given as its argument: each byte brings a worker's socket and its log file. Further
arguments are the ids of the user, the group and the other groups that functions run as.
A worker then speaks lines of JSON: first what to load, then one line an invocation.
"""

import decimal
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

Json = dict[str, Any]

# What handlers import anyway; a client of each service is made once, so that botocore's models are parsed once.
_PRELOAD = ("boto3", "botocore.loaders", "aws_lambda_powertools", "jsonschema")
_SERVICES = ("batch", "dynamodb", "stepfunctions")
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (the runtime's own bound in bytes)
_LARGEST_RESPONSE = 6291556


class _Encoder(json.JSONEncoder):
    """As the Python runtime on AWS: decimals become numbers."""

    def default(self, o: object) -> object:
        return float(o) if isinstance(o, decimal.Decimal) else super().default(o)


class Context(SimpleNamespace):
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    deadline: float

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline - time.time()) * 1000))


def main(control: socket.socket, ids: list[int]) -> None:
    """Fork a worker whenever the engine asks for one; end with the engine."""
    _preload()
    if ids:
        os.setgroups(ids[2:])
        os.setgid(ids[1])
        os.setuid(ids[0])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers are reaped by the kernel
    while True:
        try:
            request, fds, _, _ = socket.recv_fds(control, 1, 2)
        except ConnectionError:
            return
        if not request:
            return
        channel, log = fds
        if os.fork() == 0:
            control.close()
            _worker(channel, log)
        os.close(channel)
        os.close(log)


def _preload() -> None:
    for name in _PRELOAD:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    try:
        import boto3
        from botocore.loaders import JSONFileLoader
    except ImportError:
        return
    load: Callable[[JSONFileLoader, str], Any] = JSONFileLoader.load_file
    files: dict[str, Any] = {}

    def load_once(self: JSONFileLoader, file_path: str) -> Any:
        if file_path not in files:
            files[file_path] = load(self, file_path)
        return files[file_path]

    JSONFileLoader.load_file = load_once  # type: ignore[method-assign]
    keys = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    for service in _SERVICES:
        boto3.Session().client(service, endpoint_url="http://127.0.0.1:1", **keys)  # type: ignore[call-overload]
    gc.collect()
    gc.freeze()  # the workers share these pages


def _worker(channel: int, log: int) -> NoReturn:
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        with socket.socket(fileno=channel) as connection, connection.makefile("rwb") as lines:
            _serve(lines)
    except BaseException:  # noqa: BLE001 - sys.exit in a handler comes here too; the engine sees the socket close
        traceback.print_exc()
    _flush()
    os._exit(0)


def _serve(lines: Any) -> None:
    init: Json = json.loads(lines.readline())
    os.environ.clear()
    os.environ.update(init["environment"])
    os.chdir(init["code"])
    handler, failure = _load(init["code"], init["handler"])
    _send(lines, {"pid": os.getpid()})
    while line := lines.readline():
        call: Json = json.loads(line)
        for name, value in call["environment"].items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if handler is None:
            _send(lines, {"error": failure})
            return
        _send(lines, _invoke(handler, call))


def _load(code: str, name: str) -> tuple[Callable[[Any, Any], Any] | None, Json | None]:
    """The function's handler, or why there is none.

    Names as in https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html
    """
    sys.path.insert(0, code)
    for imported in list(sys.modules):  # what the zip brings comes before what was imported here
        if os.path.exists(os.path.join(code, imported.partition(".")[0])):
            del sys.modules[imported]
    module_name, _, function = name.replace("/", ".").rpartition(".")
    if not module_name:
        message = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        return None, _error("Runtime.MalformedHandlerName", message)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        return None, _error("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}", error)
    except SyntaxError as error:
        return None, _error("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", error)
    except Exception as error:  # noqa: BLE001 - whatever the module raises is the function's answer
        return None, _error(type(error).__name__, str(error), error)
    handler = getattr(module, function, None)
    if handler is None:
        return None, _error("Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'")
    return handler, None


def _invoke(handler: Callable[[Any, Any], Any], call: Json) -> Json:
    try:
        result = handler(call["event"], Context(**call["context"]))
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is the function's answer
        return {"error": _error(type(error).__name__, str(error), error)}
    try:
        text = json.dumps(result, cls=_Encoder)
    except (TypeError, ValueError) as error:
        return {"error": _error("Runtime.MarshalError", f"Unable to marshal response: {error}", error)}
    if len(text) > _LARGEST_RESPONSE:
        message = f"Response payload size exceeded maximum allowed payload size ({_LARGEST_RESPONSE} bytes)."
        return {"error": _error("Function.ResponseSizeTooLarge", message)}
    return {"result": text}


def _error(kind: str, message: str, error: BaseException | None = None) -> Json:
    frames = traceback.extract_tb(error.__traceback__) if error else []
    stack = traceback.format_list([frame for frame in frames if frame.filename != __file__])
    print(
        f"[ERROR] {kind}: {message}",
        *(["Traceback (most recent call last):", "".join(stack)] if stack else []),
        sep="\n",
    )
    return {"errorMessage": message, "errorType": kind, "stackTrace": stack}


def _send(lines: Any, answer: Json) -> None:
    _flush()  # before the answer, so that the engine finds the whole log when it has the answer
    lines.write(json.dumps(answer).encode() + b"\n")
    lines.flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    with socket.socket(fileno=int(sys.argv[1])) as engine:
        main(engine, [int(argument) for argument in sys.argv[2:]])
