"""Model cards of the embedded SageMaker: our contract, and what AWS says of the API."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contracts import test_model_cards_contract as suite
from contracts.test_model_cards_contract import CONTENT, NAME
from steward.adapters.model_cards import SageMakerModelCards
from steward.adapters.registry import SageMakerModelRegistry
from steward.domain.cards.projections import encode
from steward.domain.errors import RejectedError
from support.card_scene import card
from support.embedded import Account, unique
from support.suites import cases_of

globals().update(cases_of(suite))


@pytest.fixture
def sagemaker(account: Account) -> Any:
    client = account.client("sagemaker")
    with contextlib.suppress(ClientError):
        client.delete_model_card(ModelCardName=NAME)
    return client


@pytest.fixture
def cards(sagemaker: Any) -> SageMakerModelCards:
    """The adapter with no card of the suite's name."""
    return SageMakerModelCards(sagemaker)


def test_versions_are_kept_and_listed(sagemaker: Any, cards: SageMakerModelCards) -> None:
    cards.create(NAME, CONTENT, "Draft")
    cards.set_content(NAME, CONTENT.replace("pass", "PASS"))
    listed = sagemaker.list_model_card_versions(ModelCardName=NAME)["ModelCardVersionSummaryList"]
    assert [version["ModelCardVersion"] for version in listed] == [2, 1]
    first = sagemaker.describe_model_card(ModelCardName=NAME, ModelCardVersion=1)
    assert first["Content"] == CONTENT
    names = [c["ModelCardName"] for c in sagemaker.list_model_cards()["ModelCardSummaries"]]
    assert NAME in names


def test_content_and_status_cannot_change_in_one_call(
    sagemaker: Any, cards: SageMakerModelCards
) -> None:
    cards.create(NAME, CONTENT, "Draft")
    with pytest.raises(ClientError, match="single call"):
        sagemaker.update_model_card(ModelCardName=NAME, Content=CONTENT, ModelCardStatus="Approved")


@pytest.mark.parametrize("content", ["no json", json.dumps({"surprise": 1}), "x" * 100_001])
def test_content_that_is_no_card_is_refused(sagemaker: Any, content: str) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.create_model_card(
            ModelCardName=NAME, Content=content, ModelCardStatus="Draft"
        )  # fmt: skip


def test_a_model_package_takes_its_own_schema_alone(sagemaker: Any) -> None:
    group = unique("steward-test")
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    arn = sagemaker.create_model_package(ModelPackageGroupName=group)["ModelPackageArn"]
    registry = SageMakerModelRegistry(sagemaker)
    registry.set_card(arn, encode(card(), "package"), "Draft")
    kept = registry.describe(arn)["ModelCard"]
    assert kept["ModelCardStatus"] == "Draft"
    with pytest.raises(RejectedError, match="schema"):
        registry.set_card(arn, CONTENT, "Draft")
    assert registry.describe(arn)["ModelCard"] == kept
