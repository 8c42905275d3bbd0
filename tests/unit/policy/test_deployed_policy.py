"""An organisation deploys its own policy; what has started keeps the one it was pinned to."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steward.domain.errors import ConflictError, InvalidPolicyError, NotAuthorizedError
from steward.domain.policy.platform import PLATFORM
from steward.domain.project import parse_project
from steward.ports import Table
from steward.service.policy_in_force import pin_policy, policy_in_force
from steward.service.registry.policy_deployment import deploy_policy
from support.registry_scene import CONFIG, PERSON_ROLES, Scene, user


def clinic(quorum: int = 2) -> dict[str, Any]:
    document = copy.deepcopy(PLATFORM)
    document["policy"] = "clinic"
    document["tiers"]["limited"]["quorum"] = quorum
    return document


def deploy(scene: Scene, document: object, arn: str = user("olga")) -> dict[str, Any]:
    return deploy_policy(
        document, caller_arn=arn, request_id="r1", person_roles=PERSON_ROLES, state=scene.state,
        clock=scene.clock, ids=scene.ids,
    )  # fmt: skip


def test_the_shipped_policy_holds_until_another_is_deployed() -> None:
    scene = Scene()
    project = parse_project(CONFIG)
    assert policy_in_force(scene.state).source == "platform"
    assert pin_policy(scene.state, project).requirements.quorum == 1
    answer = deploy(scene, clinic())
    assert answer["changed"]
    pinned = pin_policy(scene.state, project)
    assert (pinned.name, pinned.source, pinned.requirements.quorum) == ("clinic", "organisation", 2)
    (told,) = scene.state.named("PolicyDeployed")
    assert told.meta.actor == "000000000000/olga"
    assert told.data.model_dump()["digest"] == pinned.document_digest


def test_the_same_policy_again_changes_nothing_and_earlier_ones_are_kept() -> None:
    scene = Scene()
    deploy(scene, clinic())
    assert not deploy(scene, clinic())["changed"]
    scene.clock.advance(1)
    deploy(scene, clinic(1))
    kept = scene.state.query(Table.VERSIONS, "#organisation", prefix="policy#")
    assert [item["document"]["tiers"]["limited"]["quorum"] for item in kept] == [2, 1]
    scene.clock.advance(1)
    assert deploy(scene, None)["name"] == "platform"


def test_a_policy_that_contradicts_itself_is_not_deployed() -> None:
    scene = Scene()
    with pytest.raises(InvalidPolicyError):
        deploy(scene, clinic(3))
    assert policy_in_force(scene.state).source == "platform"


def test_who_proves_no_person_deploys_nothing() -> None:
    with pytest.raises(NotAuthorizedError):
        deploy(Scene(), clinic(), "arn:aws:iam::000000000000:root")


def test_two_who_deploy_at_once_do_not_overwrite_each_other() -> None:
    scene = Scene()

    def other_deploys() -> None:
        deploy(scene, clinic(), user("bo"))

    scene.state.before_commit = [other_deploys]
    other = clinic()
    other["description"] = "another"
    with pytest.raises(ConflictError):
        deploy(scene, other)
