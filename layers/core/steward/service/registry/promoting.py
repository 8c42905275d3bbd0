"""A version of the environment before: under which policy it was judged, and who approved it.

Nothing is built again. What comes is the artifact that was approved, by its digest; it is staged
and approved here as any version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.ports import Item, StateStore
from steward.service.policy_in_force import pin_policy

if TYPE_CHECKING:
    from steward.domain.offers import Terms
    from steward.domain.policy.in_force import PinnedPolicy
    from steward.domain.version_archive import Source


@dataclass(frozen=True)
class Promoted:
    """What is brought: where it is from, and its evidence there."""

    source: Source
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Accepted:
    """A promotion that may go on.

    Attributes:
        author: Of code and configuration, as verified where it was trained.
        by: Who asked for it there.
        policy: What its gate judged by there; it requires no less than the policy here.
    """

    author: str
    by: str
    approvers: list[str]
    policy: PinnedPolicy


def check_terms(
    terms: Terms, brought: Promoted, *, by: str, configured: Item, state: StateStore
) -> Accepted:
    """Return whose version comes and by whom, or refuse it.

    Raises:
        EvidenceIncompleteError: The policy is not the one that the evidence names.
        RejectedError: The policy here requires more than the version was judged by, or nobody
            but its author approved it.
    """
    policy = _check_policy(terms, brought.evidence, configured, state)
    author = brought.source.author
    approvers = [name for name in terms.approvers if name.casefold() != author.casefold()]
    if not approvers:
        raise RejectedError(
            "nobody but its author approved it", field="terms.approvers",
            value=terms.approvers, allowed=f"somebody other than {author}",
        )  # fmt: skip
    return Accepted(author, by, approvers, policy)


def _check_policy(
    terms: Terms, evidence: Mapping[str, Any], configured: Item, state: StateStore
) -> PinnedPolicy:
    from pydantic import ValidationError

    from steward.domain.policy.in_force import PinnedPolicy
    from steward.domain.policy.strictness import first_loosening, requirements_digest
    from steward.domain.project import parse_project

    gate = evidence.get("gate")
    named = (gate.get("policy") or {}).get("digest") if isinstance(gate, Mapping) else None
    try:
        judged_by = PinnedPolicy.model_validate(terms.policy)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        field = ".".join(str(part) for part in ("terms.policy", *first["loc"]))
        raise RejectedError(f"{field}: {first['msg']}", field=field, allowed=first["msg"]) from None
    found = requirements_digest(judged_by.requirements)
    if named is None or not found == judged_by.digest == named:
        raise EvidenceIncompleteError(
            "the policy is not the one that the evidence names", field="terms.policy",
            value=found, allowed=str(named),
        )  # fmt: skip
    here = pin_policy(state, parse_project(configured["config"])).requirements
    looser = first_loosening(here, judged_by.requirements)
    if looser is not None:
        raise RejectedError(
            f"the policy here is stricter: {looser.path}: {looser}",
            field=f"policy.{looser.path}", value=looser.value, allowed=looser.allowed,
        )  # fmt: skip
    return judged_by
