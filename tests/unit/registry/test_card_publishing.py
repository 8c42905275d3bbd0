"""Cards in SageMaker follow their versions."""

from __future__ import annotations

import json

import pytest

from steward.domain.errors import ConflictError, EvidenceIncompleteError, VersionNotFoundError
from steward.service.registry.card_publishing import Publishing, publish_card, sweep_cards
from support.fakes import FakeModelCards
from support.registry_scene import PROJECT, Scene, user

NAME = "steward-dev-diabetes-v1"


class Shelf:
    """A registry with its cards."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.cards = FakeModelCards()

    def _about(self) -> Publishing:
        scene = self.scene
        return Publishing(scene.state, scene.objects, self.cards, scene.registry, "dev")

    def publish(self, version: int = 1) -> str:
        return publish_card(PROJECT, version, self._about())

    def sweep(self) -> dict[str, int]:
        return sweep_cards(self._about())

    def said(self, field: str) -> str:
        content = json.loads(self.cards.cards[NAME][-1].content)
        return str(content["additional_information"]["custom_details"][field])


def test_a_card_goes_from_draft_through_review_to_approved() -> None:
    shelf = Shelf()
    shelf.scene.register()
    assert shelf.publish() == "Draft"
    assert shelf.said("evaluation.staging") == "unproven"
    request = shelf.scene.stage()
    assert shelf.publish() == "PendingReview"
    assert "14 of 14" in shelf.said("evaluation.staging")
    shelf.scene.decide(user("ana"), request.evidence_digest)
    assert shelf.publish() == "Approved"
    assert "approve by 000000000000/ana" in shelf.said("approvals.decisions")
    assert request.evidence_digest in shelf.said("approvals.decisions")
    assert [card.version for card in shelf.cards.cards[NAME]] == [1, 2, 3]


def test_the_model_package_carries_its_own_projection() -> None:
    shelf = Shelf()
    shelf.scene.pending()
    shelf.publish()
    card = shelf.scene.package()["ModelCard"]
    assert card["ModelCardStatus"] == "PendingReview"
    assert "business_details" in json.loads(card["ModelCardContent"])


def test_a_rejected_version_is_archived_with_its_decision_and_kept_so() -> None:
    shelf = Shelf()
    request = shelf.scene.pending()
    shelf.publish()
    shelf.scene.decide(user("ana"), request.evidence_digest, "reject", comment="thin slices")
    assert shelf.publish() == "Archived"
    assert "reject by 000000000000/ana" in shelf.said("approvals.decisions")
    before = list(shelf.cards.cards[NAME])
    assert shelf.publish() == "Archived"
    assert shelf.cards.cards[NAME] == before


def test_an_event_that_comes_twice_makes_no_new_version() -> None:
    shelf = Shelf()
    shelf.scene.pending()
    shelf.publish()
    shelf.publish()
    assert len(shelf.cards.cards[NAME]) == 1


def test_an_event_that_comes_late_publishes_what_is_true_now() -> None:
    shelf = Shelf()
    request = shelf.scene.pending()
    shelf.scene.decide(user("ana"), request.evidence_digest)
    assert shelf.publish() == "Approved"  # the event was ApprovalRequested


def test_a_card_that_was_changed_after_the_freeze_is_not_published() -> None:
    shelf = Shelf()
    shelf.scene.pending()
    uri = shelf.scene.item()["card"]["uri"]
    document = json.loads(shelf.scene.objects.read(uri))
    document["version"] = 2
    shelf.scene.objects.write(uri, json.dumps(document).encode())
    with pytest.raises(EvidenceIncompleteError, match="changed after"):
        shelf.publish()
    assert not shelf.cards.cards


def test_of_two_publishers_at_once_one_is_told_to_try_again() -> None:
    shelf = Shelf()
    shelf.scene.pending()
    shelf.publish()
    shelf.cards.find = lambda name: None  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        shelf.publish()


def test_a_version_that_is_not_there_has_no_card() -> None:
    with pytest.raises(VersionNotFoundError):
        Shelf().publish(9)


def test_the_sweep_publishes_what_is_behind_and_nothing_else() -> None:
    shelf = Shelf()
    shelf.scene.pending()
    assert shelf.sweep() == {"published": 1, "failed": 0}
    assert shelf.sweep() == {"published": 0, "failed": 0}


def test_a_card_that_fails_keeps_no_other_back() -> None:
    shelf = Shelf()
    shelf.scene.pending()
    shelf.scene.pending("4a9a1c0b7d2e-1")
    shelf.scene.objects.write(shelf.scene.item(1)["card"]["uri"], b"{}")
    assert shelf.sweep() == {"published": 1, "failed": 1}
