"""A small JSON Schema checker: the keywords that our own schemas use, and no others.

jsonschema has 3 MB of wheels that every cold start would unpack; this has what lineage needs.
Tests hold both against each other.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

Schema = Mapping[str, Any]

KEYWORDS = frozenset(
    {
        "$defs", "$id", "$ref", "$schema", "additionalProperties", "allOf", "description", "enum",
        "format", "items", "minItems", "minLength", "properties", "required", "title", "type",
    }
)  # fmt: skip

_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_URI = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*:[^\s\"<>\\^`{|}]+$")
_TIME = re.compile(
    r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$", re.ASCII
)


def problems(value: object, schema: Schema) -> list[str]:
    """Return what is wrong with a JSON value, each as ``path: reason``; empty where it fits.

    Raises:
        ValueError: The schema has a keyword or reference that this checker does not know.
    """
    return list(_check(value, schema, schema, "$"))


def _check(value: object, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    unknown = set(schema) - KEYWORDS
    if unknown:
        raise ValueError(f"JSON Schema keywords {sorted(unknown)} are not supported")
    if "$ref" in schema:
        yield from _check(value, _resolved(str(schema["$ref"]), root), root, path)
    for part in schema.get("allOf", ()):
        yield from _check(value, part, root, path)
    if "type" in schema and not _TYPES[schema["type"]](value):
        yield f"{path}: is not of type {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str):
        yield from _check_text(value, schema, path)
    elif isinstance(value, Mapping):
        yield from _check_object(value, schema, root, path)
    elif isinstance(value, list | tuple):
        if len(value) < schema.get("minItems", 0):
            yield f"{path}: has {len(value)} items, fewer than {schema['minItems']}"
        for index, item in enumerate(value):
            yield from _check(item, schema.get("items", {}), root, f"{path}[{index}]")


def _resolved(reference: str, root: Schema) -> Schema:
    found: Any = root
    if not reference.startswith("#/"):
        raise ValueError(f"reference {reference} leads out of the schema")
    for part in reference.removeprefix("#/").split("/"):
        if part not in found:
            raise ValueError(f"reference {reference} leads nowhere")
        found = found[part]
    resolved: Schema = found
    return resolved


def _check_text(value: str, schema: Schema, path: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{path}: is shorter than {schema['minLength']}"
    form = schema.get("format")
    if form is not None and not _FORMATS[form](value):
        yield f"{path}: {value!r} is no {form}"


def _check_object(
    value: Mapping[str, object], schema: Schema, root: Schema, path: str
) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}: lacks {name}"
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name, inner in value.items():
        below = f"{path}.{name}"
        if name in known:
            yield from _check(inner, known[name], root, below)
        elif others is False:
            yield f"{below}: is not allowed"
        elif others is not True:
            yield from _check(inner, others, root, below)


def _is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_time(value: str) -> bool:
    try:
        return bool(_TIME.match(value)) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


_FORMATS: dict[str, Callable[[str], bool]] = {
    "uri": lambda value: bool(_URI.match(value)),
    "uuid": _is_uuid,
    "date-time": _is_time,
}
