"""Endpoints that cost and do nothing: told once, scaled to zero, deleted, never while needed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from steward.contracts.events import ReapingRequested
from steward.domain.errors import AccessDeniedError, DependencyError, ThrottledError
from steward.ports import Item, Table
from steward.service.emission import Cause
from steward.service.serving.endpoint_records import endpoint_key
from steward.service.serving.holding import LEASE, no_release_begins
from steward.service.serving.reaping import Reaped, reap_endpoints
from support.drift_scene import DriftScene
from support.serving_scene import PROJECT, RELEASE

V1, V2 = f"dev-{PROJECT}-v1-prod", f"dev-{PROJECT}-v2-prod"
ORPHAN, STAGING = f"dev-{PROJECT}-v7-prod", f"dev-{PROJECT}-v2-staging"
FORTNIGHT_S = 14 * 86_400


def serving(policy: str, **more: Any) -> dict[str, Any]:
    return {"idle": {"policy": policy}, **more}


@pytest.fixture
def scene() -> DriftScene:
    """Version 1 in production with a warm worker, and nobody asks it."""
    made = DriftScene()
    made.declare_serving(provisioned_concurrency=2)
    made.play(1)
    return made


def sweep(scene: DriftScene) -> Reaped:
    return scene.reaper().sweep()


# Orphans


def test_an_orphan_is_proposed_once_with_what_it_costs(scene: DriftScene) -> None:
    scene.host(ORPHAN, ProvisionedConcurrency=1)
    assert sweep(scene).idle == []  # it is young
    scene.clock.advance(7200)
    assert sweep(scene).told == [ORPHAN]
    scene.clock.advance(7200)
    assert sweep(scene).told == []
    [told] = scene.told("EndpointIdle")
    [found] = told.endpoints
    assert (found.endpoint, found.kind, found.action) == (ORPHAN, "orphan", "delete")
    assert found.dollars_month == pytest.approx(2 * 730 * 3600 * 0.000005)
    assert (told.performed, told.dollars_month) == (False, 26.28)
    assert ORPHAN in scene.hosting.endpoints


def test_many_orphans_are_told_in_one_mail(scene: DriftScene) -> None:
    for number in range(10, 15):
        scene.host(f"dev-{PROJECT}-v{number}-prod")
    scene.clock.advance(7200)
    sweep(scene)
    [told] = scene.told("EndpointIdle")
    assert len(told.endpoints) == 5


def test_by_policy_an_orphan_is_deleted_and_told(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN, ProvisionedConcurrency=1)
    scene.clock.advance(7200)
    assert sweep(scene).deleted == [ORPHAN]
    assert ORPHAN not in scene.hosting.endpoints
    [told] = scene.told("EndpointReaped")
    assert (told.endpoint, told.action, told.dollars_month) == (ORPHAN, "deleted", 26.28)
    assert scene.told("EndpointIdle")[0].performed
    assert scene.state.get(Table.VERSIONS, endpoint_key(PROJECT, ORPHAN)) is None
    assert scene.lock() is None
    assert sweep(scene).as_dict() == {}


def test_scale_to_zero_deletes_nothing(scene: DriftScene) -> None:
    scene.declare_serving(**serving("scale_to_zero"))
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    assert sweep(scene).deleted == []
    assert ORPHAN in scene.hosting.endpoints


def test_route_previous_and_release_are_never_orphans(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.play(2)
    scene.begin(3)
    scene.clock.advance(7200)
    assert sweep(scene).as_dict() == {}
    assert {V1, V2, f"dev-{PROJECT}-v3-prod"} <= set(scene.hosting.endpoints)


def test_what_a_release_has_made_before_its_first_traffic_is_no_orphan(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.approve(2)
    scene.plan(str(scene.start_release(2)["release_id"]))
    scene.clock.advance(7200)
    assert sweep(scene).as_dict() == {}
    assert V2 in scene.hosting.endpoints


@pytest.mark.parametrize(
    ("state", "gone"),
    [("registered", False), ("pending", False), ("approved", False), ("rejected", True),
     ("expired", True), ("production", True)],
)  # fmt: skip
def test_a_staging_endpoint_goes_when_nobody_can_need_it(
    scene: DriftScene, state: str, *, gone: bool
) -> None:
    scene.declare_serving(**serving("delete"))
    scene.register(2, state=state)
    scene.host(STAGING)
    scene.clock.advance(7200)
    sweep(scene)
    assert (STAGING not in scene.hosting.endpoints) is gone


def test_another_stack_s_endpoint_of_the_same_name_is_not_looked_at(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN, role_arn="arn:aws:iam::000000000000:role/others")
    scene.clock.advance(7200)
    assert sweep(scene).as_dict() == {}


def test_an_endpoint_whose_maker_is_not_known_is_told_and_stays(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN)
    scene.hosting.models.clear()
    scene.clock.advance(7200)
    assert sweep(scene).deleted == []
    [told] = scene.told("EndpointIdle")
    assert (told.endpoints[0].action, told.performed) == ("none", False)
    assert ORPHAN in scene.hosting.endpoints


def test_an_endpoint_that_moves_is_left_for_the_next_sweep(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    scene.hosting.becomes(ORPHAN, "Updating")
    assert sweep(scene).as_dict() == {}


# Races with releases


def test_a_release_that_runs_keeps_the_reaper_away(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    scene.begin(2)
    swept = sweep(scene)
    assert (swept.told, swept.busy, swept.deleted) == ([ORPHAN], [ORPHAN], [])
    assert ORPHAN in scene.hosting.endpoints


def test_a_release_that_begins_in_between_keeps_its_endpoint(scene: DriftScene) -> None:
    """Version 7 is released again between the look and the lock."""
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    real, begun = scene.state.commit, list[bool]()

    def commit(changes: Any, events: Any = ()) -> None:
        real(changes, events)
        if not begun:
            begun.append(True)
            scene.approve(7)
            scene.start_release(7)

    scene.state.commit = commit  # type: ignore[method-assign]
    swept = sweep(scene)
    assert (swept.told, swept.busy, swept.deleted) == ([ORPHAN], [ORPHAN], [])
    assert ORPHAN in scene.hosting.endpoints


def test_a_release_asked_for_during_a_deletion_waits_and_begins_after_it(
    scene: DriftScene,
) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(V2)
    scene.clock.advance(7200)
    real, asked = scene.endpoints.delete, list[dict[str, Any]]()

    def delete(endpoint: str, parts: str | None = None) -> None:
        scene.approve(2)
        asked.append(scene.start_release(2))
        real(endpoint, parts)

    scene.endpoints.delete = delete  # type: ignore[method-assign]
    assert sweep(scene).deleted == [V2]
    assert asked[0]["behind"].startswith("reaper-")
    release = scene.release(asked[0]["release_id"])
    assert (release["status"], release["started"]) == ("running", True)
    assert scene.plan(release["release_id"]).endpoint.create
    lock = scene.lock()
    assert lock
    assert lock["owner"] == release["release_id"]


def test_a_reaper_that_died_blocks_no_release(scene: DriftScene) -> None:
    cause = Cause(PROJECT, "x", "y")
    held = no_release_begins(
        cause, state=scene.state, workflows=scene.workflows, clock=scene.clock, ids=scene.ids,
        machine=RELEASE,
    )  # fmt: skip
    assert held.__enter__()
    scene.approve(2)
    waiting = str(scene.start_release(2)["release_id"])
    scene.clock.advance(LEASE.total_seconds() + 1)
    sweep(scene)
    assert scene.release(waiting)["status"] == "running"


def test_a_release_begins_past_the_lease_of_a_reaper_that_died(scene: DriftScene) -> None:
    cause = Cause(PROJECT, "x", "y")
    held = no_release_begins(
        cause, state=scene.state, workflows=scene.workflows, clock=scene.clock, ids=scene.ids,
        machine=RELEASE,
    )  # fmt: skip
    assert held.__enter__()
    scene.clock.advance(LEASE.total_seconds() + 1)
    scene.approve(2)
    started = scene.start_release(2)
    assert scene.release(str(started["release_id"]))["status"] == "running"


# Idle


def test_an_idle_stable_version_is_proposed_once(scene: DriftScene) -> None:
    scene.clock.advance(FORTNIGHT_S - 3600)
    assert sweep(scene).idle == []
    scene.clock.advance(3600)
    assert sweep(scene).told == [V1]
    assert sweep(scene).told == []
    [told] = scene.told("EndpointIdle")
    [found] = told.endpoints
    assert (found.kind, found.action) == ("idle", "scale_to_zero")
    assert (told.dollars_month, told.performed) == (52.56, False)
    assert scene.hosting.asked == []


def test_a_request_makes_it_no_longer_idle_and_it_may_be_told_again(scene: DriftScene) -> None:
    scene.clock.advance(FORTNIGHT_S)
    sweep(scene)
    scene.asked.asked[V1] = [scene.clock.now()]
    scene.clock.advance(3600)
    assert sweep(scene).idle == []
    assert "idle" not in scene.record(V1)
    scene.clock.advance(FORTNIGHT_S + 60)
    assert sweep(scene).told == [V1]


def test_by_policy_it_is_scaled_to_zero_and_back_when_it_is_asked(scene: DriftScene) -> None:
    scene.declare_serving(**serving("scale_to_zero", provisioned_concurrency=2))
    scene.clock.advance(FORTNIGHT_S)
    assert sweep(scene).scaled_to_zero == [V1]
    assert scene.sweep().moving == [V1]
    scene.hosting.settle(V1)
    [variant] = scene.hosting.endpoints[V1]["ProductionVariants"]
    assert "ProvisionedConcurrency" not in variant["CurrentServerlessConfig"]
    assert scene.sweep().in_order == [V1], "what Steward did is no drift"
    assert sweep(scene).as_dict() == {}
    scene.clock.advance(3600)
    scene.asked.asked[V1] = [scene.clock.now() - timedelta(minutes=5)]
    assert sweep(scene).scaled_back == [V1]
    scene.hosting.settle(V1)
    [variant] = scene.hosting.endpoints[V1]["ProductionVariants"]
    assert variant["CurrentServerlessConfig"]["ProvisionedConcurrency"] == 2
    assert scene.sweep().in_order == [V1]
    assert [t.action for t in scene.told("EndpointReaped")] == ["scaled_to_zero", "scaled_back"]
    assert [t.dollars_month for t in scene.told("EndpointReaped")] == [52.56, -52.56]
    assert scene.told("RouteDrifted") == []


def test_a_stable_version_is_never_deleted(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete", provisioned_concurrency=2))
    scene.clock.advance(FORTNIGHT_S)
    swept = sweep(scene)
    assert (swept.deleted, swept.scaled_to_zero) == ([], [V1])


def test_nothing_of_a_route_is_idle_while_a_release_runs(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete", provisioned_concurrency=2))
    scene.begin(2)
    scene.clock.advance(FORTNIGHT_S)
    assert sweep(scene).as_dict() == {}


def test_an_endpoint_that_costs_nothing_is_not_idle() -> None:
    scene = DriftScene()
    scene.play(1)
    scene.clock.advance(FORTNIGHT_S)
    assert sweep(scene).as_dict() == {}


# People, faults


def test_a_person_has_it_done_whatever_the_policy_and_only_what_was_named(
    scene: DriftScene,
) -> None:
    scene.host(ORPHAN)
    scene.host(STAGING)
    scene.register(2, state="rejected")
    scene.clock.advance(FORTNIGHT_S)
    received = scene.received(ReapingRequested(endpoints=[ORPHAN, V1, "dev-others-v1-prod"]))
    done = reap_endpoints(received, scene.reaper(actor="ana"))
    assert (done["deleted"], done["scaled_to_zero"]) == ([ORPHAN], [V1])
    assert STAGING in scene.hosting.endpoints
    events = scene.state.named("EndpointReaped")
    assert {event.meta.actor for event in events} == {"ana"}


def test_a_deletion_that_sagemaker_refuses_for_now_is_tried_again(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    scene.hosting.refusals["remove"] = DependencyError("in progress")
    assert sweep(scene).busy == [ORPHAN]
    assert scene.lock() is None
    scene.hosting.refusals.clear()
    assert sweep(scene).deleted == [ORPHAN]
    assert len(scene.told("EndpointReaped")) == 1


def test_a_deletion_whose_sweep_died_is_told_by_the_next(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    real = scene.endpoints.delete

    def delete(endpoint: str, parts: str | None = None) -> None:
        real(endpoint, parts)
        raise AccessDeniedError("died")

    scene.endpoints.delete = delete  # type: ignore[method-assign]
    with pytest.raises(DependencyError, match="died"):
        sweep(scene)
    assert scene.told("EndpointReaped") == []
    assert sweep(scene).deleted == [ORPHAN]
    [told] = scene.told("EndpointReaped")
    assert told.action == "deleted"


def test_of_two_sweeps_at_once_one_tells_and_deletes(scene: DriftScene) -> None:
    scene.declare_serving(**serving("delete"))
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    real, raced = scene.state.query, list[bool]()

    def query(table: Table, partition: str, **how: Any) -> list[Item]:
        found = real(table, partition, **how)
        if how.get("prefix") == "endpoint#" and not raced:
            raced.append(True)
            sweep(scene)  # the other sweep is quicker
        return found

    scene.state.query = query  # type: ignore[method-assign]
    sweep(scene)
    assert len(scene.told("EndpointReaped")) == 1
    assert [call for call in scene.hosting.asked if call[0] == "remove"] == [("remove", ORPHAN)]


@pytest.mark.parametrize(
    ("error", "raises"),
    [(ThrottledError("Rate exceeded"), False), (AccessDeniedError("denied"), True)],
)
def test_a_project_that_cannot_be_read_stops_no_other(
    scene: DriftScene, error: Exception, *, raises: bool
) -> None:
    project = scene.state.get(Table.PROJECTS, {"project": PROJECT})
    assert project
    scene.state.put(Table.PROJECTS, {**project, "project": "aaa"})
    scene.host(ORPHAN)
    scene.clock.advance(7200)
    listed = scene.hosting.listed

    def refused(contains: str) -> Any:
        if contains.startswith("dev-aaa-"):
            raise error
        return listed(contains)

    scene.hosting.listed = refused  # type: ignore[method-assign]
    if raises:
        with pytest.raises(DependencyError, match="aaa: denied"):
            sweep(scene)
    else:
        assert sweep(scene).unread == {"aaa": "Rate exceeded"}
    assert len(scene.told("EndpointIdle")) == 1
