"""The checks that a version may go into production, and in this way."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.versions import VersionState
from steward.ports import Item, StateStore
from steward.service.policy_in_force import pinned_policy_of, waivers_of

if TYPE_CHECKING:
    from steward.domain.project import Project

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
    barred = {who.casefold() for who in (ballot.author, ballot.trainer) if who}
    people = {name.casefold() for name in ballot.approvers} - barred
    if len(people) < ballot.needed:
        raise refuse("approvals", len(people), f"{ballot.needed} people, not the author")


def check_allowed_strategy(
    record: Item, project: Project, *, state: StateStore, now: datetime
) -> None:
    """Refuse a release strategy that the policy of the version's run does not allow.

    A waiver of the rule ``strategy`` that names this version, or all of the project, lets it
    through.

    Raises:
        ReleaseNotAllowedError: ``allowed`` lists the strategies that are.
    """
    from steward.domain.policy.in_force import check_strategy
    from steward.domain.policy.waivers import in_force

    requirements = pinned_policy_of(record, project).requirements
    strategy = project.release.strategy
    if requirements.strategies is None or strategy in requirements.strategies:
        return
    waivers = in_force(
        waivers_of(state, project.project), now=now, author=str(record.get("author", "")),
        rules=requirements.waivers, run_id=str(record.get("run_id")),
        version=int(record["version"]),
    )  # fmt: skip
    waived = any(waiver.rule == "strategy" for waiver in waivers)
    check_strategy(strategy, requirements, waived)
