"""Configuration and code become the project's; the verified caller is their author."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from steward.domain.errors import (
    EvidenceIncompleteError,
    InvalidProjectError,
    MalformedEventError,
    ProjectNotFoundError,
)
from steward.ports import Table
from steward.service.training.source import Caller, push_source, show_project
from support.fakes import FakeClock, FakeIds, FakeObjects, FakeState
from support.training_scene import ARTIFACTS, CODE, Scene, csv_of, declaration

TESS = Caller("arn:aws:iam::000000000000:user/tess", "request-1")
RAVI = Caller("arn:aws:sts::000000000000:assumed-role/Pipeline/anything", "request-2")
DIGEST = hashlib.sha256(CODE).hexdigest()
KEY = f"code/diabetes/{DIGEST}.tar.gz"


class World:
    def __init__(self) -> None:
        self.state, self.objects = FakeState(), FakeObjects()
        self.clock, self.ids = FakeClock(), FakeIds()
        self.objects.write(f"s3://{ARTIFACTS}/{KEY}", CODE)

    def push(self, caller: Caller = TESS, **changes: Any) -> dict[str, Any]:
        self.clock.advance(1)
        body = {"config": declaration(), "code_sha256": DIGEST, "code_key": KEY, **changes}
        return push_source(
            body, caller, state=self.state, objects=self.objects, clock=self.clock,
            ids=self.ids, artifacts_bucket=ARTIFACTS, environment="local",
        )  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


def test_a_push_declares_the_project_with_its_verified_author(world: World) -> None:
    pushed = world.push()
    item = world.state.get(Table.PROJECTS, {"project": "diabetes"})
    assert item is not None
    assert (item["author"], item["author_arn"]) == ("000000000000/tess", TESS.arn)
    assert item["code_uri"] == f"s3://{ARTIFACTS}/{KEY}"
    assert item["package_group"] == "steward-local-diabetes"
    assert pushed["changed"] is True
    [event] = world.state.named("ProjectConfigured")
    assert event.meta.actor == "000000000000/tess"


def test_pushing_the_same_again_changes_neither_item_nor_author(world: World) -> None:
    first = world.push()
    again = world.push(RAVI)
    assert again == {**first, "changed": False}
    assert len(world.state.events) == 1


def test_whoever_changes_something_becomes_the_author(world: World) -> None:
    world.push()
    changed = world.push(RAVI, config=declaration(description="another"))
    assert changed["author"] == "000000000000/role/Pipeline"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"unknown": 1}, "unknown"),
        ({"data": {"entity_id": "x"}}, "data.columns"),
        ({"evaluation": {"margin": "wide"}}, "evaluation.margin"),
        ({"gates": [{"metric": "roc_auc", "min": 1.5}]}, "gates[0]"),
    ],
)
def test_an_invalid_configuration_is_refused_with_the_path_and_what_is_allowed(
    world: World, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidProjectError) as refused:
        world.push(config={**declaration(), **changes})
    assert refused.value.field == field
    assert refused.value.allowed
    assert world.state.get(Table.PROJECTS, {"project": "diabetes"}) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code_sha256": "abc"}, "code_sha256"),
        ({"code_key": "code/other/x.tar.gz"}, "code_key"),
        ({"code_key": ""}, "code_key"),
        ({"config": "text"}, "config"),
        ({"more": 1}, "more"),
    ],
)
def test_a_malformed_request_is_refused_with_the_field(
    world: World, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(MalformedEventError) as refused:
        world.push(**changes)
    assert refused.value.field == field


def test_code_that_is_missing_or_differs_is_refused(world: World) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    key = f"code/diabetes/{other}.tar.gz"
    with pytest.raises(EvidenceIncompleteError):
        world.push(code_sha256=other, code_key=key)
    world.objects.write(f"s3://{ARTIFACTS}/{key}", b"not other")
    with pytest.raises(EvidenceIncompleteError):
        world.push(code_sha256=other, code_key=key)


def test_the_task_of_the_label_stays_once_a_version_serves(world: World) -> None:
    world.push()
    numbers = declaration()
    numbers["data"]["label"] = {"name": "outcome", "task": "regression"}
    assert world.push(config=numbers)["changed"] is True
    arm = {"version": 1, "endpoint": "e", "role": "stable", "share": 100}
    world.state.put(Table.ROUTES, {"project": "diabetes", "route_version": 1, "arms": [arm]})
    with pytest.raises(InvalidProjectError, match="cannot be compared") as refused:
        world.push()
    assert (refused.value.field, refused.value.allowed) == (
        "data.label.task", "regression, or another project",
    )  # fmt: skip
    assert world.push(config={**numbers, "description": "more"})["changed"] is True


def test_a_lost_race_is_tried_again(world: World) -> None:
    def somebody_else() -> None:
        world.push(RAVI, config=declaration(description="meanwhile"))

    world.state.before_commit = [somebody_else]
    assert world.push()["author"] == "000000000000/tess"
    assert len(world.state.events) == 2


def test_a_project_shows_its_deliveries_and_latest_runs() -> None:
    scene = Scene()
    run_id = scene.deliver(csv_of(1, 30))["run_id"]
    item = scene.state.get(Table.PROJECTS, {"project": "diabetes"})
    assert item is not None
    scene.state.put(Table.PROJECTS, {**item, "package_group": "steward-local-diabetes"})
    shown = show_project({"project": "diabetes"}, state=scene.state)
    assert shown["deliveries"] == {"received": 1}
    assert [run["run_id"] for run in shown["runs"]] == [run_id]
    with pytest.raises(ProjectNotFoundError):
        show_project({"project": "nobody"}, state=scene.state)
    with pytest.raises(MalformedEventError):
        show_project({}, state=scene.state)
