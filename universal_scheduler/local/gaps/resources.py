"""Gap: what users make beside the template is in memory: topics and subscriptions, rules, functions and their mappings,
roles, parameters, secrets, keys, alarms, stacks, APIs.

On a durable engine a call that may have made or changed such a thing is answered when all of them are in an SQLite
file, one row each, as ministack's services describe them themselves. What the template made is not there: it is made
anew at each start, and what users made is put beside it.
"""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs

from universal_scheduler.local.gaps import require_ministack
from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]
Place = tuple[str, str, str]
"""Service, store, and key of a thing."""

_CACHE_KILOBYTES = 500
_SCHEMA = """
CREATE TABLE resources (
    service TEXT NOT NULL, store TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (service, store, key)
) WITHOUT ROWID;
"""
_KEPT = {
    "acm": ("acm",),
    "apigateway": ("apigateway", "apigateway_v1"),
    "appconfig": ("appconfig",),
    "cloudcontrol": ("cloudcontrol",),
    "cloudformation": ("cloudformation",),
    "cognito-identity": ("cognito",),
    "cognito-idp": ("cognito",),
    "events": ("eventbridge",),
    "iam": ("iam",),
    "kms": ("kms",),
    "lambda": ("lambda",),
    "monitoring": ("cloudwatch",),
    "pipes": ("pipes",),
    "resource-groups": ("resource_groups",),
    "route53": ("route53",),
    "secretsmanager": ("secretsmanager",),
    "ses": ("ses", "ses_v2"),
    "sns": ("sns",),
    "ssm": ("ssm",),
    "tagging": (),
}
"""The services whose calls may change something, and the names of what they keep."""
_DATA = {
    ("cloudwatch", "metrics"),
    ("cloudwatch", "alarm_history"),
    ("lambda", "kinesis_positions"),
    ("lambda", "dynamodb_stream_positions"),
    ("pipes", "positions"),
    ("sns", "sms_messages"),
}
"""What is not made by a call: it would grow, or has a place of its own."""
_CHANGES_NOTHING = re.compile(
    r"(Get|List|Describe|BatchGet|Test|Validate|Simulate|Lookup|Search)\w*|"
    r"Publish|PublishBatch|PutEvents|PutMetricData|Send\w*Email|"
    r"Encrypt|Decrypt|ReEncrypt|Generate(DataKey\w*|Random|Mac)|Verify(Mac)?|Sign"
)
_INVOCATION = re.compile(r"/functions/[^/]+/(invocations|invoke-async|response-streaming-invocations)")
_WHOLE = ""
"""The key of a store that has no keys."""
_FOLLOW_SECONDS = 0.3
_FOLLOW_TURNS = 5
_TRIES = 20

_log = logging.getLogger("usched.engine")


class Resources:
    """The file, and what of the services' memory is in it."""

    def __init__(self, state: State, also: Sequence[Callable[[], None]]) -> None:
        self._file = File(state, "resources", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)
        self._also = also
        self._written: dict[Place, int] = {}
        self._templates: dict[Place, int] = {}
        self._unread: set[str] = set()
        self._deployed = False
        self._following: asyncio.Task[None] | None = None

    def restore(self) -> None:
        """Take what is there now for the template's, and put beside it what users made."""
        from ministack import app

        for place, value in self._in_memory():
            self._templates[place] = hash(_text(value)) if place[2] == _WHOLE else 0
        found: dict[str, dict[str, dict[str, Any]]] = {}
        with self._file:
            rows = self._file.read("SELECT service, store, key, value FROM resources").fetchall()
        for service, store, key, text in rows:
            self._written[service, store, key] = hash(text)
            if (service, store, key) not in self._templates or key == _WHOLE:
                found.setdefault(service, {}).setdefault(store, {})[key] = _read(text)
        for service, stores in found.items():
            module = app._get_module(app._state_map[service])
            try:
                module.load_persisted_state(_as_saved(module.get_state(), stores))
            except Exception:  # noqa: BLE001 - of whatever a service stumbles over
                # The engine starts all the same, and what is in the file stays there for a release that can read it.
                _log.exception("What users made in the service '%s' cannot be read.", service)
                self._unread.add(service)
        if "cloudformation" in found:
            _fail_unfinished_stacks()
        self._deployed = True

    def save(self) -> None:
        """Write what has changed since it was last written."""
        if not self._deployed:
            return
        for keep in self._also:
            keep()
        written: dict[Place, int] = {}
        changed: list[tuple[str, str, str, str]] = []
        for place, value in self._in_memory():
            if place in self._templates and place[2] != _WHOLE:
                continue
            text = _text(value)
            if text is None or self._templates.get(place) == hash(text):
                continue
            written[place] = hash(text)
            if self._written.get(place) != written[place]:
                changed.append((*place, text))
        loaded = {service for service, _ in self._modules()}
        gone = [place for place in self._written if place[0] in loaded - self._unread and place not in written]
        if not changed and not gone:
            return
        with self._file:
            for row in changed:
                self._file.write("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?)", row)
            for place in gone:
                self._file.write("DELETE FROM resources WHERE service = ? AND store = ? AND key = ?", place)
        for place in gone:
            del self._written[place]
        self._written |= written

    def follow(self) -> None:
        """What a call began, such as a stack, is written as it goes on."""
        if not self.follows():
            self._following = asyncio.get_running_loop().create_task(self._follow())

    def follows(self) -> bool:
        """Whether something may go on, so that even who only asks may see what is not written yet."""
        return self._following is not None and not self._following.done()

    async def _follow(self) -> None:
        turns = _FOLLOW_TURNS
        while turns:
            await asyncio.sleep(_FOLLOW_SECONDS)
            turns = _FOLLOW_TURNS if _unfinished_stacks() else turns - 1
            try:
                self.save()
            except sqlite3.Error as error:
                _log.error("What users made cannot be written: %s", error)  # the next call is refused

    def _in_memory(self) -> Iterator[tuple[Place, Any]]:
        for service, module in self._modules():
            for store, value in _state(module).items():
                if (service, store) in _DATA:
                    continue
                entries = getattr(value, "_data", None)
                if entries is None:
                    yield (service, store, _WHOLE), value
                    continue
                for key, entry in entries.items():
                    yield (service, store, repr(key)), entry

    @staticmethod
    def _modules() -> Iterator[tuple[str, Any]]:
        """The services that somebody has used: the others have nothing."""
        from ministack import app

        for service in sorted({name for names in _KEPT.values() for name in names}):
            module = sys.modules.get(f"ministack.services.{app._state_map[service]}")
            if module is not None:
                yield service, module


def _state(module: Any) -> Json:
    """How a service describes itself, while threads may go on making things."""
    for _ in range(_TRIES):
        try:
            state: Json = module.get_state()
            return state
        except RuntimeError as error:
            if "changed size during iteration" not in str(error):
                raise
    raise RuntimeError(f"{module.__name__} changes all the time")


def _as_saved(now: Json, stores: dict[str, dict[str, Any]]) -> Json:
    """What a service takes back: users' things alone, of each kind."""
    for store, value in now.items():
        entries = stores.get(store, {})
        if hasattr(value, "_data"):
            value._data = {ast.literal_eval(key): entry for key, entry in entries.items()}
        elif _WHOLE in entries:
            saved = entries[_WHOLE]
            now[store] = {**value, **saved} if isinstance(saved, dict) else saved
    return now


def _unfinished_stacks() -> list[Json]:
    formation = sys.modules.get("ministack.services.cloudformation")
    stacks = formation._stacks.all_values() if formation else ()
    return [stack for stack in stacks if str(stack.get("StackStatus", "")).endswith("_IN_PROGRESS")]


def _fail_unfinished_stacks() -> None:
    for stack in _unfinished_stacks():
        began = stack["StackStatus"].removesuffix("_IN_PROGRESS").removesuffix("_COMPLETE_CLEANUP")
        stack["StackStatus"] = f"{began}_FAILED"
        stack["StackStatusReason"] = "The engine ended while this went on."


def _text(value: Any) -> str | None:
    from ministack.core import persistence

    try:
        return json.dumps(value, default=persistence._json_default)
    except (TypeError, ValueError, RecursionError) as error:
        _log.warning("Something that a user made is not kept: %s", error)
        return None


def _read(text: str) -> Any:
    from ministack.core import persistence

    return json.loads(text, object_hook=persistence._json_object_hook)


def apply(state: State, also: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """Keep what users make in the file of a durable engine. `also` write what has files of its own.

    What it answers must be called when the template is deployed: it makes the things again that users made.
    """
    require_ministack("what users make is in memory only")
    if not state.durable:
        return lambda: None
    from ministack import app
    from ministack.services import lambda_svc

    # A function's code goes into its row, not to files beside.
    lambda_svc._externalize_code_zip = lambda_svc._internalize_code_zip = lambda *_: None
    lambda_svc._prune_orphan_code_blobs = lambda _: None
    resources = Resources(state, also)
    for service in _KEPT:
        app.SERVICE_HANDLERS[service] = _kept(resources, app.SERVICE_HANDLERS[service])
    return resources.restore


def _kept(resources: Resources, handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def kept(method: str, path: str, headers: Json, body: bytes, query: Json) -> Any:
        answer = await handle(method, path, headers, body, query)
        changes = answer[0] < 400 and _may_change(method, path, headers, body, query)
        if changes or resources.follows():
            try:
                resources.save()
            except sqlite3.Error as error:
                reason = f"What the call changed cannot be written ({error}). Look at the disk with the engine's state."
                content = json.dumps({"__type": "ServiceUnavailable", "message": reason}).encode()
                return 503, {"Content-Type": "application/x-amz-json-1.0"}, content
        if changes:
            resources.follow()
        return answer

    return kept


def _may_change(method: str, path: str, headers: Json, body: bytes, query: Json) -> bool:
    """Whether a call may have made, changed or removed something: too often is only slow."""
    if target := headers.get("x-amz-target"):
        action = target.rpartition(".")[2]
    elif asked := query.get("Action"):
        action = asked[0] if isinstance(asked, list) else asked
    elif "x-www-form-urlencoded" in headers.get("content-type", ""):
        action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
    elif "/operation/" in path:  # https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
        action = path.rpartition("/")[2]
    else:
        return method not in ("GET", "HEAD", "OPTIONS") and not _INVOCATION.search(path)
    return not _CHANGES_NOTHING.fullmatch(action)
