"""Requests held to SageMaker's service model, refused with the words that AWS uses.

The constraints (required members, types, lengths, ranges, patterns, enums) come from botocore's
copy of the model; the client checks only a part of them before sending.
"""

from __future__ import annotations

import functools
import re
from datetime import datetime
from typing import Any

from ministack.core.responses import _service_model

from steward_local.sagemaker.errors import ApiError, invalid

_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float, str),
    "blob": (str,),
}


# Java's Unicode classes as the nearest that Python's `re` has inside brackets.
_CLASSES = (
    (r"\p{Alnum}", r"A-Za-z0-9"),
    (r"\p{Graph}", r"\x21-\x7e"),
    (r"\p{L}", r"\w"),
    (r"\p{M}", r"\w"),
    (r"\p{N}", r"\d"),
    (r"\p{P}", r"!-/:-@\[-`{-~"),
    (r"\p{S}", r"$+<=>^`|~"),
    (r"\p{Z}", r"\s"),
)


@functools.cache
def _pattern(text: str) -> re.Pattern[str] | None:
    """A pattern of the model; None for one that Python cannot read."""
    for java, python in _CLASSES:
        text = text.replace(java, python)
    try:
        # The model quantifies the end of one pattern, `${1,128}`, which Java takes for the end.
        return re.compile(re.sub(r"\$\{\d+,\d+\}", "$", text))
    except re.error:
        return None


def model(service: str = "sagemaker") -> Any:
    """botocore's model of a service, loaded at first use and shared."""
    return _service_model(service)


@functools.cache
def operation(name: str, service: str = "sagemaker") -> Any:
    """The model of one operation, or None when the service has none of this name."""
    known = model(service)
    return known.operation_model(name) if name in known.operation_names else None


def check(name: str, params: dict[str, Any], service: str = "sagemaker") -> None:
    """Raise AWS's error when `params` break the model of the operation `name`."""
    shape = operation(name, service).input_shape
    if shape is None:
        return
    found: list[str] = []
    _walk(shape, params, "", found)
    if found:
        noun = "error" if len(found) == 1 else "errors"
        raise invalid(f"{len(found)} validation {noun} detected: {'; '.join(found)}")


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_value_text(v)}" for k, v in value.items()) + "}"
    return str(value)


def _refuse(found: list[str], value: Any, path: str, constraint: str) -> None:
    found.append(
        f"Value '{_value_text(value)}' at '{path}' failed to satisfy constraint: "
        f"Member must {constraint}"
    )


def _member(path: str, name: str) -> str:
    lowered = name[:1].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered


def _walk(shape: Any, value: Any, path: str, found: list[str]) -> None:
    kind = shape.type_name
    if kind == "structure":
        _expect(value, (dict,), path)
        for required in shape.required_members:
            if value.get(required) is None:
                where = _member(path, required)
                found.append(
                    f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
                )
        for name, item in value.items():
            if item is not None and name in shape.members:
                _walk(shape.members[name], item, _member(path, name), found)
        return
    if kind == "list":
        _expect(value, (list,), path)
        _length(shape, value, path, found)
        for index, item in enumerate(value, 1):
            _walk(shape.member, item, f"{path}.{index}.member", found)
        return
    if kind == "map":
        _expect(value, (dict,), path)
        _length(shape, value, path, found)
        for key, item in value.items():
            _walk(shape.key, key, f"{path}.{key}.key", found)
            _walk(shape.value, item, f"{path}.{key}.member", found)
        return
    _expect(value, _SCALARS.get(kind, (object,)), path)
    if kind != "boolean" and isinstance(value, bool):
        raise _wrong_type(path)
    if kind == "string":
        _string(shape, value, path, found)
    elif kind in {"integer", "long", "float", "double"}:
        _range(shape, value, path, found)


def _expect(value: Any, types: tuple[type, ...], path: str) -> None:
    if not isinstance(value, types):
        raise _wrong_type(path)


def _wrong_type(path: str) -> ApiError:
    return ApiError("SerializationException", f"Unexpected value type in payload at '{path}'")


def _string(shape: Any, value: str, path: str, found: list[str]) -> None:
    _length(shape, value, path, found)
    pattern = shape.metadata.get("pattern")
    compiled = _pattern(pattern) if pattern else None
    if compiled is not None and not compiled.fullmatch(value):
        _refuse(found, value, path, f"satisfy regular expression pattern: {pattern}")
    if shape.enum and value not in shape.enum:
        _refuse(found, value, path, f"satisfy enum value set: [{', '.join(shape.enum)}]")


def _length(shape: Any, value: Any, path: str, found: list[str]) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        _refuse(found, value, path, f"have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        _refuse(found, value, path, f"have length less than or equal to {most}")


def _range(shape: Any, value: float, path: str, found: list[str]) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        _refuse(found, value, path, f"have value greater than or equal to {least}")
    if most is not None and value > most:
        _refuse(found, value, path, f"have value less than or equal to {most}")


def shaped(name: str, record: dict[str, Any], service: str = "sagemaker") -> dict[str, Any]:
    """The part of `record` that the output of the operation `name` has, ready for JSON."""
    shape = operation(name, service).output_shape
    if shape is None:
        return {}
    result = _shape_value(shape, record)
    return result if isinstance(result, dict) else {}


def shape_as(structure: str, record: dict[str, Any]) -> dict[str, Any]:
    """The part of `record` that the named structure of the model has."""
    result = _shape_value(model().shape_for(structure), record)
    return result if isinstance(result, dict) else {}


def _shape_value(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {
            name: _shape_value(shape.members[name], item)
            for name, item in value.items()
            if name in shape.members and item is not None
        }
    if kind == "list" and isinstance(value, list):
        return [_shape_value(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _shape_value(shape.value, item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.timestamp()
    return value
