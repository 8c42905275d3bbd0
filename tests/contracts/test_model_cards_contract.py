"""Model cards: the contract, kept by the fake and by the adapter."""

from __future__ import annotations

import pytest

from steward.adapters.clients import Clients
from steward.adapters.model_cards import SageMakerModelCards
from steward.domain.cards.projections import encode
from steward.domain.errors import ConflictError
from steward.ports import ModelCards
from support.card_scene import card
from support.fakes import FakeModelCards

pytestmark = pytest.mark.usefixtures("isolated")

NAME = "steward-local-diabetes-v1"
CONTENT = encode(card(), "card")


@pytest.fixture(params=["fake", "sagemaker"])
def cards(request: pytest.FixtureRequest) -> ModelCards:
    if request.param == "fake":
        return FakeModelCards()
    clients: Clients = request.getfixturevalue("aws")
    return SageMakerModelCards(clients.get("sagemaker"))


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
