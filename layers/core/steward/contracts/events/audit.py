"""Events of the ledger."""

from __future__ import annotations

from typing import ClassVar, Literal

from steward.contracts.events.envelope import Payload


class LedgerTampered(Payload):
    """An item of the ledger was changed or removed: each is written once and stays.

    Attributes:
        item: Its sort key, such as ``record#000000000007``.
        change: MODIFY or REMOVE, as the table's stream says.
        by: Principal that the stream names, such as DynamoDB for an expiry; empty for none.
        before: SHA-256 of the item as it was.
        after: SHA-256 of the item as it is; None where it is gone.
    """

    source: ClassVar[str] = "steward.audit"
    item: str
    change: Literal["MODIFY", "REMOVE"]
    by: str = ""
    before: str
    after: str | None = None


class LedgerBroken(Payload):
    """A ledger is not signed further, since what was to be signed is not right.

    Attributes:
        kind: As the verifier names it, or ``unkept`` and ``differs`` for a record's object.
        seq: Number of the first record that is not right.
    """

    source: ClassVar[str] = "steward.audit"
    kind: str
    seq: int
    told: str


class ChangeUnmatched(Payload):
    """CloudTrail recorded a change that no record of Steward explains.

    Attributes:
        call: Name of the API call, such as ``UpdateModelPackage``.
        resource: What was changed.
        principal: ARN of who did it.
        at: When, as CloudTrail says.
        call_id: CloudTrail's ``eventID``.
        reason: Why nothing explains it.
        source_ip: Where the call came from.
    """

    source: ClassVar[str] = "steward.audit"
    call: str
    resource: str
    principal: str
    at: str
    call_id: str
    reason: str
    source_ip: str = ""
