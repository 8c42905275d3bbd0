"""Readers of the CloudFormation templates: as written, and as SAM transforms them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from samtranslator.translator.transform import transform

ROOT = Path(__file__).resolve().parents[2]
ROOT_TEMPLATE = ROOT / "template.yaml"
CHILDREN = tuple(sorted((ROOT / "stacks").glob("*.yaml")))
TEMPLATES = (ROOT_TEMPLATE, *CHILDREN)
ORDER = (
    "foundation", "data", "registry", "governance", "monitoring", "serving", "training", "audit",
    "access",
)  # fmt: skip

Template = dict[str, Any]

_STORED = {"Bucket": "artifacts", "Key": "package"}
_LOCAL_FILES: dict[str, tuple[str, Any]] = {
    "AWS::Serverless::Function": ("CodeUri", _STORED),
    "AWS::Serverless::LayerVersion": ("ContentUri", _STORED),
    "AWS::Serverless::StateMachine": ("DefinitionUri", _STORED),
    "AWS::Serverless::Application": ("Location", "https://s3.amazonaws.com/artifacts/package"),
}


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms written out, read by libyaml."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_form)


@cache
def _parsed(path: Path) -> Template:
    parsed = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    assert isinstance(parsed, dict)
    return parsed


def load(path: Path) -> Template:
    """Return a template as written, its short forms written out."""
    return copy.deepcopy(_parsed(path))


def load_child(domain: str) -> Template:
    """Return the template of a domain as written."""
    return load(ROOT / "stacks" / f"{domain}.yaml")


@cache
def _transformed(path: Path) -> str:
    template = load(path)
    for resource in template["Resources"].values():
        if resource["Type"] in _LOCAL_FILES:
            name, value = _LOCAL_FILES[resource["Type"]]
            resource["Properties"][name] = value
    return json.dumps(transform(template, {}, _NoPolicies()))


class _NoPolicies:
    """SAM asks for the names of AWS's policies; none is used by name."""

    def load(self) -> dict[str, str]:
        return {}


def transformed(path: Path) -> Template:
    """Return a template as CloudFormation sees it after the SAM transform."""
    result = json.loads(_transformed(path))
    assert isinstance(result, dict)
    return result


def of_type(template: Template, *types: str) -> dict[str, dict[str, Any]]:
    """Return the resources of these types by logical id."""
    return {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] in types
    }


def strings(node: Any) -> Iterator[str]:
    """Yield every string in a part of a template, keys excluded."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def references(node: Any) -> Iterator[str]:
    """Yield the logical ids that a part of a template names."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value[0] if isinstance(value, list) else value.split(".")[0]
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def as_list(value: Any) -> list[Any]:
    """Return a policy's scalar or list as a list."""
    return value if isinstance(value, list) else [value]


def identity_statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (logical id, statement) of each policy of a role, and each managed policy."""
    for name, role in of_type(template, "AWS::IAM::Role").items():
        for policy in role["Properties"].get("Policies", []):
            for statement in as_list(policy["PolicyDocument"]["Statement"]):
                yield name, statement
    for name, policy in of_type(template, "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy").items():
        for statement in as_list(policy["Properties"]["PolicyDocument"]["Statement"]):
            yield name, statement
