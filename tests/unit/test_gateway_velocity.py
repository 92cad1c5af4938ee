"""Mapping templates, rendered as API Gateway renders them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.local.gateway import velocity
from universal_scheduler.local.gateway.velocity import Input, Parameters

PARAMETERS = Parameters(path={"id": "p"}, querystring={"id": "q", "q": "1"}, header={"H": "h"})
DOCUMENT = {
    "text": "it's",
    "number": 7,
    "no": False,
    "nothing": None,
    "empty": "",
    "list": [{"a": 1}, {"a": 2}],
    "map": {"k e y": {"x": "y"}},
}


def render(template: str, body: Any = DOCUMENT, **context: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    return velocity.render(template, Input(text, PARAMETERS), context, {"v": "w"})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$input.path('$.text')", "it's"),
        ("$input.json('$.text')", '"it\'s"'),
        ("$input.json('$.list[1].a')", "2"),
        ("$input.json('$.list[*].a')", "[1,2]"),
        ("$input.json('$.list[9]')", '""'),
        ("$input.json(\"$['map']['k e y']\")", '{"x":"y"}'),
        ("$input.json('$.nothing')", '""'),
        ("$input.path('$.list').size()", "2"),
        ("$input.path('$.missing')", ""),
        ("$input.params('id')$input.params('q')$input.params('H')$input.params('none')", "p1h"),
        ("#foreach($p in $input.params().keySet())$p#if($foreach.hasNext),#end#end", "path,querystring,header"),
        ("$input.params().querystring.get('id')", "q"),
        ("$stageVariables.v", "w"),
        ("$util.urlEncode('a b/é*~')", "a+b%2F%C3%A9*%7E"),
        ("$util.urlDecode('a+b%2F')", "a b/"),
        ("$util.base64Encode('é')", "w6k="),
        ("$util.base64Decode('w6k=')", "é"),
        ("$util.parseJson('{\"a\": [1]}').a[0]", "1"),
        ("#if($input.path('$.missing'))yes#{else}no#end", "no"),
        ("#if($input.path('$.no'))yes#{else}no#end", "no"),
        ("#if($input.path('$.empty'))yes#{else}no#end", "yes"),
        ("#if($input.path('$.text').startsWith('it') && $input.path('$.number') > 6)yes#end", "yes"),
        ("#if($input.path('$').containsKey('text') == true)yes#end", "yes"),
        ("#if($input.path('$').containsKey('none') == true)yes#end", ""),
        ("$input.path('$.text').indexOf('z')", "-1"),
        ("$input.path('$.text').toUpperCase()", "IT'S"),
    ],
)
def test_what_templates_can_say(template: str, text: str) -> None:
    assert render(template) == text


def test_the_body_is_given_as_it_was_sent() -> None:
    assert render("$input.body", '{"a" :1}') == '{"a" :1}'


def test_no_body_reads_as_an_empty_object() -> None:
    assert render("$input.json('$')", "") == "{}"


def test_escaping_for_javascript_is_that_of_java() -> None:
    given_text = "'\"\\/\b\n\t\f\r\x01é\U0001f600"
    assert render("$util.escapeJavaScript($input.path('$'))", given_text and json.dumps(given_text)) == (
        "\\'\\\"\\\\\\/\\b\\n\\t\\f\\r\\u0001\\u00E9\\uD83D\\uDE00"
    )


@given(st.text())
def test_escaped_text_is_json_once_its_apostrophes_are_mended(text: str) -> None:
    template = '"$util.escapeJavaScript($input.path(\'$\')).replaceAll("\\\\\'", "\'")"'
    assert json.loads(render(template, json.dumps(text))) == text


@given(st.text())
def test_a_payload_is_never_taken_for_a_template(text: str) -> None:
    assert render("#set($t = $input.path('$'))$t|#set($u = \"$t\")$u", json.dumps(text)) == f"{text}|{text}"


def test_overrides_stay_in_the_context() -> None:
    context: dict[str, Any] = {"responseOverride": {"header": {}}}
    velocity.render("#set($context.responseOverride.status = 404)", Input("", PARAMETERS), context, {})
    assert context["responseOverride"] == {"header": {}, "status": 404}


@pytest.mark.parametrize("template", ["#if(true)", "$input.path('$..a')", "$input.path('a')", "$util.urlEncode()"])
def test_a_template_that_cannot_be_rendered_says_so(template: str) -> None:
    with pytest.raises(velocity.TemplateFailure):
        render(template)


def test_a_payload_that_is_no_json_is_told_apart() -> None:
    with pytest.raises(velocity.PayloadNotJson):
        render("$input.json('$')", "{")
