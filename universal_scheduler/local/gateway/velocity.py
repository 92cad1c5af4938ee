"""Renders mapping templates: Velocity with API Gateway's `$input`, `$util`, `$context` and `$stageVariables`.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, cast
from urllib.parse import quote_plus, unquote_plus

from airspeed import Template, TemplateError, TemplateExecutionError, operators

from universal_scheduler.local.gateway import jsonbody

ESCAPES = {
    '"': '\\"',
    "'": "\\'",
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\n": "\\n",
    "\t": "\\t",
    "\f": "\\f",
    "\r": "\\r",
}
TO_ESCAPE = re.compile(r"""["'\\/\b\n\t\f\r]|[^ -~\b\n\t\f\r]+""")


class TemplateFailure(Exception):
    """A mapping template cannot be rendered: it is wrong, or the body is not as it expects."""


class PayloadNotJson(TemplateFailure):
    """A mapping template reads the JSON of a payload that is not JSON."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The request's parameters, for `$input.params()` and parameter mappings; values decoded, header names as sent."""

    path: Mapping[str, str]
    querystring: Mapping[str, str]
    header: Mapping[str, str]


class Input:
    """`$input`: a payload (of the request, or of the backend's answer) and the parameters of the request."""

    def __init__(self, body: str, parameters: Parameters) -> None:
        self.body = body
        self._parameters = parameters

    @cached_property
    def _document(self) -> Any:
        return jsonbody.parse(self.body) if self.body.strip() else {}

    def path(self, path: str) -> Any:
        return jsonbody.select(path, self._document)

    def json(self, path: str) -> str:
        found = self.path(path)
        return jsonbody.dump("" if found is None and path != "$" else found)

    def params(self, name: str | None = None) -> Any:
        places = (self._parameters.path, self._parameters.querystring, self._parameters.header)
        if name is None:
            return dict(zip(("path", "querystring", "header"), map(dict, places), strict=True))
        return next((place[name] for place in places if name in place), "")


class Util:
    """`$util`, with the method names that templates use."""

    def escapeJavaScript(self, text: Any) -> str:  # noqa: N802
        return TO_ESCAPE.sub(_escape, "" if text is None else operators.value_to_string(text))

    def parseJson(self, text: str) -> Any:  # noqa: N802
        return jsonbody.parse(text)

    def urlEncode(self, text: str) -> str:  # noqa: N802
        return quote_plus(text, safe="*-._", errors="replace").replace("~", "%7E")

    def urlDecode(self, text: str) -> str:  # noqa: N802
        return unquote_plus(text)

    def base64Encode(self, text: str) -> str:  # noqa: N802
        return base64.b64encode(text.encode()).decode()

    def base64Decode(self, text: str) -> str:  # noqa: N802
        return base64.b64decode(text).decode()


def render(template: str, payload: Input, context: dict[str, Any], stage_variables: Mapping[str, str]) -> str:
    """The text of a template for a payload. What the template sets in `context` (responseOverride, requestOverride)
    stays there.

    Raises:
        PayloadNotJson: the template reads JSON, and the payload is not JSON.
        TemplateFailure: it fails for another reason.
    """
    names = {"input": payload, "util": Util(), "context": context, "stageVariables": dict(stage_variables)}
    try:
        return cast("str", _compiled(template).merge(names))
    except TemplateExecutionError as error:
        if isinstance(error.__cause__, (jsonbody.NotJson, RecursionError)):
            raise PayloadNotJson(str(error.__cause__)) from error
        raise TemplateFailure(str(error)) from error
    except (TemplateError, RecursionError) as error:
        raise TemplateFailure(str(error)) from error


@lru_cache(maxsize=128)
def _compiled(template: str) -> Template:
    compiled = Template(template)
    compiled.ensure_compiled()
    return compiled


def _escape(match: re.Match[str]) -> str:
    found = match.group()
    if found in ESCAPES:
        return ESCAPES[found]
    units = found.encode("utf-16-be", "surrogatepass")
    return f"\\u{units.hex(' ', 2).upper()}".replace(" ", "\\u")


def _is_true(self: Any, namespace: Any, loader: Any) -> bool:
    result = self.expression.calculate(namespace, loader)
    return result is not None and result is not False


def _close_gaps() -> None:
    """What airspeed-ext 0.6 lacks of Velocity 1.7, which API Gateway runs.

    An undefined reference counts as true in its `#if`, and an empty string or zero as false; Velocity has only null and
    false for false. And strings, lists and maps lack methods of Java that templates call.
    """
    operators.Condition.calculate = _is_true
    methods = operators.__additional_methods__
    methods[str].update(
        {
            "equals": lambda self, other: self == other,
            "equalsIgnoreCase": lambda self, other: isinstance(other, str) and self.lower() == other.lower(),
            "isEmpty": lambda self: not self,
            "toString": lambda self: self,
            "toLowerCase": lambda self: self.lower(),
            "toUpperCase": lambda self: self.upper(),
            "trim": lambda self: self.strip(),
            "endsWith": lambda self, suffix: self.endswith(suffix),
            "indexOf": lambda self, part: self.find(part),
            "lastIndexOf": lambda self, part: self.rfind(part),
        }
    )
    methods[dict].update(
        {
            "containsKey": lambda self, key: key in self,
            "size": lambda self: len(self),
            "isEmpty": lambda self: not self,
            "entrySet": lambda self: [{"key": key, "value": value} for key, value in self.items()],
        }
    )


_close_gaps()
