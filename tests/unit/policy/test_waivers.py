"""Waivers are signed by a person who is no author, end, can be taken back, and are told of."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.waivers import GrantWaiver, RevokeWaiver
from steward.domain.errors import (
    ConflictError,
    InvalidWaiverError,
    NotAuthorizedError,
    ProjectNotFoundError,
    RunNotFoundError,
    VersionNotFoundError,
    WaiverNotFoundError,
)
from steward.domain.policy.findings import WaiverInForce
from steward.domain.policy.requirements import WaiverRules
from steward.domain.policy.waivers import Waiver, in_force
from steward.ports import Item, Table
from steward.service.registry.waiving import Signed, grant_waiver, list_waivers, revoke_waiver
from support.registry_scene import AUTHOR, CONFIG, PERSON_ROLES, PROJECT, RUN, Scene, session, user

WHY = "the ward has no such patients"


class Waiving(Scene):
    """A configured project with a run, and who waives."""

    def configured(self, **config: Any) -> Waiving:
        item: Item = {"project": PROJECT, "config": {**CONFIG, **config}, "author": AUTHOR}
        self.state.put(Table.PROJECTS, item)
        self.state.put(Table.RUNS, {**item, "run_id": RUN})
        return self

    def signed(self, name: str, request: str = "r1", arn: str | None = None) -> Signed:
        return Signed(arn or user(name), request, PERSON_ROLES)

    def grant(self, name: str = "ana", request: str = "r1", arn: str | None = None,
              **about: Any) -> dict[str, Any]:  # fmt: skip
        asked = {"project": PROJECT, "rule": "slice.sex", "reason": WHY, "lifetime_s": 3600}
        return grant_waiver(
            GrantWaiver.model_validate({**asked, **about}), self.signed(name, request, arn),
            state=self.state, clock=self.clock, ids=self.ids,
        )  # fmt: skip

    def revoke(self, waiver_id: str, name: str = "bo") -> dict[str, Any]:
        command = RevokeWaiver(
            action="revoke", project=PROJECT, waiver_id=waiver_id, reason="patients came after all"
        )
        return revoke_waiver(
            command, self.signed(name), state=self.state, clock=self.clock, ids=self.ids
        )

    def in_force(self, **about: Any) -> list[WaiverInForce]:
        items = self.state.query(Table.VERSIONS, PROJECT, prefix="waiver#")
        rules = WaiverRules(allowed=True)
        asked = {"now": self.clock.now(), "author": AUTHOR, "rules": rules, **about}
        return in_force([Waiver.model_validate(item) for item in items], **asked)


@pytest.fixture
def scene() -> Waiving:
    return Waiving().configured()


def test_a_waiver_is_kept_with_its_signer_and_told_of(scene: Waiving) -> None:
    granted = scene.grant()
    (told,) = scene.state.named("WaiverGranted")
    assert told.meta.actor == "000000000000/ana"
    assert told.data.model_dump()["by"] == granted["granted_by"] == "000000000000/ana"
    assert granted["principal_arn"] == user("ana")
    (listed,) = list_waivers(PROJECT, state=scene.state, clock=scene.clock)
    assert (listed["status"], listed["waiver_id"]) == ("active", granted["waiver_id"])
    assert [waiver.rule for waiver in scene.in_force()] == ["slice.sex"]


def test_the_same_request_grants_once_and_another_grants_again(scene: Waiving) -> None:
    assert scene.grant() == scene.grant()
    assert len(scene.state.named("WaiverGranted")) == 1
    scene.grant(request="r2")
    assert len(scene.in_force()) == 2


@pytest.mark.parametrize("arn", [user("tess"), user("Tess"), session("Approver", "tess")])
def test_the_author_waives_nothing(scene: Waiving, arn: str) -> None:
    with pytest.raises(NotAuthorizedError, match=r"wrote what slice\.sex"):
        scene.grant(arn=arn)
    assert scene.state.named("WaiverGranted") == []


@pytest.mark.parametrize("arn", [session("Admin", "ana"), "arn:aws:iam::000000000000:root"])
def test_who_proves_no_person_waives_nothing(scene: Waiving, arn: str) -> None:
    with pytest.raises(NotAuthorizedError, match="which person"):
        scene.grant(arn=arn)


@pytest.mark.parametrize(
    ("about", "field"),
    [
        ({"rule": "weather"}, "rule"),
        ({"rule": "slice."}, "rule"),
        ({"rule": "evidence.bias"}, "rule"),
        ({"lifetime_s": 31 * 86_400}, "lifetime_s"),
    ],
)
def test_what_the_policy_does_not_let_be_waived_is_refused(
    scene: Waiving, about: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidWaiverError) as refused:
        scene.grant(**about)
    assert refused.value.field == field


def test_a_project_can_forbid_waivers_at_all() -> None:
    scene = Waiving().configured(policy={"waivers": {"allowed": False}})
    with pytest.raises(InvalidWaiverError, match="allows no waivers"):
        scene.grant()


def test_what_is_not_there_cannot_be_waived_for(scene: Waiving) -> None:
    with pytest.raises(ProjectNotFoundError):
        scene.grant(project="nothing")
    with pytest.raises(RunNotFoundError):
        scene.grant(run_id="ffffffffffff-1")
    with pytest.raises(VersionNotFoundError):
        scene.grant(version=9)
    with pytest.raises(WaiverNotFoundError):
        scene.revoke("0" * 12)


def test_a_waiver_ends_with_its_time(scene: Waiving) -> None:
    waiver_id = scene.grant()["waiver_id"]
    scene.clock.advance(3600)
    assert scene.in_force() == []
    (listed,) = list_waivers(PROJECT, state=scene.state, clock=scene.clock)
    assert listed["status"] == "expired"
    with pytest.raises(ConflictError, match="expired already"):
        scene.revoke(waiver_id)


def test_a_waiver_is_taken_back_once(scene: Waiving) -> None:
    waiver_id = scene.grant()["waiver_id"]
    assert scene.revoke(waiver_id)["status"] == "revoked"
    (told,) = scene.state.named("WaiverRevoked")
    assert told.data.model_dump()["by"] == "000000000000/bo"
    assert scene.in_force() == []
    with pytest.raises(ConflictError, match="revoked already"):
        scene.revoke(waiver_id)


def test_two_who_revoke_at_once_end_it_once(scene: Waiving) -> None:
    waiver_id = scene.grant()["waiver_id"]

    def other_revokes() -> None:
        scene.revoke(waiver_id, "cy")

    scene.state.before_commit = [other_revokes]
    with pytest.raises(ConflictError):
        scene.revoke(waiver_id, "bo")
    assert len(scene.state.named("WaiverRevoked")) == 1


def test_a_waiver_counts_for_its_run_or_version_alone(scene: Waiving) -> None:
    scene.grant(run_id=RUN)
    assert scene.in_force(run_id="ffffffffffff-1") == []
    assert len(scene.in_force(run_id=RUN)) == 1
    scene.pending()
    scene.grant(version=1, rule="strategy", request="r2")
    assert [one.rule for one in scene.in_force(version=1)] == ["strategy"]
    assert scene.in_force(version=2) == []


def test_a_later_author_and_a_later_policy_end_what_a_waiver_does(scene: Waiving) -> None:
    scene.grant()
    assert scene.in_force(author="000000000000/ANA") == []
    assert scene.in_force(rules=WaiverRules(allowed=True, never=["slice"])) == []
    assert scene.in_force(rules=WaiverRules(allowed=False)) == []


def test_a_waiver_whose_record_was_changed_does_not_count(scene: Waiving) -> None:
    scene.grant()
    (item,) = scene.state.query(Table.VERSIONS, PROJECT, prefix="waiver#")
    later = {**item, "expires_at": "2030-01-01T00:00:00+00:00"}
    scene.state.put(Table.VERSIONS, later)
    assert scene.in_force() == []
