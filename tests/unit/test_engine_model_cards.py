"""Model cards of the embedded SageMaker, called as its dispatch calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from steward.domain.cards.projections import encode
from steward_local.authority import Principal
from steward_local.sagemaker import service, store
from steward_local.sagemaker.errors import ApiError
from support.card_scene import card

NAME = "steward-local-diabetes-v1"
CALLER = Principal("arn:aws:iam::000000000000:user/ana", None)
CARD, PACKAGE = encode(card(), "card"), encode(card(), "package")


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    store.clear()
    yield
    store.clear()


def call(operation: str, **params: Any) -> dict[str, Any]:
    return service.call(operation, params, CALLER)


def create(content: str = CARD, name: str = NAME) -> dict[str, Any]:
    return call("CreateModelCard", ModelCardName=name, Content=content, ModelCardStatus="Draft")


def refused(code: str, operation: str, **params: Any) -> str:
    with pytest.raises(ApiError) as error:
        call(operation, **params)
    assert error.value.code == code
    return error.value.message


def test_other_content_is_a_version_and_a_status_is_none() -> None:
    arn = create()["ModelCardArn"]
    assert arn.endswith(f":model-card/{NAME}")
    call("UpdateModelCard", ModelCardName=NAME, Content=CARD.replace("pass", "PASS"))
    call("UpdateModelCard", ModelCardName=arn, ModelCardStatus="PendingReview")
    found = call("DescribeModelCard", ModelCardName=NAME)
    assert (found["ModelCardVersion"], found["ModelCardStatus"]) == (2, "PendingReview")
    first = call("DescribeModelCard", ModelCardName=NAME, ModelCardVersion=1)
    assert (first["Content"], first["ModelCardStatus"]) == (CARD, "Draft")
    listed = call("ListModelCardVersions", ModelCardName=NAME)["ModelCardVersionSummaryList"]
    assert [version["ModelCardVersion"] for version in listed] == [2, 1]


def test_content_and_status_do_not_change_in_one_call() -> None:
    create()
    said = refused("ValidationException", "UpdateModelCard", ModelCardName=NAME, Content=CARD,
                   ModelCardStatus="Approved")  # fmt: skip
    assert "single call" in said
    refused("ValidationException", "UpdateModelCard", ModelCardName=NAME)


def test_each_place_takes_its_own_schema_alone() -> None:
    assert "schema" in refused("ValidationException", "CreateModelCard", ModelCardName=NAME,
                               Content=PACKAGE, ModelCardStatus="Draft")  # fmt: skip
    call("CreateModelPackageGroup", ModelPackageGroupName="g")
    arn = call("CreateModelPackage", ModelPackageGroupName="g")["ModelPackageArn"]
    named = {"ModelPackageArn": arn, "ModelCard": {"ModelCardContent": CARD}}
    assert "schema" in refused("ValidationException", "UpdateModelPackage", **named)
    kept = {"ModelCardContent": PACKAGE, "ModelCardStatus": "Draft"}
    call("UpdateModelPackage", ModelPackageArn=arn, ModelCard=kept)
    assert call("DescribeModelPackage", ModelPackageName=arn)["ModelCard"] == kept


@pytest.mark.parametrize(
    "content",
    ['{"model_overview": {"model_artifact": ' + str(["a"] * 20).replace("'", '"') + "}}",
     '{"evaluation_details": [{"name": "' + "n" * 400 + '"}]}'],
    ids=["20 artifacts", "a name of 400"],
)  # fmt: skip
def test_what_awss_schema_lets_pass_passes_here(content: str) -> None:
    assert create(content)["ModelCardArn"]


@pytest.mark.parametrize("content", ["", "no json", '{"surprise": 1}', "[]", "x" * 100_001])
def test_content_that_is_no_card_is_refused(content: str) -> None:
    refused("ValidationException", "CreateModelCard", ModelCardName=NAME, Content=content,
            ModelCardStatus="Draft")  # fmt: skip


def test_an_archived_card_takes_no_content() -> None:
    create()
    call("UpdateModelCard", ModelCardName=NAME, ModelCardStatus="Archived")
    refused("ConflictException", "UpdateModelCard", ModelCardName=NAME, Content=CARD)


def test_names_are_taken_once_and_missing_ones_said() -> None:
    create()
    refused("ConflictException", "CreateModelCard", ModelCardName=NAME, Content=CARD,
            ModelCardStatus="Draft")  # fmt: skip
    refused("ResourceNotFound", "DescribeModelCard", ModelCardName="other")
    refused("ResourceNotFound", "DescribeModelCard", ModelCardName=NAME, ModelCardVersion=7)
    call("DeleteModelCard", ModelCardName=NAME)
    refused("ResourceNotFound", "DescribeModelCard", ModelCardName=NAME)


def test_cards_are_listed_by_name_and_status() -> None:
    create()
    create(name="other")
    call("UpdateModelCard", ModelCardName="other", ModelCardStatus="Approved")
    found = call("ListModelCards", ModelCardStatus="Approved")["ModelCardSummaries"]
    assert [summary["ModelCardName"] for summary in found] == ["other"]
    found = call("ListModelCards", NameContains="diabetes")["ModelCardSummaries"]
    assert [summary["ModelCardName"] for summary in found] == [NAME]
