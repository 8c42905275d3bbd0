"""An event for every function: what ``sam local invoke`` gives it.

Written from the events in ``events/incoming`` and ``events/samples`` and from the contracts of the
state machines' tasks: ``PYTHONPATH=tests python -m support.invocations`` writes
``events/invoke/<Stack>/<Function>.json``.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from support.doorways import request
from support.samples import ARTIFACTS, DIGEST, RELEASE, RUN
from support.templates import CHILDREN, ROOT, load, of_type

FOLDER = ROOT / "events" / "invoke"
_EVENTS = ROOT / "events"
CALLER = "arn:aws:sts::000000000000:assumed-role/Approver/ana"
# What a contract's texts have to look like; others are their own name.
_TEXTS = {
    "project": "diabetes", "run_id": RUN, "correlation_id": RUN, "run": RUN,
    "release_id": RELEASE, "error": "States.Timeout", "status": "FAILED", "window": "2026-01-05T08",
}  # fmt: skip
_REQUESTS: dict[str, dict[str, Any]] = {
    "decide_version": {"project": "diabetes", "version": 2, "decision": "approve",
                       "evidence_digest": DIGEST, "comment": "as agreed"},
    "answer_request": {"project": "diabetes", "entity_id": "p7", "features": {"age": 61}},
    "push_source": {"config": {"project": "diabetes"}, "code_digest": DIGEST},
    "delete_delivery": {"project": "diabetes", "delivery_id": DIGEST, "reason": "request 17"},
}  # fmt: skip

_FURTHER: dict[str, dict[str, Any]] = {"RecordTrainingOutcome": {"version": 2}}
"""What a contract asks for beside its required fields."""


@dataclass(frozen=True)
class Invocation:
    """A function of a stack and the event that it is invoked with."""

    stack: str
    function: str
    folder: Path
    properties: dict[str, Any]

    @property
    def name(self) -> str:
        """As ``sam local invoke`` takes it."""
        return f"{self.stack}/{self.function}"

    @property
    def path(self) -> Path:
        """The event's file."""
        return FOLDER / self.stack / f"{self.function}.json"

    def event(self) -> dict[str, Any]:
        """Return the event, made from samples and contracts."""
        source = (self.folder / "app.py").read_text(encoding="utf-8")
        calls = list(_decorators(ast.parse(source)))
        verb = self.folder.name
        for kind, arguments in calls:
            if kind == "on_event":
                named = arguments[0]
                any_ = isinstance(named, ast.Starred)  # takes each of our own events
                return _event_of("VersionApproved" if any_ else ast.literal_eval(named))
            if kind == "on_request":
                body = _REQUESTS.get(verb, {"project": "diabetes"})
                return request("POST", CALLER, body=json.dumps(body))
        for kind, arguments in calls:
            if kind == "step":
                assert isinstance(arguments[0], ast.Name)
                return _command_of(source, arguments[0].id)
        return self._batch()

    def _batch(self) -> dict[str, Any]:
        sources = [event["Type"] for event in self.properties.get("Events", {}).values()]
        body = json.dumps(_event_of("DatasetAccepted"))
        if "DynamoDB" in sources:
            image = {"project": {"S": "diabetes"}, "item": {"S": "record#00000007"},
                     "event_id": {"S": "e-1"}, "source": {"S": "steward.data"},
                     "detail_type": {"S": "DatasetAccepted"}, "detail": {"S": body},
                     "time": {"S": "2026-01-05T09:00:00Z"}}  # fmt: skip
            record = {"eventID": "1", "eventName": "INSERT", "eventSource": "aws:dynamodb",
                      "dynamodb": {"SequenceNumber": "111", "NewImage": image}}  # fmt: skip
            return {"Records": [record]}
        message = {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "body": body,
            "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "1"},
        }  # fmt: skip
        return {"Records": [message]}


def invocations() -> Iterator[Invocation]:
    """Yield every function of every stack, in the order of the templates."""
    for path in CHILDREN:
        stack = path.stem.title()
        for name, resource in of_type(load(path), "AWS::Serverless::Function").items():
            properties = resource["Properties"]
            folder = (path.parent / properties["CodeUri"]).resolve()
            yield Invocation(stack, name, folder, properties)


def _decorators(module: ast.Module) -> Iterator[tuple[str, list[ast.expr]]]:
    """Yield name and arguments of each call or decorator that makes a handler."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            yield node.func.id, node.args
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Name):
                yield decorator.id, []


def _event_of(detail_type: str) -> dict[str, Any]:
    sample = _EVENTS / "samples" / f"{detail_type}.json"
    if sample.exists():
        found: dict[str, Any] = json.loads(sample.read_text(encoding="utf-8"))
        return found
    for path in sorted((_EVENTS / "incoming").glob("*.json")):
        incoming: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if incoming["detail-type"] == detail_type:
            return incoming
    raise LookupError(f"no event of type {detail_type!r} in events/")


def _command_of(source: str, name: str) -> dict[str, Any]:
    modules = re.findall(r"^from (steward\.contracts\S*) import", source, re.M)
    for module in modules:
        model = getattr(importlib.import_module(module), name, None)
        if model is not None:
            return dict(json.loads(example(model).model_dump_json()))
    raise LookupError(name)


def example(model: type[BaseModel]) -> BaseModel:
    """Return a believable instance of a contract: what is required, and nothing else."""
    hints = typing.get_type_hints(model, include_extras=False)
    values = {
        name: _value(hints[name], name)
        for name, field in model.model_fields.items()
        if field.default is PydanticUndefined and field.default_factory is None
    }
    return model.model_validate(values | _FURTHER.get(model.__name__, {}))


def _value(kind: Any, name: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return None if type(None) in get_args(kind) else _value(get_args(kind)[0], name)
    if origin is Literal:
        return get_args(kind)[0]
    if origin is typing.Annotated:
        return _value(get_args(kind)[0], name)
    if origin is dict:
        return {}
    if origin is not None:
        return [_value(get_args(kind)[0], name.removesuffix("s"))]
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {f.name: _value(hints[f.name], f.name) for f in dataclasses.fields(kind)
                if f.default is dataclasses.MISSING}  # fmt: skip
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return json.loads(example(kind).model_dump_json())
    plain: dict[Any, Any] = {int: 2, float: 0.5, bool: False, Any: None, dict: {}, list: []}
    return plain[kind] if kind in plain else _text(name)


def _text(name: str) -> str:
    if name.endswith("uri"):
        return f"{ARTIFACTS}/{name}.json"
    if name.endswith(("digest", "delivery_id", "sha256")):
        return DIGEST
    if name.endswith(("_at", "time", "until", "since")):
        return "2026-01-05T09:00:00+00:00"
    return _TEXTS.get(name, name.replace("_", "-"))


def written(event: dict[str, Any]) -> str:
    """Return an event as its file holds it."""
    return json.dumps(event, indent=2) + "\n"


def main() -> None:
    """Write all files."""
    for invocation in invocations():
        invocation.path.parent.mkdir(parents=True, exist_ok=True)
        invocation.path.write_text(written(invocation.event()), encoding="utf-8")


if __name__ == "__main__":
    main()
