"""The reference of ``project.yaml`` and ``features/*.yaml``, generated from their models."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from steward.domain.feature_groups import FeatureGroup
from steward.domain.project import Project

_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_BOUNDS = {
    "minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<",
    "minLength": "length >=", "maxLength": "length <=", "minItems": "items >=",
    "maxItems": "items <=",
}  # fmt: skip


def reference() -> str:
    """Return ``docs/project.md``."""
    lines = [
        "# What a project declares",
        "",
        "Generated from the models by `python -m steward_cli.schemas`; do not edit.",
        "",
        "`project.yaml` is one model's declaration, each `features/<name>.yaml` beside it one",
        "feature group. Unknown keys, wrong types and impossible values are refused by",
        "`steward project check` and at the push, with the path of the key and what is allowed.",
        "",
        "## project.yaml",
        "",
        *_section(Project, skip={"feature_groups"}),
        "",
        "## features/&lt;name&gt;.yaml",
        "",
        *_section(FeatureGroup),
    ]
    return "\n".join(lines) + "\n"


def _section(root: type[BaseModel], skip: frozenset[str] | set[str] = frozenset()) -> list[str]:
    """Return a model's table and, below it, those of the models that it holds, each once."""
    lines = [_sentence(root), "", *_table(root, skip)]
    seen: set[type[BaseModel]] = {root, FeatureGroup}
    pending = list(_held(root, skip))
    while pending:
        model = pending.pop(0)
        if model in seen:
            continue
        seen.add(model)
        lines += ["", f"### {model.__name__}", "", _sentence(model), "", *_table(model)]
        pending = [*_held(model), *pending]
    return lines


def _held(model: type[BaseModel], skip: frozenset[str] | set[str] = frozenset()) -> Iterator[
    type[BaseModel]
]:  # fmt: skip
    for name, field in model.model_fields.items():
        if name not in skip:
            yield from _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _sentence(model: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split("\n\n", 1)[0].split()).replace("``", "`")


def _told(model: type[BaseModel]) -> dict[str, str]:
    """Return what docstrings say of a model's keys, inherited ones included."""
    told: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        text = inspect.cleandoc(kind.__doc__ or "")
        _, _, attributes = text.partition("Attributes:\n")
        for name, what in _ATTRIBUTE.findall(attributes):
            told[name] = " ".join(what.split()).replace("``", "`")
    return told


def _table(model: type[BaseModel], skip: frozenset[str] | set[str] = frozenset()) -> list[str]:
    schema = model.model_json_schema()
    required, told = schema.get("required", []), _told(model)
    rows = []
    for name, part in schema.get("properties", {}).items():
        if name in skip:
            continue
        default = "required" if name in required else _default(model, name)
        rows.append(f"| `{name}` | {_type(part)} | {default} | {told.get(name, '')} |")
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows]


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None:
        return ""
    if isinstance(value, list):
        value = [
            one.model_dump(exclude_none=True) if isinstance(one, BaseModel) else one
            for one in value
        ]
    return "empty" if value in ("", [], {}) else f"`{json.dumps(value)}`".replace('"', "")


def _type(part: dict[str, Any]) -> str:
    if "$ref" in part:
        name = str(part["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in part:
        kinds = [kind for kind in part["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(map(_type, kinds)))
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kind = str(part.get("type", "any"))
    if kind == "array":
        kind = f"list of {_type(part.get('items', {}))}"
    elif kind == "object":
        values: dict[str, Any] = part.get("additionalProperties") or next(
            iter(part.get("patternProperties", {}).values()), {}
        )
        kind = f"map of {_type(values)}"
    bounds = [f"{sign} {part[key]:g}" for key, sign in _BOUNDS.items() if key in part]
    if "pattern" in part:
        bounds.append("`" + part["pattern"].replace("|", "\\|") + "`")
    return ", ".join([kind, *bounds])
