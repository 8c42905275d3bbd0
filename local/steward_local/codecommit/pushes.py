"""What was pushed, as CodeCommit's events tell it.

Source: "Monitoring CodeCommit events in EventBridge" (user guide).
"""

from __future__ import annotations

import contextvars
import json
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator, responses
from ministack.services import eventbridge

from steward_local.codecommit.git import PUSHES
from steward_local.codecommit.service import Known, every

_NOTHING = "0" * 40
_TYPES = {"heads": "branch", "tags": "tag"}


def tell() -> None:
    """Tell of every push that a hook has left, the oldest first, and forget it."""
    for account, region, known in every():
        folder = known.files.folder / PUSHES
        for file in sorted(path for path in folder.glob("[0-9]*") if path.is_file()):
            contextvars.copy_context().run(_tell_of, account, region, known, file)
            file.unlink(missing_ok=True)


def _tell_of(account: str, region: str, known: Known, file: Path) -> None:
    responses._request_account_id.set(account)
    responses.set_request_region(region)
    key, *lines = file.read_text(encoding="utf-8").splitlines()
    caller = _arn_of(key, account)
    for line in lines:
        old, new, reference = line.split(" ", 2)
        eventbridge._put_events(
            {
                "Entries": [
                    {
                        "Source": "aws.codecommit",
                        "DetailType": "CodeCommit Repository State Change",
                        "Detail": json.dumps(detail_of(known, caller, old, new, reference)),
                        "Resources": [known.metadata["Arn"]],
                    }
                ]
            },
            allow_aws_source=True,
        )


def _arn_of(access_key: str, account: str) -> str:
    """Return whose key the pusher had; a path on this machine knows no signature."""
    found = iam_evaluator.resolve_credential(access_key, account) if access_key else None
    if found is None or isinstance(found, iam_evaluator.CredentialResolutionError):
        return f"arn:aws:iam::{account}:root"
    return str(found.principal_arn)


def detail_of(known: Known, caller: str, old: str, new: str, reference: str) -> dict[str, Any]:
    """Return the detail of one changed reference."""
    _, kind, name = reference.split("/", 2)
    detail = {
        "callerUserArn": caller,
        "event": "referenceUpdated",
        "referenceFullName": reference,
        "referenceName": name,
        "referenceType": _TYPES.get(kind, kind),
        "repositoryId": known.metadata["repositoryId"],
        "repositoryName": known.metadata["repositoryName"],
    }
    if new == _NOTHING:
        return {**detail, "event": "referenceDeleted", "oldCommitId": old}
    if old == _NOTHING:
        return {**detail, "event": "referenceCreated", "commitId": new}
    return {**detail, "commitId": new, "oldCommitId": old}
