"""A version's card on the deployed stack: frozen with the evidence, and in SageMaker."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from steward_cli.card_pdf import fetch
from steward_cli.commands import inventory
from steward_cli.commands.versions import decide
from steward_cli.console import CommandError
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e


def test_the_evidence_names_the_card_and_sagemaker_has_both_projections(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    lab.add_project("carded")  # nobody approves a newer version of it, which would void the request
    record = lab.version("carded", lab.register("carded", trained), "pending")
    s3, sagemaker = lab.target.client("s3"), lab.target.client("sagemaker")
    bucket = lab.target.output("ArtifactsBucketName")
    base = f"evidence/carded/{record['version']}"
    evidence = json.loads(s3.get_object(Bucket=bucket, Key=f"{base}/evidence.json")["Body"].read())
    content = s3.get_object(Bucket=bucket, Key=f"{base}/card.json")["Body"].read()
    assert evidence["card"]["sha256"] == hashlib.sha256(content).hexdigest()
    html = s3.get_object(Bucket=bucket, Key=f"{base}/card.html")["Body"].read()
    assert html.startswith(b"<!doctype html>")

    name = f"steward-local-carded-v{record['version']}"
    card = eventually(lambda: _in_review(sagemaker, name), f"{name} in review")
    details = json.loads(card["Content"])["additional_information"]["custom_details"]
    assert evidence["evaluation"]["sha256"] in details["evaluation.rows"]
    assert record["evidence_digest"] in details["approvals.state"]
    _is_printed(lab, int(record["version"]))
    package = sagemaker.describe_model_package(ModelPackageName=record["model_package_arn"])
    assert package["ModelCard"]["ModelCardStatus"] == "PendingReview"
    _is_reminded_of_until_it_is_decided(lab, int(record["version"]))


def _is_printed(lab: Laboratory, version: int) -> None:
    """By a job of the image and by SageMaker's own export, each by one job for one card."""
    for by in ("job_image", "sagemaker"):
        asked = {"project": "carded", "version": version, "by": by}
        content, told = fetch(lab.ana, asked, lambda _text: None, 60)
        assert content.startswith(b"%PDF-")
        assert fetch(lab.ana, asked, lambda _text: None, 60)[1] == told
    jobs = lab.target.client("sagemaker").list_processing_jobs(NameContains="carded-")
    (printing,) = [j for j in jobs["ProcessingJobSummaries"] if "-card-" in j["ProcessingJobName"]]
    entry = f"job#{printing['ProcessingJobName']}"
    eventually(
        lambda: entry in {cost["entry"] for cost in lab.state.costs("carded")}, f"cost of {entry}"
    )


def _is_reminded_of_until_it_is_decided(lab: Laboratory, version: int) -> None:
    scheduler = lab.target.client("scheduler")
    about = {"Name": f"approval-carded-v{version}-1", "GroupName": "steward-local-approvals"}

    def found() -> Any:
        try:
            return scheduler.get_schedule(**about)
        except scheduler.exceptions.ResourceNotFoundException:
            return None

    kept = eventually(found, "the reminder's schedule")
    assert (kept["State"], kept["ActionAfterCompletion"]) == ("ENABLED", "DELETE")
    decide(lab.ana, "carded", version, "reject", "a test")
    eventually(lambda: found() is None, "the end of the reminder's schedule")


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
