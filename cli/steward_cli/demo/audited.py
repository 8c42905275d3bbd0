"""The demo's last act: the ledger of what was just played is signed and verified."""

from __future__ import annotations

import json
import time
from typing import Any

from steward_cli.ledger import StackLedger
from steward_cli.target import Target

_WITHIN_S = 10.0
_SCHEDULED = {
    "id": "demo", "source": "aws.events", "detail-type": "Scheduled Event",
    "time": "1970-01-01T00:00:00Z", "detail": {},
}  # fmt: skip


def audit(target: Target, project: str) -> dict[str, Any]:
    """Wait until the queue is empty, let the heads be signed, and verify all ledgers.

    Returns:
        Counts over all ledgers, the project's own, and what was found.
    """
    ledger = StackLedger(target)
    before, deadline = -1, time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        now = sum(1 for _ in ledger.records(project))
        if now == before:
            break
        before = now
        time.sleep(0.5)
    answer = target.client("lambda").invoke(
        FunctionName=target.output("SealLedgersFunctionArn"),
        Payload=json.dumps(_SCHEDULED).encode(),
    )
    answer["Payload"].read()
    checked = [ledger.verify(name, lambda _text: None) for name in ledger.projects()]
    own = next(one for one in checked if one.project == project)
    return {
        "records": own.records,
        "signed": own.signed,
        "objects": own.objects,
        "ledgers": len(checked),
        "findings": [finding for one in checked for finding in one.findings],
        "unmatched": sum(
            1 for record in ledger.records(project) if record["what"] == "ChangeUnmatched"
        ),
        "approvals": sum(
            1 for record in ledger.records(project) if record["what"] == "VersionApproved"
        ),
    }
