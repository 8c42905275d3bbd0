"""Everything that costs money bears the tags by which AWS's cost reports tell it apart.

Stacks hand their tags to all that is in them, nested stacks included; what machines and functions
create has to be tagged by them.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.cost_tags import CostTags
from steward.adapters.secrets import SecretsManagerSecrets
from support.templates import ROOT

STACK = {"steward:stack", "steward:environment"}
WANTED = STACK | {"steward:project"}
MACHINES = sorted((ROOT / "statemachines").rglob("*.asl.json"))
_CREATES = re.compile(
    r":sagemaker:create(TrainingJob|ProcessingJob|TransformJob|HyperParameterTuningJob|AutoMLJob"
    r"|Model|EndpointConfig|Endpoint)(\.sync)?$"
)


def states_of(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every state of a machine by name, those of maps and branches too."""
    if isinstance(node, dict):
        yield from node.get("States", {}).items()
        for value in node.values():
            yield from states_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from states_of(value)


def creating() -> Iterator[tuple[Path, str, dict[str, Any], dict[str, Any]]]:
    for path in MACHINES:
        machine = json.loads(path.read_text(encoding="utf-8"))
        for name, state in states_of(machine):
            if _CREATES.search(str(state.get("Resource", ""))):
                yield path, name, state, machine


CREATING = list(creating())


def keys_of(tags: Any) -> set[str]:
    return {tag["Key"] for tag in tags}


def test_jobs_models_and_endpoints_are_among_what_machines_create() -> None:
    kinds = {_CREATES.search(state["Resource"])[1] for *_, state, _ in CREATING}  # type: ignore[index]
    assert {"TrainingJob", "ProcessingJob", "Model", "EndpointConfig", "Endpoint"} <= kinds


@pytest.mark.parametrize(
    ("path", "name", "state", "machine"), CREATING, ids=[f"{p.stem}-{n}" for p, n, *_ in CREATING]
)
def test_what_a_machine_creates_bears_all_tags(
    path: Path, name: str, state: dict[str, Any], machine: dict[str, Any]
) -> None:
    arguments = state["Arguments"]
    if isinstance(arguments, dict):
        assert keys_of(arguments["Tags"]) >= WANTED
        return
    assert "'Tags': $tags" in arguments
    assigned = [s["Assign"]["tags"] for _, s in states_of(machine) if "tags" in s.get("Assign", {})]
    assert [keys_of(tags) >= WANTED for tags in assigned] == [True]


@pytest.mark.parametrize("environment", ["default", "local", "dev", "staging", "prod"])
def test_every_deployment_gives_its_stack_the_tags(environment: str) -> None:
    deployed = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))[environment]
    tags = dict(tag.split("=") for tag in shlex.split(deployed["deploy"]["parameters"]["tags"]))

    assert set(tags) == STACK
    assert tags["steward:environment"] in deployed["deploy"]["parameters"]["parameter_overrides"]


def test_no_call_creates_a_stack_without_tags() -> None:
    for path in sorted((ROOT / "cli").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert text.count(".create_stack(") <= text.count('"Tags": cost_tags('), path


def test_a_secret_that_a_function_creates_bears_them_and_its_role_may_tag(
    aws: Clients,
) -> None:
    client = aws.get("secretsmanager")
    SecretsManagerSecrets(client, CostTags("steward-dev", "dev")).create("s/webhooks/a", "x")

    assert keys_of(client.describe_secret(SecretId="s/webhooks/a")["Tags"]) == STACK
    text = (ROOT / "stacks" / "registry.yaml").read_text(encoding="utf-8")
    assert "secretsmanager:CreateSecret, secretsmanager:DeleteSecret, secretsmanager:Tag" in text


@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("prod-churn-v3-prod-4f", "churn"), ("prod-a-v1-b-v12-staging", "a-v1-b"),
        ("prod-v2-v2-prod", "v2"), ("prod-churn-variants-prod-c4", "churn"),
        ("prod-churn-v3-batch-3f9a1c0b7d2e-1", "churn"), ("somebody-else", None),
        ("dev-churn-v3-prod-4f", None),
    ],
)  # fmt: skip
def test_the_project_of_what_functions_create_is_in_its_name(
    name: str, project: str | None
) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in CostTags("steward-prod", "prod").of(name)}

    assert tags.get("steward:project") == project
    assert tags["steward:stack"] == "steward-prod"
