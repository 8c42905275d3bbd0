"""The one check that a version may go into production."""

from __future__ import annotations

from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.versions import VersionState
from steward.ports import Item

RELEASABLE = (VersionState.APPROVED, VersionState.RELEASING)


def check_approved(record: Item, evidence_digest: str | None = None) -> None:
    """Refuse a version that the registry does not hold as approved for its evidence.

    Args:
        record: The registry's item of the version.
        evidence_digest: What the approval named; None to check the record by itself.

    Raises:
        ReleaseNotAllowedError: State, digest or quorum do not allow a release.
    """
    version = record["version"]

    def refuse(field: str, value: object, allowed: str) -> ReleaseNotAllowedError:
        return ReleaseNotAllowedError(
            f"version {version} may not be released: {field} is {value!r}",
            field=field, value=value, allowed=allowed,
        )  # fmt: skip

    from steward.domain.approvals import Ballot

    ballot = Ballot.model_validate(record)
    if ballot.state not in RELEASABLE:
        raise refuse("state", ballot.state.value, "approved")
    if not ballot.evidence_digest or evidence_digest not in (None, ballot.evidence_digest):
        raise refuse("evidence_digest", evidence_digest, str(ballot.evidence_digest))
    people = {name.casefold() for name in ballot.approvers} - {ballot.author.casefold()}
    if len(people) < ballot.needed:
        raise refuse("approvals", len(people), f"{ballot.needed} people, not the author")
