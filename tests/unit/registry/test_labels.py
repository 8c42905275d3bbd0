"""Aliases, tags and descriptions: who may set what, what is kept, what SageMaker shows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from steward.contracts.events import ReleaseCompleted, ReleaseStarted
from steward.contracts.registry import parse_registry_request
from steward.domain.errors import (
    ConflictError,
    IllegalTransitionError,
    MalformedEventError,
    RejectedError,
    VersionNotFoundError,
)
from steward.domain.versions import ARCHIVABLE, VersionState, check_transition, life_cycle
from steward.ports import Table
from steward.service.registry.aliases import Move, aliases_of, move_alias
from steward.service.registry.changes import change_version
from steward.service.registry.labelling import mirror_version
from steward.service.registry.promotion import ReleaseEvent, promote_version
from steward.service.registry.sweep import sweep_approvals
from support.registry_scene import PROJECT, Scene, user


def ask(scene: Scene, action: str, **about: object) -> dict[str, object]:
    request = parse_registry_request({"action": action, "project": PROJECT, **about})
    return change_version(
        request, actor="000000000000/ana", request_id="r1", state=scene.state,
        clock=scene.clock, ids=scene.ids,
    )  # fmt: skip


def two_versions() -> Scene:
    scene = Scene()
    scene.register("3f9a1c0b7d2e-1")
    scene.register("4f9a1c0b7d2e-1")
    return scene


def test_an_alias_moves_with_history_and_events() -> None:
    scene = two_versions()
    ask(scene, "alias", alias="baseline", version=1, reason="first")
    ask(scene, "alias", alias="baseline", version=2)
    ask(scene, "alias", alias="baseline")

    told = [event.data.model_dump() for event in scene.state.named("VersionAliased")]
    assert [(t["version"], t["previous"]) for t in told] == [(1, None), (2, 1), (None, 2)]
    assert {event.meta.actor for event in scene.state.named("VersionAliased")} == {
        "000000000000/ana"
    }
    history = scene.state.query(Table.VERSIONS, PROJECT, prefix="aliased#baseline#")
    assert sorted((m["version"] or 0, m["previous"] or 0) for m in history) == [
        (0, 2), (1, 0), (2, 1),
    ]  # fmt: skip
    assert aliases_of(scene.state, PROJECT) == {}


def test_an_alias_that_is_so_already_is_not_moved_again() -> None:
    scene = two_versions()
    ask(scene, "alias", alias="baseline", version=1)
    ask(scene, "alias", alias="baseline", version=1)
    assert len(scene.state.named("VersionAliased")) == 1


def test_of_two_racing_moves_both_are_on_record() -> None:
    scene = two_versions()
    ask(scene, "alias", alias="baseline", version=1)

    def other() -> None:
        move = Move(PROJECT, "baseline", 2, "000000000000/ben")
        move_alias(move, expected=None, causation_id="r2", state=scene.state,
                   clock=scene.clock, ids=scene.ids)  # fmt: skip

    scene.state.before_commit = [other]
    ask(scene, "alias", alias="baseline")
    told = [event.data.model_dump() for event in scene.state.named("VersionAliased")]
    assert [(t["version"], t["previous"]) for t in told] == [(1, None), (2, 1), (None, 2)]


def test_who_names_what_they_saw_cannot_undo_another_unseen() -> None:
    scene = two_versions()
    ask(scene, "alias", alias="baseline", version=1)
    ask(scene, "alias", alias="baseline", version=2, expected=1)
    with pytest.raises(ConflictError, match="names 2, not 1"):
        ask(scene, "alias", alias="baseline", version=1, expected=1)


def test_a_race_that_is_lost_again_and_again_is_a_conflict() -> None:
    scene = two_versions()
    key = {"project": PROJECT, "item": "alias#baseline"}
    numbers = iter(range(100))

    def other() -> None:
        scene.state.put(
            Table.VERSIONS, {**key, "version": 1, "move_id": f"m{next(numbers)}", "previous": None}
        )

    scene.state.before_commit = [other] * 5
    with pytest.raises(ConflictError, match="try again"):
        ask(scene, "alias", alias="baseline", version=2)


@pytest.mark.parametrize("alias", ["champion", "challenger", "2", "Upper", "a" * 33, "a#b", ""])
def test_aliases_that_people_may_not_set_are_refused(alias: str) -> None:
    with pytest.raises(RejectedError):
        ask(two_versions(), "alias", alias=alias, version=1)


def test_an_alias_names_versions_that_are_there_and_not_archived() -> None:
    scene = two_versions()
    with pytest.raises(VersionNotFoundError):
        ask(scene, "alias", alias="baseline", version=9)
    with pytest.raises(RejectedError, match="no alias 'baseline'"):
        ask(scene, "alias", alias="baseline")
    ask(scene, "archive", version=1, reason="spoilt")
    with pytest.raises(RejectedError, match="archived"):
        ask(scene, "alias", alias="baseline", version=1)


def test_tags_and_description_change_together_with_one_event() -> None:
    scene = two_versions()
    ask(scene, "label", version=1, tags={"cohort": "2026-01", "draft": "yes"})
    ask(scene, "label", version=1, remove=["draft"], description=" With labs ")
    ask(scene, "label", version=1, tags={"cohort": "2026-01"})

    told = [event.data.model_dump() for event in scene.state.named("VersionDescribed")]
    assert len(told) == 2
    assert told[1] == {"version": 1, "tags": {"cohort": "2026-01"}, "description": "With labs"}
    assert scene.item(1)["tags"] == {"cohort": "2026-01"}


@pytest.mark.parametrize(
    ("tags", "remove"),
    [({"1x": "a"}, []), ({"a b": "c"}, []), ({"a": "c;d"}, []), ({"a": ""}, []),
     ({"a": "b"}, ["a"]), ({f"k{n}": "v" for n in range(21)}, [])],
)  # fmt: skip
def test_tags_that_sagemaker_could_not_keep_are_refused(
    tags: dict[str, str], remove: list[str]
) -> None:
    with pytest.raises(RejectedError):
        ask(two_versions(), "label", version=1, tags=tags, remove=remove)


@pytest.mark.parametrize(
    "body",
    [{"action": "approve"}, {"action": "archive", "version": 1}, {"action": "label", "version": 0},
     {"action": "alias", "alias": "a", "version": 1, "actor": "000000000000/eve"}, {}],
)  # fmt: skip
def test_a_request_that_is_none_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(MalformedEventError):
        parse_registry_request({"project": PROJECT, **body})


def test_the_package_shows_state_and_labels_and_forgets_old_ones() -> None:
    scene = two_versions()
    ask(scene, "label", version=1, tags={"cohort": "2026-01"}, description="a; b")
    ask(scene, "alias", alias="baseline", version=1)
    mirror_version(PROJECT, 1, state=scene.state, registry=scene.registry)
    shown = scene.package(1)["CustomerMetadataProperties"]
    assert shown["steward.alias.baseline"] == "set"
    assert shown["steward.tag.cohort"] == "2026-01"
    assert shown["steward.description"] == "a_ b"
    assert scene.package(1)["ModelLifeCycle"] == {
        "Stage": "Development",
        "StageStatus": "Registered",
    }

    ask(scene, "alias", alias="baseline", version=2)
    mirror_version(PROJECT, 1, state=scene.state, registry=scene.registry)
    again = mirror_version(PROJECT, 1, state=scene.state, registry=scene.registry)
    assert "steward.alias.baseline" not in scene.package(1)["CustomerMetadataProperties"]
    assert scene.package(1)["CustomerMetadataProperties"]["run_id"] == "3f9a1c0b7d2e-1"
    assert again["changed"] is False


def test_mirroring_sets_no_approval_status() -> None:
    scene = Scene()
    request = scene.pending()
    scene.decide(user("ana"), request.evidence_digest)
    mirror_version(PROJECT, 1, state=scene.state, registry=scene.registry)
    assert scene.package(1)["ModelApprovalStatus"] == "PendingManualApproval"
    assert scene.package(1)["ModelLifeCycle"]["StageStatus"] == "Approved"


def test_every_state_has_a_life_cycle_that_sagemaker_takes() -> None:
    pairs = [life_cycle(state) for state in VersionState]
    assert len(set(pairs)) == len(VersionState)
    assert all(part.isalnum() and len(part) <= 63 for pair in pairs for part in pair)


@pytest.mark.parametrize("current", VersionState)
@pytest.mark.parametrize("wanted", VersionState)
def test_only_the_documented_transitions_are_allowed(
    current: VersionState, wanted: VersionState
) -> None:
    allowed = {
        "registered": "pending staging_failed archived",
        "pending": "approved rejected expired archived",
        "staging_failed": "archived",
        "approved": "releasing rejected archived",
        "rejected": "archived",
        "expired": "archived",
        "releasing": "production rolled_back approved",
        "production": "retained rolled_back",
        "retained": "production archived",
        "rolled_back": "archived",
        "archived": "",
    }[current.value].split()
    if wanted.value in allowed:
        check_transition(current, wanted)
    else:
        with pytest.raises(IllegalTransitionError):
            check_transition(current, wanted)


@pytest.mark.parametrize("state", VersionState)
def test_what_may_be_archived_is_archived_and_nothing_else(state: VersionState) -> None:
    scene = two_versions()
    scene.state.put(Table.VERSIONS, {**scene.item(1), "state": state.value})
    if state in ARCHIVABLE or state is VersionState.ARCHIVED:
        ask(scene, "archive", version=1, reason="replaced")
        assert scene.item(1)["state"] == "archived"
        told = scene.state.named("VersionStateChanged")
        assert len(told) == (state is not VersionState.ARCHIVED)
    else:
        with pytest.raises(IllegalTransitionError):
            ask(scene, "archive", version=1, reason="replaced")


@pytest.mark.parametrize("place", ["arms", "previous"])
def test_a_version_that_the_route_names_is_not_archived(place: str) -> None:
    scene = two_versions()
    scene.state.put(Table.VERSIONS, {**scene.item(1), "state": "retained"})
    arm = {"version": 1, "share": 100}
    route = {"arms": [arm]} if place == "arms" else {"arms": [], "previous": arm}
    scene.state.put(Table.ROUTES, {"project": PROJECT, **route})
    with pytest.raises(IllegalTransitionError, match="route"):
        ask(scene, "archive", version=1, reason="replaced")


def test_a_version_that_is_approved_while_it_is_archived_ends_archived_once() -> None:
    scene = Scene()
    request = scene.pending()

    def approve() -> None:
        scene.decide(user("ana"), request.evidence_digest)

    scene.state.before_commit = [approve]
    ask(scene, "archive", version=1, reason="spoilt")
    assert scene.item()["state"] == "archived"
    [told] = scene.state.named("VersionStateChanged")
    assert told.data.model_dump()["previous"] == "approved"
    with pytest.raises(ConflictError):
        scene.decide(user("ben"), request.evidence_digest)


@pytest.mark.parametrize(("days", "kept", "archived"), [(89, 90, 0), (90, 90, 1), (9000, 0, 0)])
def test_retention_archives_what_was_refused_long_ago(days: int, kept: int, archived: int) -> None:
    scene = Scene()
    approval = {"lifetime_s": 86_400, "archive_after_days": kept}
    scene.pending(approval=approval)
    scene.decide(user("ana"), scene.item()["evidence_digest"], "reject", comment="no")
    scene.clock.advance(timedelta(days=days).total_seconds())
    swept = sweep_approvals(
        causation_id="s1", environment="dev", state=scene.state, registry=scene.registry,
        clock=scene.clock, ids=scene.ids,
    )  # fmt: skip
    assert swept.archived == archived
    assert scene.item()["state"] == ("archived" if archived else "rejected")


def test_a_declaration_that_cannot_be_read_keeps_no_request_from_expiring() -> None:
    scene = Scene()
    scene.pending()
    scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": {"of": "another time"}})
    scene.clock.advance(86_400)
    swept = sweep_approvals(
        causation_id="s1", environment="dev", state=scene.state, registry=scene.registry,
        clock=scene.clock, ids=scene.ids,
    )  # fmt: skip
    assert swept.as_dict() == {"expired": 1, "set_back": 0, "archived": 0}


def test_the_challenger_is_the_version_that_a_release_compares_with_the_champion() -> None:
    scene = two_versions()
    for number in (1, 2):
        scene.state.put(Table.VERSIONS, {**scene.item(number), "state": "approved"})

    def tell(event: ReleaseEvent, status: str) -> None:
        scene.state.put(Table.RELEASES, {
            "project": PROJECT, "release_id": event.release_id, "version": event.version,
            "status": status, "started_at": f"2026-01-05T09:0{event.version}:00+00:00",
        })  # fmt: skip
        promote_version(PROJECT, event, causation_id="e1", correlation_id="c1",
                        state=scene.state, clock=scene.clock, ids=scene.ids)  # fmt: skip

    def started(version: int) -> ReleaseStarted:
        return ReleaseStarted(release_id=f"0000000{version}-1", version=version,
                              strategy="canary", steps=[10, 100], execution_arn="arn")  # fmt: skip

    tell(started(1), "running")
    assert aliases_of(scene.state, PROJECT) == {}
    tell(ReleaseCompleted(release_id="00000001-1", version=1), "completed")
    tell(started(2), "running")
    assert aliases_of(scene.state, PROJECT) == {"champion": 1, "challenger": 2}
    tell(ReleaseCompleted(release_id="00000002-1", version=2), "completed")
    assert aliases_of(scene.state, PROJECT) == {"champion": 2}
    changed = [e.data.model_dump() for e in scene.state.named("VersionStateChanged")]
    assert [(c["version"], c["previous"], c["state"]) for c in changed] == [
        (1, "approved", "releasing"), (2, "approved", "releasing"), (1, "production", "retained"),
    ]  # fmt: skip
