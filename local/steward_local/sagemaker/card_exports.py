"""Export jobs of model cards: a card's version becomes a PDF in S3, written as the caller."""

from __future__ import annotations

import io
import json
from html import escape
from typing import Any
from urllib.parse import urlparse

from ministack.services import s3

from steward_local.authority import AccessDeniedError, Principal
from steward_local.sagemaker import jobs, model_cards, store
from steward_local.sagemaker.errors import ApiError, invalid
from steward_local.sagemaker.store import Store, now


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateModelCardExportJob`: validate, record and start in the background."""
    at = store.current()
    asked = {"ModelCardName": params["ModelCardName"]}
    if "ModelCardVersion" in params:
        asked["ModelCardVersion"] = params["ModelCardVersion"]
    card = model_cards.describe(asked, caller)
    path = params["OutputConfig"]["S3OutputPath"]
    if not path.startswith("s3://"):
        raise invalid(f"The embedded SageMaker exports to S3 URIs only: {path}")
    name = params["ModelCardExportJobName"]
    record = {
        "ModelCardExportJobName": name,
        "ModelCardExportJobArn": f"{card['ModelCardArn']}/export-job/{name}",
        "Status": "InProgress",
        "ModelCardName": card["ModelCardName"],
        "ModelCardVersion": card["ModelCardVersion"],
        "OutputConfig": {"S3OutputPath": path},
        "CreatedAt": now(),
        "LastModifiedAt": now(),
    }
    arn = record["ModelCardExportJobArn"]
    with at.lock:
        if arn in at.card_exports:
            raise ApiError("ConflictException", f"Model card export job {arn} already exists")
        at.card_exports[arn] = record
    jobs.in_background(lambda: _run(at, record, card, caller), f"export-{name}")
    return {"ModelCardExportJobArn": arn}


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeModelCardExportJob`."""
    at = store.current()
    with at.lock:
        found = at.card_exports.get(params["ModelCardExportJobArn"])
        if found is None:
            arn = params["ModelCardExportJobArn"]
            raise ApiError("ResourceNotFound", f"Model card export job {arn} does not exist.")
        return dict(found)


def list_jobs(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`ListModelCardExportJobs`: of one card, of all its versions or one."""
    card = model_cards.describe({"ModelCardName": params["ModelCardName"]}, caller)
    at = store.current()
    with at.lock:
        kept = [dict(job) for job in at.card_exports.values() if _of(job, card, params)]
    key = {"Name": "ModelCardExportJobName", "Status": "Status"}.get(
        params.get("SortBy", ""), "CreatedAt"
    )
    kept.sort(key=lambda job: job[key], reverse=params.get("SortOrder") != "Ascending")
    page, token = jobs.paged(kept, params)
    return {"ModelCardExportJobSummaries": page, **({"NextToken": token} if token else {})}


def _of(job: dict[str, Any], card: dict[str, Any], params: dict[str, Any]) -> bool:
    contains = params.get("ModelCardExportJobNameContains", "").lower()
    return (
        job["ModelCardName"] == card["ModelCardName"]
        and params.get("ModelCardVersion") in (None, job["ModelCardVersion"])
        and params.get("StatusEquals") in (None, job["Status"])
        and contains in job["ModelCardExportJobName"].lower()
        and float(params.get("CreationTimeAfter", 0)) < job["CreatedAt"]
        and job["CreatedAt"] < float(params.get("CreationTimeBefore", now() + 1))
    )


def _run(at: Store, record: dict[str, Any], card: dict[str, Any], caller: Principal) -> None:
    """Render and write; never raises, since the outcome is the job's record."""
    folder = record["OutputConfig"]["S3OutputPath"].rstrip("/")
    uri = f"{folder}/{record['ModelCardName']}/{record['ModelCardExportJobName']}.pdf"
    try:
        _put(uri, render(card), caller)
        outcome: dict[str, Any] = {
            "Status": "Completed", "ExportArtifacts": {"S3ExportArtifacts": uri},
        }  # fmt: skip
    except AccessDeniedError as error:
        outcome = {"Status": "Failed", "FailureReason": f"ClientError: {error}"[: jobs.MAX_REASON]}
    except Exception as error:  # noqa: BLE001 - the fault of the runner is the job's ending
        reason = f"InternalServerError: {error!r}"
        outcome = {"Status": "Failed", "FailureReason": reason[: jobs.MAX_REASON]}
    with at.lock:
        record.update(outcome, LastModifiedAt=now())


def _put(uri: str, body: bytes, caller: Principal) -> None:
    place = urlparse(uri)
    bucket, key = place.netloc, place.path.lstrip("/")
    caller.require("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}")
    answer = s3._put_object(
        bucket, key, body, {"content-type": "application/pdf", "content-length": str(len(body))}
    )
    if isinstance(answer, tuple) and answer[0] >= 300:
        raise RuntimeError(f"{uri} cannot be written: HTTP {answer[0]}")


def render(card: dict[str, Any]) -> bytes:
    """The PDF of a card's version: every field of its content with its place."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate

    styles, out = getSampleStyleSheet(), io.BytesIO()
    title = f"{card['ModelCardName']}, version {card['ModelCardVersion']}"
    flow = [
        Paragraph(escape(title), styles["Title"]),
        Paragraph(f"Status: {escape(card['ModelCardStatus'])}", styles["BodyText"]),
    ]
    for path, value in _fields(json.loads(card["Content"])):
        text = f"<b>{escape(path)}</b>: {escape(str(value))}"
        flow.append(Paragraph(text, styles["BodyText"]))
    SimpleDocTemplate(out, pagesize=A4, title=title, invariant=1).build(flow)
    return out.getvalue()


def _fields(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        inner = [(f"{path}.{key}".lstrip("."), item) for key, item in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{number}]", item) for number, item in enumerate(value)]
    else:
        return [(path, value)]
    return [field for name, item in inner for field in _fields(item, name)]
