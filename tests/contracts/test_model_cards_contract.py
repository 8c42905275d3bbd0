"""Model cards: the contract, kept by the fake here and by the adapter on the embedded AWS."""

from __future__ import annotations

import pytest

from steward.domain.cards.projections import encode
from steward.domain.errors import ConflictError, RejectedError
from steward.ports import ModelCards
from support.card_scene import card
from support.fakes import FakeModelCards

pytestmark = pytest.mark.usefixtures("isolated")

NAME = "steward-local-diabetes-v1"
CONTENT = encode(card(), "card")


@pytest.fixture
def cards() -> ModelCards:
    """The fake; the adapter keeps the same in tests/integration, as moto forgets the content."""
    return FakeModelCards()


def test_a_name_that_nobody_took_has_no_card(cards: ModelCards) -> None:
    assert cards.find(NAME) is None


def test_other_content_is_a_new_version_and_a_status_is_none(cards: ModelCards) -> None:
    cards.create(NAME, CONTENT, "Draft")
    cards.set_content(NAME, CONTENT.replace("pass", "PASS"))
    cards.set_status(NAME, "PendingReview")
    found = cards.find(NAME)
    assert found is not None
    assert (found.status, found.version) == ("PendingReview", 2)
    assert "PASS" in found.content


def test_a_name_that_is_taken_is_a_conflict(cards: ModelCards) -> None:
    cards.create(NAME, CONTENT, "Draft")
    with pytest.raises(ConflictError):
        cards.create(NAME, CONTENT, "Draft")


def test_content_of_the_other_schema_is_refused(cards: ModelCards) -> None:
    with pytest.raises(RejectedError):
        cards.create(NAME, encode(card(), "package"), "Draft")
    assert cards.find(NAME) is None


def test_an_archived_card_takes_no_more_content(cards: ModelCards) -> None:
    cards.create(NAME, CONTENT, "Draft")
    cards.set_status(NAME, "Archived")
    with pytest.raises(ConflictError):
        cards.set_content(NAME, CONTENT.replace("pass", "PASS"))
    found = cards.find(NAME)
    assert found is not None
    assert found.version == 1
