"""What training and processing jobs share: names, roles, slots and the thread that runs them."""

from __future__ import annotations

import contextvars
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack import app

from steward_local import authority
from steward_local.sagemaker import image, settings
from steward_local.sagemaker.errors import ApiError, invalid
from steward_local.sagemaker.store import Job, Store, now

SERVICE = "sagemaker.amazonaws.com"
DEFAULT_SECONDS = 86_400
MAX_REASON = 1024

_slots: threading.BoundedSemaphore | None = None
_slots_lock = threading.Lock()


def slots() -> threading.BoundedSemaphore:
    """The places for jobs that run at once."""
    global _slots  # noqa: PLW0603 - one pool for the process
    with _slots_lock:
        if _slots is None:
            _slots = threading.BoundedSemaphore(settings.current().job_slots)
        return _slots


def require_role(role_arn: str, caller: authority.Principal) -> None:
    """Check what SageMaker checks of an execution role before it takes it."""
    caller.require_pass_role(role_arn, SERVICE)
    if app.AUTH and not authority.trusts(role_arn, SERVICE):
        raise invalid(
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows "
            f"principal '{SERVICE}' to assume the role."
        )


def require_unused(jobs: dict[str, Job], name: str, arn: str) -> None:
    """Names of jobs are unique for good, whatever became of the job that had it."""
    if any(known.lower() == name.lower() for known in jobs):
        raise ApiError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this "
            f"name already exists ({arn})",
        )


class ImageError(Exception):
    """The image of a job cannot be pulled; the text is the FailureReason."""


def runner_of(uri: str) -> image.Runner:
    """What runs an image.

    Raises:
        ImageError: there is no such image, in SageMaker's words.
    """
    runner = image.runner_of(uri)
    if runner is None:
        raise ImageError(
            "Cannot pull algorithm container. Either the image does not exist or its "
            f"permissions are incorrect. (image: {uri}; local image: {image.local_image_uri()})"
        )
    return runner


def base_directory(store: Store, kind: str, name: str) -> Path:
    """A fresh directory that stands for the `/opt/ml` of a job."""
    base = settings.current().scratch / store.region / kind / name
    shutil.rmtree(base, ignore_errors=True)
    (base / "tmp").mkdir(parents=True)
    return base


def in_background(work: Callable[[], None], name: str) -> None:
    """Run `work` in a thread that keeps this request's account and region."""
    threading.Thread(
        target=contextvars.copy_context().run, args=(work,), daemon=True, name=name
    ).start()


def summaries(
    jobs: dict[str, Job], params: dict[str, Any], prefix: str, status_member: str
) -> dict[str, Any]:
    """One page of a list operation over jobs: filters, order and token as on AWS."""
    records = [job.record for job in jobs.values()]
    name, created = f"{prefix}Name", "CreationTime"
    status = params.get("StatusEquals")
    contains = params.get("NameContains", "").lower()
    kept = [
        record
        for record in records
        if (status is None or record[status_member] == status)
        and contains in record[name].lower()
        and record[created] > float(params.get("CreationTimeAfter", 0))
        and record[created] < float(params.get("CreationTimeBefore", now() + 1))
    ]
    order = {"Name": name, "Status": status_member}.get(params.get("SortBy", ""), created)
    kept.sort(key=lambda record: record[order], reverse=params.get("SortOrder") != "Ascending")
    page, token = paged(kept, params)
    answer: dict[str, Any] = {f"{prefix}Summaries": page}
    if token:
        answer["NextToken"] = token
    return answer


def paged(
    records: list[dict[str, Any]], params: dict[str, Any]
) -> tuple[list[dict[str, Any]], str | None]:
    """The page that `NextToken` and `MaxResults` ask for, and the token of the next."""
    token = params.get("NextToken", "0")
    if not token.isdigit():
        raise invalid("The NextToken provided is invalid.")
    start, size = int(token), int(params.get("MaxResults", 10))
    following = str(start + size) if start + size < len(records) else None
    return records[start : start + size], following
