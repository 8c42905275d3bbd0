"""Endpoints that change around Steward: told once, repaired, held or rolled back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    StewardError,
    ThrottledError,
)
from steward.ports import Item, Table
from steward.service.serving.endpoint_records import endpoint_key
from steward.service.serving.release_end import retire_previous
from steward.service.serving.repairing import CLAIM, MAX_REPAIRS
from support.drift_scene import DriftScene
from support.serving_scene import PROJECT

V1, V2 = f"dev-{PROJECT}-v1-prod", f"dev-{PROJECT}-v2-prod"


@pytest.fixture
def scene() -> DriftScene:
    """Version 1 is in production."""
    made = DriftScene()
    made.play(1)
    return made


def delete(scene: DriftScene) -> None:
    scene.hosting.remove(V1)
    scene.hosting.settle(V1)
    scene.hosting.asked.clear()


def make_config_anew(scene: DriftScene) -> None:
    scene.hosting.configs[f"{V1}-1"]["ProductionVariants"][0]["ServerlessConfig"] = {
        "MemorySizeInMB": 1024, "MaxConcurrency": 1,
    }  # fmt: skip


def drop_config(scene: DriftScene) -> None:
    del scene.hosting.configs[f"{V1}-1"]


def change_live(scene: DriftScene, **settings: Any) -> None:
    [variant] = scene.hosting.endpoints[V1]["ProductionVariants"]
    variant["CurrentServerlessConfig"] |= settings


def fail(scene: DriftScene) -> None:
    scene.hosting.becomes(V1, "Failed", "capacity")


WAYS: dict[str, Callable[[DriftScene], Any]] = {
    "other_config": lambda scene: scene.put_on_another_config(V1, MemorySizeInMB=1024),
    "missing": delete,
    "config_remade": make_config_anew,
    "config_gone": drop_config,
    "settings": lambda scene: change_live(scene, MaxConcurrency=1),
    "failed": fail,
}


def sweep_until_settled(scene: DriftScene, times: int = 4) -> None:
    for _ in range(times):
        scene.sweep()
        scene.hosting.settle()
        scene.clock.advance(300)
    scene.sweep()


def test_what_is_as_it_was_made_is_left_alone(scene: DriftScene) -> None:
    swept = scene.sweep()
    assert (swept.in_order, swept.drifted) == ([V1], [])
    assert scene.hosting.asked == []
    assert scene.told("RouteDrifted") == []
    assert scene.record(V1)["in_order_at"] == scene.clock.now().isoformat(timespec="milliseconds")


@pytest.mark.parametrize("kind", sorted(WAYS))
def test_each_drift_is_told_once_repaired_and_verified(scene: DriftScene, kind: str) -> None:
    scene.sweep()
    WAYS[kind](scene)
    made = scene.hosting.models, scene.record(V1)["config"]["ProductionVariants"]
    sweep_until_settled(scene)
    [told] = scene.told("RouteDrifted")
    assert (told.endpoint, told.version, told.role) == (V1, 1, "stable")
    assert (told.kind, told.action) == (kind, "repair")
    assert told.last_in_order_at
    [repaired] = scene.told("RouteRepaired")
    assert (repaired.endpoint, repaired.kind, repaired.by) == (V1, kind, "steward")
    assert "finding" not in scene.record(V1)
    live = scene.hosting.endpoints[V1]
    assert live["EndpointStatus"] == "InService"
    config = scene.hosting.configs[live["EndpointConfigName"]]
    assert config["ProductionVariants"] == made[1]
    assert scene.sweep().in_order == [V1]
    assert scene.told("RouteRepairFailed") == []


@pytest.mark.parametrize("kind", sorted(WAYS))
def test_under_hold_it_is_told_once_and_nothing_is_done(scene: DriftScene, kind: str) -> None:
    scene.declare_serving(on_drift="hold")
    WAYS[kind](scene)
    sweep_until_settled(scene)
    [told] = scene.told("RouteDrifted")
    assert (told.kind, told.action) == (kind, "hold")
    assert scene.hosting.asked == []
    assert scene.told("RouteRepaired") == []


def test_what_somebody_else_puts_right_is_told_as_theirs(scene: DriftScene) -> None:
    scene.declare_serving(on_drift="hold")
    scene.put_on_another_config(V1)
    scene.sweep()
    scene.hosting.update(V1, f"{V1}-1")
    scene.hosting.settle(V1)
    scene.sweep()
    [repaired] = scene.told("RouteRepaired")
    assert repaired.by == "others"


def test_another_drift_after_the_first_is_told_as_well(scene: DriftScene) -> None:
    scene.declare_serving(on_drift="hold")
    scene.put_on_another_config(V1)
    scene.sweep()
    delete(scene)
    scene.sweep()
    assert [told.kind for told in scene.told("RouteDrifted")] == ["other_config", "missing"]


def test_a_deletion_under_way_is_told_at_once_and_made_good_afterwards(scene: DriftScene) -> None:
    scene.hosting.remove(V1)
    scene.sweep()
    assert [told.found for told in scene.told("RouteDrifted")] == ["it is Deleting"]
    assert [call for call, _ in scene.hosting.asked] == ["remove"]
    scene.hosting.settle(V1)
    scene.sweep()
    assert ("create", V1) in scene.hosting.asked
    assert len(scene.told("RouteDrifted")) == 1


@pytest.mark.parametrize("status", ["OutOfService", "UpdateRollbackFailed"])
def test_what_sagemaker_documents_no_way_back_from_is_held(scene: DriftScene, status: str) -> None:
    scene.hosting.becomes(V1, status)
    sweep_until_settled(scene)
    [told] = scene.told("RouteDrifted")
    assert (told.action, told.kind) == ("hold", "out_of_service")
    assert scene.hosting.asked == []


def test_provisioned_concurrency_that_somebody_added_ends_by_a_configuration_of_a_fresh_name(
    scene: DriftScene,
) -> None:
    change_live(scene, ProvisionedConcurrency=3)
    sweep_until_settled(scene)
    live = scene.hosting.endpoints[V1]
    assert live["EndpointConfigName"].startswith(f"{V1}-1-r")
    assert scene.record(V1)["config"]["EndpointConfigName"] == live["EndpointConfigName"]
    assert "ProvisionedConcurrency" not in live["ProductionVariants"][0]["CurrentServerlessConfig"]


# Releases


def test_what_a_release_is_creating_is_no_drift(scene: DriftScene) -> None:
    scene.approve(2)
    release = str(scene.start_release(2)["release_id"])
    scene.plan(release)
    scene.hosting.endpoints[V2]["EndpointStatus"] = "Creating"
    swept = scene.sweep()
    assert (swept.in_order, swept.moving, swept.drifted) == ([V1], [], [])


def test_a_candidate_that_drifts_rolls_its_release_back_whatever_the_policy(
    scene: DriftScene,
) -> None:
    scene.declare_serving(on_drift="hold")
    scene.begin(2)
    scene.put_on_another_config(V2)
    scene.sweep()
    [told] = scene.told("RouteDrifted")
    assert (told.endpoint, told.role, told.action) == (V2, "candidate", "roll_back")
    [execution] = [e for arn, e in scene.workflows.executions.items() if "rollback" in arn]
    assert "endpoint dev-diabetes-v2-prod has drifted" in execution.payload["cause"]
    assert scene.hosting.asked == []
    scene.sweep()
    assert len([arn for arn in scene.workflows.executions if "rollback" in arn]) == 1
    assert len(scene.told("RouteDrifted")) == 1


def test_the_rollback_of_a_drifted_candidate_takes_it_out_of_the_route(scene: DriftScene) -> None:
    scene.begin(2)
    scene.hosting.remove(V2)
    scene.hosting.settle(V2)
    scene.sweep()
    arn = next(arn for arn in scene.workflows.executions if "rollback" in arn)
    command = scene.rollback_command({"started": arn})
    scene.conclude_rollback(command, arn, scene.restore(command))
    assert scene.shares() == {1: 100}
    assert scene.sweep().drifted == []


def test_the_stable_version_is_repaired_while_a_release_runs(scene: DriftScene) -> None:
    scene.begin(2)
    delete(scene)
    sweep_until_settled(scene)
    [repaired] = scene.told("RouteRepaired")
    assert repaired.endpoint == V1
    assert scene.shares() == {1: 90, 2: 10}


def test_the_previous_version_is_kept_warm_by_repair(scene: DriftScene) -> None:
    scene.play(2)
    delete(scene)
    sweep_until_settled(scene)
    [told] = scene.told("RouteDrifted")
    assert (told.role, told.endpoint) == ("previous", V1)
    assert scene.hosting.endpoints[V1]["EndpointStatus"] == "InService"


@pytest.mark.parametrize("policy", ["repair", "hold"])
def test_what_a_release_removes_while_it_is_looked_at_is_no_drift(
    scene: DriftScene, policy: str
) -> None:
    """The end of a release takes an endpoint out of the route, then deletes it."""
    scene.play(2)
    scene.declare_serving(on_drift=policy)
    describe, ended = scene.hosting.describe, list[bool]()

    def meanwhile(endpoint: str) -> Any:
        if not ended:
            ended.append(True)
            scene.clock.advance(30 * 86_400)
            retired = retire_previous(
                state=scene.state, endpoints=scene.endpoints, clock=scene.clock
            )
            assert retired == {"retired": [V1]}
        return describe(endpoint)

    scene.hosting.describe = meanwhile  # type: ignore[method-assign]
    swept = scene.sweep()
    assert (swept.in_order, swept.moving, swept.drifted) == ([V2], [V1], [])
    assert scene.told("RouteDrifted") == []


# Faults


@pytest.mark.parametrize(
    "error", [DependencyError("no capacity"), AccessDeniedError("denied"), ThrottledError("slow")]
)
def test_a_repair_that_fails_is_told_tried_again_and_given_up(
    scene: DriftScene, error: StewardError
) -> None:
    delete(scene)
    scene.hosting.refusals["create"] = error
    for _ in range(MAX_REPAIRS + 3):
        scene.sweep()
        scene.clock.advance(300)
    failed = scene.told("RouteRepairFailed")
    assert [told.attempt for told in failed] == list(range(1, MAX_REPAIRS + 1))
    assert [told.given_up for told in failed] == [False] * (MAX_REPAIRS - 1) + [True]
    assert str(error) in failed[0].cause
    assert len(scene.told("RouteDrifted")) == 1


def test_a_repair_that_does_not_help_is_given_up(scene: DriftScene) -> None:
    """A person keeps putting the endpoint on another configuration."""
    for _ in range(MAX_REPAIRS + 3):
        scene.put_on_another_config(V1)
        scene.sweep()
        scene.clock.advance(300)
    [failed] = scene.told("RouteRepairFailed")
    assert (failed.given_up, failed.error) == (True, "EndpointFailedError")
    assert "did not help" in failed.cause


def test_a_sweep_that_died_in_a_repair_is_made_good_by_a_later_one(scene: DriftScene) -> None:
    delete(scene)
    scene.hosting.refusals["create"] = DependencyError("died")
    scene.sweep()
    record = scene.record(V1)
    finding = record["finding"] | {"claimed_at": scene.clock.now().isoformat()}
    scene.state.put(Table.VERSIONS, record | {"finding": finding})
    scene.hosting.refusals.clear()
    scene.sweep()
    assert V1 not in scene.hosting.endpoints
    scene.clock.advance(CLAIM.total_seconds())
    scene.sweep()
    assert V1 in scene.hosting.endpoints


def test_of_two_sweeps_at_once_one_tells_and_repairs(scene: DriftScene) -> None:
    delete(scene)
    real, raced = scene.state.get, list[bool]()

    def get(table: Table, key: Any) -> Item | None:
        found = real(table, key)
        if dict(key) == endpoint_key(PROJECT, V1) and not raced:
            raced.append(True)
            scene.sweep()  # the other sweep is quicker
        return found

    scene.state.get = get  # type: ignore[method-assign]
    swept = scene.sweep()
    assert swept.moving == [V1]
    assert len(scene.told("RouteDrifted")) == 1
    assert [call for call in scene.hosting.asked if call[0] == "create"] == [("create", V1)]


def test_a_release_planned_in_between_keeps_its_record(scene: DriftScene) -> None:
    """What is written down of a look never makes the requests of an endpoint older."""
    scene.begin(2)
    before = scene.record(V2)
    scene.sweep()
    after = scene.record(V2)
    assert {name: after[name] for name in before} == before


def second_project(scene: DriftScene) -> None:
    route = scene.state.get(Table.ROUTES, {"project": PROJECT})
    project = scene.state.get(Table.PROJECTS, {"project": PROJECT})
    assert route
    assert project
    arms = [{**arm, "endpoint": "dev-aaa-v1-prod"} for arm in route["arms"]]
    scene.state.put(Table.ROUTES, {**route, "project": "aaa", "arms": arms})
    scene.state.put(Table.PROJECTS, {**project, "project": "aaa"})


@pytest.mark.parametrize(
    ("error", "raises"),
    [(ThrottledError("Rate exceeded"), False), (AccessDeniedError("denied"), True)],
)
def test_a_project_that_cannot_be_read_stops_no_other(
    scene: DriftScene, error: StewardError, *, raises: bool
) -> None:
    second_project(scene)
    describe = scene.hosting.describe

    def refused(endpoint: str) -> Any:
        if endpoint.startswith("dev-aaa-"):
            raise error
        return describe(endpoint)

    scene.hosting.describe = refused  # type: ignore[method-assign]
    delete(scene)
    if raises:
        with pytest.raises(DependencyError, match="aaa: denied"):
            scene.sweep()
    else:
        assert scene.sweep().unread == {"aaa": "Rate exceeded"}
    assert [told.endpoint for told in scene.told("RouteDrifted")] == [V1]


def test_an_endpoint_of_unknown_making_is_looked_at_and_held(scene: DriftScene) -> None:
    second_project(scene)
    scene.sweep()
    [told] = scene.told("RouteDrifted")
    assert (told.endpoint, told.kind, told.action) == ("dev-aaa-v1-prod", "missing", "hold")


def test_of_an_endpoint_with_a_router_of_its_own_only_its_service_is_looked_at(
    scene: DriftScene,
) -> None:
    """Versions are production variants of one endpoint, whose configurations come and go."""
    scene.begin(2)
    route = scene.state.get(Table.ROUTES, {"project": PROJECT})
    assert route
    arms = [{**arm, "endpoint": V1} for arm in route["arms"]]
    scene.state.put(Table.ROUTES, {**route, "arms": arms, "router": "endpoint_variants"})
    scene.put_on_another_config(V1)
    assert scene.sweep().in_order == [V1]
    scene.hosting.becomes(V1, "Failed", "capacity")
    scene.sweep()
    [told] = scene.told("RouteDrifted")
    assert (told.role, told.kind, told.action) == ("stable", "failed", "hold")
    assert not [arn for arn in scene.workflows.executions if "rollback" in arn]


def test_a_project_without_a_route_has_nothing_to_compare() -> None:
    scene = DriftScene()
    assert scene.sweep().in_order == []
