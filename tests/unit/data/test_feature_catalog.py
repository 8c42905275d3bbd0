"""Versions are registered with the push that declares them, and retired when nothing needs them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from steward.domain.errors import FeatureGroupNotFoundError, RejectedError
from steward.domain.project import Project, parse_project
from steward.ports import Put, Table
from steward.service.emission import Cause
from steward.service.feature_catalog import (
    consumers,
    group_versions,
    need_group_version,
    registration,
    retire,
)
from steward_cli.project_stack import served_versions, staleness_limit, with_feature_groups
from support.fakes import FakeClock, FakeIds, FakeState
from support.feature_scene import declaration as scene_declaration
from support.feature_scene import labs, project_of
from support.templates import ROOT

CAUSE = Cause("clinic", "c", "request-1", "000000000000/tess")


class World:
    def __init__(self) -> None:
        self.state, self.clock, self.ids = FakeState(), FakeClock(), FakeIds()

    def push(self, project: Project) -> None:
        changes, events = registration(
            project, state=self.state, environment="local", cause=CAUSE, clock=self.clock,
            ids=self.ids,
        )  # fmt: skip
        item = {"project": "clinic", "config": project.model_dump(mode="json")}
        self.state.commit([Put(Table.PROJECTS, item), *changes], events)

    def retire(self, group: str, version: int) -> dict[str, Any]:
        return retire(
            "clinic", group, version, state=self.state, cause=CAUSE, clock=self.clock, ids=self.ids
        )

    def labels(self) -> list[tuple[str, bool]]:
        return [(v.label, v.is_active) for v in group_versions(self.state, "clinic")]


@pytest.fixture
def world() -> World:
    return World()


def test_a_push_registers_each_new_definition_once_with_its_event(world: World) -> None:
    world.push(project_of())
    world.push(project_of())
    world.push(project_of(labs(ttl_s=60)))
    assert world.labels() == [("labs/v1", True), ("labs/v2", True)]
    events = world.state.named("FeatureGroupVersioned")
    assert [(e.data.version, e.data.physical_name) for e in events] == [  # type: ignore[attr-defined]
        (1, "steward-local-clinic-labs-v1"), (2, "steward-local-clinic-labs-v2"),
    ]  # fmt: skip
    assert group_versions(world.state, "clinic", "labs")[0].group == project_of().feature_groups[0]


def test_owner_and_tags_follow_the_declaration_within_a_version(world: World) -> None:
    world.push(project_of())
    world.push(project_of(labs(owner="someone-else", tags={"tier": "gold"})))
    [version] = group_versions(world.state, "clinic")
    assert (version.group.owner, version.group.tags) == ("someone-else", {"tier": "gold"})
    assert len(world.state.named("FeatureGroupVersioned")) == 1


def test_a_version_that_is_declared_cannot_be_retired_and_a_replaced_one_can(world: World) -> None:
    world.push(project_of())
    with pytest.raises(RejectedError, match="what the project declares"):
        world.retire("labs", 1)
    world.push(project_of(labs(ttl_s=60)))
    assert world.retire("labs", 1)["status"] == "retired"
    assert world.retire("labs", 1)["status"] == "retired"
    assert world.labels() == [("labs/v1", False), ("labs/v2", True)]
    [event] = world.state.named("FeatureGroupRetired")
    assert event.data.by == "000000000000/tess"  # type: ignore[attr-defined]
    with pytest.raises(FeatureGroupNotFoundError):
        world.retire("labs", 9)


def test_a_retired_definition_that_is_declared_again_is_active_and_announced(world: World) -> None:
    world.push(project_of())
    world.push(project_of(labs(ttl_s=60)))
    world.retire("labs", 1)
    world.push(project_of())
    assert world.labels() == [("labs/v1", True), ("labs/v2", True)]
    assert len(world.state.named("FeatureGroupVersioned")) == 3


def test_a_version_that_feeds_an_answering_model_cannot_be_retired(world: World) -> None:
    world.push(project_of())
    world.push(project_of(labs(ttl_s=60)))
    view = [{"group": "labs", "version": 1}]
    world.state.commit(
        [
            Put(Table.RUNS, {"project": "clinic", "run_id": "r-1", "feature_views": view}),
            Put(Table.VERSIONS, {"project": "clinic", "item": "version#00000001", "version": 1,
                                 "state": "production", "run_id": "r-1"}),
            Put(Table.VERSIONS, {"project": "clinic", "item": "version#00000002", "version": 2,
                                 "state": "pending", "feature_views": view}),
            Put(Table.ROUTES, {"project": "clinic", "arms": [{"version": 1, "share": 100}]}),
        ]
    )  # fmt: skip
    assert [(u["version"], u["answers"]) for u in consumers(world.state, "clinic", "labs", 1)] == [
        (1, True), (2, False),
    ]  # fmt: skip
    with pytest.raises(RejectedError, match="answer now: 1"):
        world.retire("labs", 1)
    assert need_group_version(world.state, "clinic", "labs", 1).is_active


def rendered(world: World, project: Project) -> dict[str, Any]:
    items = world.state.query(Table.FEATURES, "clinic", prefix="group#")
    template = (ROOT / "projects" / "project-stack.yaml").read_text(encoding="utf-8")
    text = with_feature_groups(
        template, project, served_versions(project, items), environment="local",
        data_bucket="data", key_arn="arn:aws:kms:us-east-1:000000000000:key/1",
        role_arn="arn:aws:iam::000000000000:role/store",
        on_call_topic="arn:aws:sns:us-east-1:000000000000:on-call",
    )  # fmt: skip

    class Loader(yaml.SafeLoader):
        """YAML with CloudFormation's short forms."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))
    resources: dict[str, Any] = yaml.load(text, Loader)["Resources"]
    return resources


def test_the_stack_holds_every_active_version_and_the_one_that_is_about_to_be(
    world: World,
) -> None:
    world.push(project_of())
    changed = project_of(labs(ttl_s=0))
    resources = rendered(world, changed)
    assert {name for name in resources if name.startswith("Labs")} == {
        "LabsV1FeatureGroup", "LabsV1StaleAlarm", "LabsV2FeatureGroup",
    }  # fmt: skip
    made = resources["LabsV2FeatureGroup"]["Properties"]
    assert made["FeatureGroupName"] == "steward-local-clinic-labs-v2"
    assert (made["RecordIdentifierFeatureName"], made["EventTimeFeatureName"]) == (
        "entity", "written_at",
    )  # fmt: skip
    assert {"FeatureName": "is_high", "FeatureType": "Integral"} in made["FeatureDefinitions"]
    world.push(changed)
    world.retire("labs", 1)
    assert "LabsV1FeatureGroup" not in rendered(world, changed)
    stale = resources["LabsV1StaleAlarm"]["Properties"]
    assert stale["Threshold"] == 30 * 86_400
    assert stale["AlarmActions"] == ["arn:aws:sns:us-east-1:000000000000:on-call"]


def test_a_project_that_uses_features_has_an_alarm_on_their_skew(world: World) -> None:
    project = project_of(alarms={"feature_skew": {"max_share": 0.05}})
    alarm = rendered(world, project)["FeatureSkewAlarm"]["Properties"]
    assert alarm["AlarmName"] == "steward-local-clinic-feature-skew"
    assert (alarm["Threshold"], alarm["Statistic"]) == (0.05, "Maximum")
    assert alarm["Dimensions"] == [{"Name": "project", "Value": "clinic"}]
    assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:000000000000:on-call"]
    assert "FeatureSkewAlarm" not in rendered(world, project_of(features=[]))


def test_a_project_without_groups_has_the_template_as_it_is(world: World) -> None:
    template = (ROOT / "projects" / "project-stack.yaml").read_text(encoding="utf-8")
    plain = with_feature_groups(
        template, project_of(), [], environment="local", data_bucket="d", key_arn="k", role_arn="r"
    )
    assert plain == template


def test_what_is_stale_is_the_shorter_of_ttl_and_the_sources_freshness() -> None:
    project = project_of()
    group = project.feature_groups[0]
    assert staleness_limit(project, group) == 30 * 86_400
    assert staleness_limit(project, group.model_copy(update={"ttl_s": 0})) is None


def test_a_column_of_another_type_is_another_version_and_an_unread_one_is_not(
    world: World,
) -> None:
    def pushed(column: str, type_: str) -> None:
        declared = declaration()
        columns = declared["data"]["sources"]["lab"]["columns"]
        next(c for c in columns if c["name"] == column)["type"] = type_
        world.push(parse_project(declared))

    small = labs(
        aggregates=[], on_demand=[], features=[{"name": "ward", "type": "string"}], deleted=None
    )

    def declaration() -> dict[str, Any]:
        return scene_declaration(small)

    world.push(parse_project(declaration()))
    pushed("visits", "float")
    assert world.labels() == [("labs/v1", True)]
    pushed("ward", "boolean")
    assert world.labels() == [("labs/v1", True), ("labs/v2", True)]
    version = group_versions(world.state, "clinic")[0]
    assert [c.name for c in version.table.columns] == ["patient", "taken_at", "reported_at", "ward"]
