"""Gap: what waits for a function is in memory. EventBridge and SNS invoke a function once, whatever becomes of it; an
event that a queue could not take is lost without a word; every event of a bus stays in memory.

All of them invoke asynchronously, with retries and a destination for failures, as Lambda says. On a durable engine an
invocation that was taken is in an SQLite file until it is done.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import collections
import contextvars
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from universal_scheduler.local.gaps import edit, require_ministack
from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]

_CACHE_KILOBYTES = 500
_RETRIES, _OLDEST_SECONDS = 2, 21600
_SCHEMA = """
CREATE TABLE invocations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, region TEXT NOT NULL, function TEXT NOT NULL,
    event TEXT NOT NULL, began REAL NOT NULL, failures INTEGER NOT NULL
);
"""


@dataclass
class Invocation:
    """An event that a function has not handled yet."""

    number: int
    account: str
    region: str
    function: str
    event: str
    began: float
    failures: int


class Invocations:
    """The file, and the threads in which functions handle what is in it."""

    def __init__(self, state: State, lambda_svc: Any) -> None:
        self._file = File(state, "invocations", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)
        self._lambda = lambda_svc

    def take(self, function: Json, event: Json) -> None:
        """Instead of ministack's `invoke_async_with_retry`: what it has taken is in the file when it returns."""
        config = function.get("config") or function
        account, region = self._lambda._account_region_from_function_config(config)
        values = (account, region, _reference(config), json.dumps(event), time.time(), 0)
        with self._file:
            number = self._file.write(
                "INSERT INTO invocations (account, region, function, event, began, failures) VALUES (?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
        self._start(Invocation(number or 0, *values))

    def restore(self) -> None:
        """Go on with what an earlier engine had taken."""
        with self._file:
            rows = self._file.read("SELECT * FROM invocations ORDER BY id").fetchall()
        for row in rows:
            self._start(Invocation(*row))

    def _start(self, invocation: Invocation) -> None:
        def run() -> None:
            self._lambda._request_account_id.set(invocation.account)
            self._lambda._request_region.set(invocation.region)
            self._handle(invocation)

        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()

    def _handle(self, invocation: Invocation) -> None:
        found, config, name = self._lambda._get_func_record_for_ref(invocation.function)
        if found and config:
            function = self._lambda._execution_record_for_config(found, config)
            result = self._tried(invocation, function)
            target = _on_failure(function, config)
            if result is not None and target:
                self._lambda._route_async_failure(target, name, json.loads(invocation.event), result)
        with self._file:
            self._file.write("DELETE FROM invocations WHERE id = ?", (invocation.number,))

    def _tried(self, invocation: Invocation, function: Json) -> Json | None:
        """None if the function has handled it, else its last answer. An attempt that is cut off is none."""
        settings = _settings(function)
        retries = settings.get("MaximumRetryAttempts")
        retries = _RETRIES if retries is None else int(retries)
        last = invocation.began + int(settings.get("MaximumEventAgeInSeconds") or _OLDEST_SECONDS)
        result: Json = {}
        while invocation.failures <= retries:
            delay = self._delay(invocation.failures)
            if time.time() + delay > last:
                break
            time.sleep(delay)
            result = self._lambda._execute_function(function, json.loads(invocation.event))
            if not result.get("error"):
                return None
            invocation.failures += 1
            with self._file:
                values = (invocation.failures, invocation.number)
                self._file.write("UPDATE invocations SET failures = ? WHERE id = ?", values)
        return result

    def _delay(self, failures: int) -> float:
        if not failures:
            return 0.0
        first, most = self._lambda._LAMBDA_ASYNC_RETRY_BASE_SECONDS, self._lambda._LAMBDA_ASYNC_RETRY_MAX_SECONDS
        return float(min(first * 2 ** (failures - 1), most))


def _reference(config: Json) -> str:
    arn, version = str(config["FunctionArn"]), config.get("Version") or "$LATEST"
    return arn if version == "$LATEST" or arn.endswith(f":{version}") else f"{arn}:{version}"


def _settings(function: Json) -> Json:
    settings: Json = function.get("event_invoke_config") or {}
    return settings or (function.get("event_invoke_configs") or {}).get("$LATEST") or {}


def _on_failure(function: Json, config: Json) -> str:
    destination = (_settings(function).get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination")
    return destination or (config.get("DeadLetterConfig") or {}).get("TargetArn") or ""


def apply(state: State) -> Callable[[], None]:
    """Change how functions are invoked asynchronously; must run before the first event.

    What it answers must be called when the template is deployed: it goes on with what waits.
    """
    require_ministack("asynchronous invocations")
    from ministack.services import eventbridge, lambda_svc, sns

    nothing: collections.deque[Json] = collections.deque(maxlen=0)
    eventbridge._events_log_list = lambda: nothing
    eventbridge._unwritable = _unwritable
    edit(
        eventbridge._invoke_target,
        (
            "    except Exception as e:\n        logger",
            "    except Exception as e:\n        if _unwritable(e): raise\n        logger",
        ),
    )
    edit(
        eventbridge._dispatch_to_lambda,
        (
            "threading.Thread(\n"
            "        target=lambda_svc._execute_function_with_config_scope, args=(exec_record, event), daemon=True\n"
            "    ).start()",
            "lambda_svc.invoke_async_with_retry(exec_record, event)",
        ),
    )
    edit(
        sns._deliver_to_lambda,
        (
            "_lambda_svc._execute_function_with_config_scope(exec_record, event)",
            "_lambda_svc.invoke_async_with_retry(exec_record, event)",
        ),
        ("    except Exception as exc:\n", "    except Exception as exc:\n        if _unwritable(exc): raise\n"),
    )
    sns._unwritable = _unwritable
    edit(
        sns._fanout,
        (
            "_threading.Thread(\n"
            "                target=_sns_ctx.run,\n"
            '                args=(_deliver_to_lambda, endpoint, envelope, topic_arn, sub["arn"], msg_id, '
            "effective_message, message_attributes or {}),\n"
            "                daemon=True,\n"
            "            ).start()",
            '_sns_ctx.run(_deliver_to_lambda, endpoint, envelope, topic_arn, sub["arn"], msg_id, effective_message, '
            "message_attributes or {})",
        ),
    )
    if not state.durable:
        return lambda: None
    invocations = Invocations(state, lambda_svc)
    lambda_svc.invoke_async_with_retry = invocations.take
    return invocations.restore


def _unwritable(error: Exception) -> bool:
    """Whether a queue or a function's file could not be written: who sent the event must hear of it."""
    return isinstance(error, sqlite3.Error) or getattr(error, "status", None) == 503
