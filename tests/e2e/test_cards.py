"""A version's card on the deployed stack: frozen with the evidence, and in SageMaker."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from steward_cli.commands import inventory
from steward_cli.console import CommandError
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e


def test_the_evidence_names_the_card_and_sagemaker_has_both_projections(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    lab.add_project("carded")  # nobody approves a newer version of it, which would void the request
    record = lab.version("carded", lab.register("carded", trained), "pending", within=60)
    s3, sagemaker = lab.target.client("s3"), lab.target.client("sagemaker")
    bucket = lab.target.output("ArtifactsBucketName")
    base = f"evidence/carded/{record['version']}"
    evidence = json.loads(s3.get_object(Bucket=bucket, Key=f"{base}/evidence.json")["Body"].read())
    content = s3.get_object(Bucket=bucket, Key=f"{base}/card.json")["Body"].read()
    assert evidence["card"]["sha256"] == hashlib.sha256(content).hexdigest()
    html = s3.get_object(Bucket=bucket, Key=f"{base}/card.html")["Body"].read()
    assert html.startswith(b"<!doctype html>")

    name = f"steward-local-carded-v{record['version']}"
    card = eventually(lambda: _in_review(sagemaker, name), f"{name} in review", within=60)
    details = json.loads(card["Content"])["additional_information"]["custom_details"]
    assert evidence["evaluation"]["sha256"] in details["evaluation.rows"]
    assert record["evidence_digest"] in details["approvals.state"]
    package = sagemaker.describe_model_package(ModelPackageName=record["model_package_arn"])
    assert package["ModelCard"]["ModelCardStatus"] == "PendingReview"


def _in_review(sagemaker: Any, name: str) -> dict[str, Any] | None:
    try:
        card: dict[str, Any] = sagemaker.describe_model_card(ModelCardName=name)
    except sagemaker.exceptions.ResourceNotFound:
        return None
    return card if card["ModelCardStatus"] == "PendingReview" else None


def test_a_review_is_recorded_by_who_signed_the_request(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    kept = inventory.record(lab.ana, "nursery", "looked through")
    assert kept["by"].endswith("/ana")
    with pytest.raises(CommandError, match="nobody"):
        inventory.record(lab.ana, "nobody", "looked through")
