"""Model cards of the embedded SageMaker, called as its dispatch calls them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import s3

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


def export(name: str = "e1", path: str = "s3://exports/cards", **more: Any) -> str:
    made = call(
        "CreateModelCardExportJob", ModelCardName=NAME, ModelCardExportJobName=name,
        OutputConfig={"S3OutputPath": path}, **more,
    )  # fmt: skip
    return str(made["ModelCardExportJobArn"])


def ended(arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = call("DescribeModelCardExportJob", ModelCardExportJobArn=arn)
        if found["Status"] != "InProgress":
            return found
        time.sleep(0.02)
    raise AssertionError("the export never ended")


@pytest.fixture
def bucket() -> Iterator[dict[str, Any]]:
    kept: dict[str, Any] = {"created": "2026-11-29T00:00:00Z", "objects": {}, "region": "us-east-1"}
    s3._buckets["exports"] = kept
    yield kept
    s3._buckets.pop("exports", None)


def test_an_export_is_a_pdf_of_the_version_that_was_asked_for(bucket: dict[str, Any]) -> None:
    create()
    call("UpdateModelCard", ModelCardName=NAME, Content=CARD.replace("pass", "<b>PASS"))
    found = ended(export(ModelCardVersion=1))
    assert (found["Status"], found["ModelCardVersion"]) == ("Completed", 1), found
    uri = found["ExportArtifacts"]["S3ExportArtifacts"]
    assert uri == f"s3://exports/cards/{NAME}/e1.pdf"
    content = s3._get_object_data("exports", f"cards/{NAME}/e1.pdf")
    assert content.startswith(b"%PDF-")
    newest = ended(export("e2"))
    assert newest["ModelCardVersion"] == 2
    listed = call("ListModelCardExportJobs", ModelCardName=NAME)["ModelCardExportJobSummaries"]
    assert [job["ModelCardExportJobName"] for job in listed] == ["e2", "e1"]
    asked = {"ModelCardName": NAME, "ModelCardExportJobNameContains": "1"}
    (one,) = call("ListModelCardExportJobs", **asked)["ModelCardExportJobSummaries"]
    assert one["Status"] == "Completed"
    asked = {"ModelCardName": NAME, "StatusEquals": "Failed"}
    assert call("ListModelCardExportJobs", **asked)["ModelCardExportJobSummaries"] == []


def test_an_export_whose_bucket_is_missing_fails_with_its_reason() -> None:
    create()
    found = ended(export(path="s3://nowhere/x"))
    assert found["Status"] == "Failed"
    assert "cannot be written" in found["FailureReason"]


def test_who_may_not_write_there_gets_a_failed_export(
    bucket: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    denials = {"s3:PutObject": "User: ana is not authorized to perform: s3:PutObject"}
    monkeypatch.setattr(
        Principal, "denial", lambda _self, action, _resource, _context=None: denials.get(action)
    )
    found = ended(export())
    assert (found["Status"], "not authorized" in found["FailureReason"]) == ("Failed", True)
    assert bucket["objects"] == {}


def test_an_export_is_refused_for_what_is_not_there_and_for_a_name_that_is_taken(
    bucket: dict[str, Any],
) -> None:
    asked = {"ModelCardExportJobName": "e1", "OutputConfig": {"S3OutputPath": "s3://exports/c"}}
    refused("ResourceNotFound", "CreateModelCardExportJob", ModelCardName="other", **asked)
    create()
    refused("ResourceNotFound", "CreateModelCardExportJob", ModelCardName=NAME, ModelCardVersion=9,
            **asked)  # fmt: skip
    arn = export()
    refused("ConflictException", "CreateModelCardExportJob", ModelCardName=NAME, **asked)
    refused("ResourceNotFound", "DescribeModelCardExportJob", ModelCardExportJobArn=f"{arn}0")
    refused("ValidationException", "CreateModelCardExportJob", ModelCardName=NAME,
            ModelCardExportJobName="e2", OutputConfig={"S3OutputPath": "ftp://x"})  # fmt: skip
    refused("ValidationException", "CreateModelCardExportJob", ModelCardName=NAME)
