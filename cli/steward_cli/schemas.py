"""Generates what says in public what there is: event schemas and catalogue, project reference.

``python -m steward_cli.schemas`` writes ``events/schemas/*.json``, ``docs/events.md``,
``docs/project.md``, ``docs/policy.schema.json`` and the table of ``docs/access.md`` of the
repository in the working directory;
``--check`` only compares and exits 1 where they differ.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from steward.contracts.events import MAX_EVENT_BYTES, PAYLOADS, SCHEMA_VERSION, Meta, Payload
from steward.contracts.incoming import AWS_DETAILS
from steward.domain.policy.requirements import Policy
from steward.entrypoint import detail_types_of
from steward_cli.access import matrix
from steward_cli.project_reference import reference

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS = Path("events/schemas")
CATALOGUE = Path("docs/events.md")
PROJECT = Path("docs/project.md")
POLICY = Path("docs/policy.schema.json")
ACCESS = Path("docs/access.md")
_TABLE = ("<!-- matrix -->\n", "\n<!-- end of matrix -->")


def schema_of(payload: type[Payload]) -> dict[str, Any]:
    """Return the JSON Schema of an event of ours as EventBridge delivers it."""
    models: list[tuple[type[BaseModel], Any]] = [(Meta, "validation"), (payload, "validation")]
    references, shared = models_json_schema(models, ref_template="#/$defs/{model}")
    detail = {
        "type": "object",
        "properties": {
            "meta": references[(Meta, "validation")],
            "data": references[(payload, "validation")],
        },
        "required": ["meta", "data"],
    }
    return {
        "$schema": DIALECT,
        "$id": f"steward:event:{payload.__name__}:{SCHEMA_VERSION}",
        "title": payload.__name__,
        "description": _sentence(payload),
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "source": {"const": payload.source},
            "detail-type": {"const": payload.__name__},
            "time": {"type": "string", "format": "date-time"},
            "detail": detail,
        },
        "required": ["id", "source", "detail-type", "time", "detail"],
        **shared,
    }


def policy_schema() -> str:
    """Return the JSON Schema of ``policy.yaml``; ``stricter`` says which way a key tightens."""
    schema = {
        "$schema": DIALECT, "$id": "steward:policy:1", **Policy.model_json_schema(),
    }  # fmt: skip
    return json.dumps(schema, indent=2) + "\n"


def _sentence(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n", 1)[0].split())


def consumers(functions: Path) -> dict[str, list[str]]:
    """Return the functions, as ``domain/name``, that take each detail-type."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(functions.glob("*/*/app.py")):
        name = f"{path.parts[-3]}/{path.parts[-2]}"
        spec = importlib.util.spec_from_file_location(f"doorway_{path.parts[-2]}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no module")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for detail_type in detail_types_of(module.handler):
            found[detail_type].append(name)
    return found


def publishers(*folders: Path) -> dict[str, list[str]]:
    """Return the modules below package folders that make an event of each detail-type."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            module = ".".join(path.relative_to(folder).with_suffix("").parts)
            for name in _payloads_called(path.read_text(encoding="utf-8")):
                found[name].add(module)
    return {name: sorted(modules) for name, modules in found.items()}


@cache
def _payloads_called(text: str) -> frozenset[str]:
    return frozenset(_called(ast.parse(text))) & frozenset(PAYLOADS)


def _called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr


def catalogue(root: Path) -> str:
    """Return the event catalogue as Markdown."""
    taken = consumers(root / "functions")
    made = publishers(root / "layers/core", root / "cli")
    lines = [
        "# Events",
        "",
        "Generated from the contracts by `python -m steward_cli.schemas`; do not edit.",
        "",
        "Our own events go to the stack's own bus, which is archived. Each is",
        '`{"source", "detail-type", "detail": {"meta": {...}, "data": {...}}}` with at most',
        f"{MAX_EVENT_BYTES // 1024} KB of detail, delivered at least once and in no certain order.",
        "Its JSON Schema is `events/schemas/<detail-type>.json`, an example"
        " `events/samples/<detail-type>.json`.",
        "",
        "## Meta, the same in every event",
        "",
        *_fields(Meta),
    ]
    for source in sorted({payload.source for payload in PAYLOADS.values()}):
        lines += ["", f"## {source}"]
        for name in sorted(n for n, payload in PAYLOADS.items() if payload.source == source):
            lines += ["", f"### {name}", "", _sentence(PAYLOADS[name]), ""]
            lines += [f"Published by {_listed(made.get(name, []))}, "
                      f"taken by {_listed(taken.get(name, []))}.", ""]  # fmt: skip
            lines += _fields(PAYLOADS[name])
    lines += ["", "## AWS's events", "",
              "Forwarded from the default bus; real payloads lie in `events/incoming/`.", "",
              "| source | detail-type | taken by |", "|---|---|---|"]  # fmt: skip
    lines += [
        f"| {source} | {name} | {_listed(taken.get(name, []))} |"
        for source, name in sorted(AWS_DETAILS)
    ]
    return "\n".join(lines) + "\n"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nobody"


def _fields(model: type[BaseModel]) -> list[str]:
    schema = model.model_json_schema()
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {_type(part)} | {'yes' if name in required else 'no'} |"
        for name, part in schema.get("properties", {}).items()
    ]
    return ["| field | type | always |", "|---|---|---|", *rows]


def _type(part: dict[str, Any]) -> str:
    if "$ref" in part:
        return str(part["$ref"]).rpartition("/")[2]
    if "anyOf" in part:
        return " or ".join(map(_type, part["anyOf"]))
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if part.get("type") == "array":
        return f"list of {_type(part.get('items', {}))}"
    if part.get("type") == "object" and isinstance(part.get("additionalProperties"), dict):
        return f"map of {_type(part['additionalProperties'])}"
    return str(part.get("type", "any JSON"))


def generated(root: Path) -> dict[Path, str]:
    """Return the content of every generated file by its path in the repository."""
    files = {
        SCHEMAS / f"{name}.json": json.dumps(schema_of(payload), indent=2) + "\n"
        for name, payload in PAYLOADS.items()
    }
    return {
        **files, CATALOGUE: catalogue(root), PROJECT: reference(), POLICY: policy_schema(),
        ACCESS: access_page(root),
    }  # fmt: skip


def access_page(root: Path) -> str:
    """Return the page about access with its table as the personas are declared."""
    before, _, rest = (root / ACCESS).read_text(encoding="utf-8").partition(_TABLE[0])
    after = rest.partition(_TABLE[1])[2]
    return f"{before}{_TABLE[0]}{matrix()}{_TABLE[1]}{after}"


def stale(root: Path) -> list[Path]:
    """Return the generated files that differ from the contracts, are missing, or are too many."""
    wanted = generated(root)
    present = {path.relative_to(root) for path in (root / SCHEMAS).glob("*.json")}
    differing = {
        path
        for path, text in wanted.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    }
    return sorted(differing | (present - set(wanted)))


def write(root: Path) -> None:
    """Write every generated file and remove schemas of events that are no more."""
    wanted = generated(root)
    for path in stale(root):
        if path in wanted:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(wanted[path], encoding="utf-8")
        else:
            (root / path).unlink()


def main(arguments: list[str] | None = None) -> int:
    """Write the generated files, or only say which are stale."""
    parser = argparse.ArgumentParser(prog="python -m steward_cli.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if stale")
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the repository")
    options = parser.parse_args(arguments)
    found = stale(options.root)
    for path in found:
        sys.stdout.write(f"{'stale' if options.check else 'wrote'} {path}\n")
    if not options.check:
        write(options.root)
    return 1 if options.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
