"""Checks requests against the Batch API's own model, the one that boto3 is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}


@cache
def batch_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("batch", "service-2"), "batch")


@cache
def operations() -> Mapping[tuple[str, str], OperationModel]:
    """The operations of Batch by HTTP method and path."""
    model = batch_model()
    found = (model.operation_model(name) for name in model.operation_names)
    return {(operation.http["method"], operation.http["requestUri"]): operation for operation in found}


class Malformed(ValueError):
    """A request is not of its operation's form; the message says what is wrong, in words that name the members."""


def read(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without members that the model does not know, and without nulls.

    Raises:
        Malformed: it is not of the operation's form.
    """
    shape = batch_model().operation_model(operation).input_shape
    assert shape is not None, "every operation of Batch has a request"
    try:
        known: dict[str, Any] = _reader(operation)(request)
    except _Unexpected:  # so look again, slowly, for words about it
        if found := list(problems(dict(request), shape)):
            raise Malformed(" ".join(found)) from None
        known = known_members(request, shape)
    return known


class _Unexpected(Exception):
    """A value may not be what its shape says."""


@cache
def _reader(operation: str) -> Callable[[Any], Any]:
    return _compiled(batch_model().operation_model(operation).input_shape)


def _compiled(shape: Shape | None) -> Callable[[Any], Any]:
    """A function that takes what is certainly of a shape, as ``known_members`` answers, and raises for all else."""
    match shape:
        case StructureShape():
            return _compiled_structure(shape)
        case ListShape():
            member = _compiled(shape.member)
            return lambda value: [member(item) for item in value] if type(value) is list else _unexpected()
        case MapShape():
            item = _compiled(shape.value)
            return lambda value: {key: item(it) for key, it in value.items()} if type(value) is dict else _unexpected()
        case StringShape() if not shape.enum and not shape.metadata.keys() & {"min", "max"}:
            return lambda value: value if type(value) is str else _unexpected()
        case StringShape():
            return lambda value: value if type(value) is str and not [*problems(value, shape)] else _unexpected()
        case _:
            assert shape is not None
            kinds = _PYTHON_TYPES[shape.type_name]
            return lambda value: value if type(value) in kinds else _unexpected()


def _compiled_structure(shape: StructureShape) -> Callable[[Any], Any]:
    required = shape.required_members
    members: dict[str, Callable[[Any], Any]] = {}

    def read_structure(value: Any) -> dict[str, Any]:
        if not members:  # made when the first one comes: a shape may have itself within it
            members.update({name: _compiled(member) for name, member in shape.members.items()})
        if not isinstance(value, dict):
            raise _Unexpected
        known = {name: members[name](item) for name, item in value.items() if item is not None and name in members}
        for name in required:
            if name not in known:
                raise _Unexpected
        return known

    return read_structure


def _unexpected() -> Any:
    raise _Unexpected


def problems(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """What is wrong with the form of a request, in words that name the member. Unknown members are no error, as in
    https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html, and neither are null ones that are not required.
    """
    where = path or "The request body"
    match shape:
        case StructureShape():
            if not isinstance(value, dict):
                yield f"{where} must be an object, not {_kind(value)}."
                return
            for name in shape.required_members:
                if value.get(name) is None:
                    yield f"{_join(path, name)} is required."
            for name, member in shape.members.items():
                if value.get(name) is not None:
                    yield from problems(value[name], member, _join(path, name))
        case ListShape():
            if not isinstance(value, list):
                yield f"{where} must be a list, not {_kind(value)}."
                return
            for index, item in enumerate(value):
                yield from problems(item, shape.member, f"{path}[{index}]")
        case MapShape():
            if not isinstance(value, dict):
                yield f"{where} must be an object, not {_kind(value)}."
                return
            for key, item in value.items():
                yield from problems(item, shape.value, _join(path, key))
        case _:
            expected = _PYTHON_TYPES[shape.type_name]
            if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
                yield f"{where} must be a {shape.type_name}, not {_kind(value)}."
            elif isinstance(shape, StringShape) and shape.enum and not _allowed(str(value), shape):
                yield f"{where} must be one of {', '.join(shape.enum)}, not {value!r}."
            elif isinstance(value, str) and not _fits(len(value), shape.metadata):
                bounds = f"{shape.metadata.get('min', 0)} to {shape.metadata['max']}"
                yield f"{where} must be {bounds} characters long, not {len(value)}."


def known_members(value: Any, shape: Shape) -> Any:
    """The value without the structures' members that the model does not know, and without nulls."""
    match shape:
        case StructureShape():
            return {
                name: known_members(value[name], member)
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case ListShape():
            return [known_members(item, shape.member) for item in value]
        case MapShape():
            return {key: known_members(item, shape.value) for key, item in value.items()}
        case _:
            return value


def _allowed(value: str, shape: StringShape) -> bool:
    # "The values aren't case sensitive":
    # https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
    return value in shape.enum or (shape.name == "RetryAction" and value.upper() in shape.enum)


def _fits(length: int, limits: Mapping[str, Any]) -> bool:
    return int(limits.get("min", 0)) <= length <= int(limits.get("max", length))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
