"""Reviews: who, when, and when again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from steward.contracts.approval import RecordReview
from steward.domain.errors import ConflictError, NotAuthorizedError, ProjectNotFoundError
from steward.domain.inventory import INTERVAL_DAYS, Entry
from steward.ports import Item, Table
from steward.service.registry.reviews import announce_reviews, inventory, record_review
from support.registry_scene import PERSON_ROLES, PROJECT, Scene, session, user


def review(scene: Scene, caller: str = user("ana"), project: str = PROJECT) -> Item:
    return record_review(
        RecordReview(project=project, note="looked through"), caller_arn=caller,
        request_id="r1", person_roles=PERSON_ROLES, state=scene.state, clock=scene.clock,
        ids=scene.ids,
    )  # fmt: skip


def announce(scene: Scene) -> dict[str, int]:
    return announce_reviews(
        causation_id="t1", state=scene.state, clock=scene.clock, ids=scene.ids
    )  # fmt: skip


def entry(scene: Scene) -> Entry:
    return inventory(scene.state, scene.clock.now())[0]


def later(scene: Scene, days: float) -> None:
    scene.clock.advance(days * 86_400)


@pytest.mark.parametrize("tier", sorted(INTERVAL_DAYS))
def test_the_interval_follows_the_tier_and_begins_with_the_first_version(tier: str) -> None:
    scene = Scene()
    scene.register(risk_tier=tier)
    began = scene.clock.now()
    found = entry(scene)
    assert found.next_review - began == timedelta(days=INTERVAL_DAYS[tier])
    assert found.reviewed_by is None
    assert found.due(began) == "in_time"
    assert found.due(found.next_review) == "due"
    assert found.due(found.next_review + timedelta(days=14)) == "overdue"


def test_a_review_by_a_person_begins_the_interval_again() -> None:
    scene = Scene()
    scene.register()
    later(scene, 200)
    assert entry(scene).due(scene.clock.now()) == "overdue"
    kept = review(scene)
    assert kept["by"] == "000000000000/ana"
    found = entry(scene)
    assert found.row(scene.clock.now()) | {"note": ""} == {
        "project": PROJECT, "owner": "ward-12", "tier": "limited", "production": None,
        "versions": 1, "status": "registered",
        "last_review": scene.clock.now().date().isoformat(), "reviewed_by": "000000000000/ana",
        "next_review": (scene.clock.now() + timedelta(days=180)).date().isoformat(),
        "review": "in_time", "note": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    "caller", [session("Deployer", "ana"), "arn:aws:iam::000000000000:root", ""]
)
def test_who_is_no_person_reviews_nothing(caller: str) -> None:
    scene = Scene()
    scene.register()
    with pytest.raises(NotAuthorizedError):
        review(scene, caller)
    assert not scene.state.query(Table.VERSIONS, PROJECT, prefix="review#")


def test_a_project_that_is_not_there_cannot_be_reviewed() -> None:
    with pytest.raises(ProjectNotFoundError):
        review(Scene(), project="nobody")


def test_two_reviews_at_the_same_moment_do_not_overwrite_each_other() -> None:
    scene = Scene()
    scene.register()
    review(scene)
    with pytest.raises(ConflictError):
        review(scene, user("bo"))


def test_a_due_review_is_announced_once_and_again_after_the_next_interval() -> None:
    scene = Scene()
    scene.register()
    assert announce(scene)["announced"] == 0
    later(scene, 181)
    assert announce(scene)["announced"] == 1
    assert announce(scene)["announced"] == 0
    review(scene)
    later(scene, 181)
    assert announce(scene)["announced"] == 1
    told: list[Any] = [found.data for found in scene.state.named("ReviewDue")]
    assert [found.last_review is None for found in told] == [True, False]


def test_a_project_without_a_version_is_never_due() -> None:
    scene = Scene()
    scene.command()
    later(scene, 4000)
    assert announce(scene) == {"announced": 0, "failed": 0}


def test_a_broken_record_keeps_no_other_project_from_being_announced() -> None:
    scene = Scene()
    scene.register()
    scene.state.put(Table.PROJECTS, {"project": "broken", "config": {}})
    scene.state.put(
        Table.VERSIONS,
        {"project": "broken", "item": "version#00000001", "created_at": "when?", "state": "x"},
    )
    later(scene, 400)
    assert announce(scene) == {"announced": 1, "failed": 1}
