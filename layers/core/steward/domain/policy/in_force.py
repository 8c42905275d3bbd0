"""Which requirements hold for a project, and how they are pinned on its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from steward.domain.declaration import MisplacedError
from steward.domain.digests import digest_of
from steward.domain.errors import InvalidProjectError, ReleaseNotAllowedError
from steward.domain.policy.requirements import METRICS_OF, MetricGate, Policy, Requirements
from steward.domain.policy.strictness import effective, requirements_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steward.domain.project import Project


class PinnedPolicy(BaseModel):
    """The policy in force when a run started.

    Attributes:
        name: Of the policy.
        source: Whether it is the shipped one or the organisation's own.
        document_digest: Of the whole policy.
        digest: Of the requirements that hold for this project.
        requirements: Those of the tier with the project's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    source: Literal["platform", "organisation"]
    document_digest: str
    digest: str
    tier: str
    requirements: Requirements


def policy_digest(policy: Policy) -> str:
    """Return the digest of a whole policy, defaults included."""
    return digest_of(policy.model_dump(mode="json"))


def pinned(
    policy: Policy,
    source: Literal["platform", "organisation"],
    project: Project,
    *,
    checks_strategy: bool = True,
) -> PinnedPolicy:
    """Return what holds for a project.

    Raises:
        InvalidProjectError: The project's own requirements are looser than the policy lets them
            be, contradict it, or its release strategy is not allowed.
    """
    try:
        found = effective(policy, project.risk_tier, project.policy)
        bounds = _tightest(found.performance.bounds or [], project.gates)
    except MisplacedError as error:
        raise InvalidProjectError(
            f"policy.{error.path}: {error} (policy {policy.policy}, tier {project.risk_tier})",
            field=f"policy.{error.path}", value=error.value, allowed=error.allowed,
        ) from None  # fmt: skip
    requirements = _of_the_task(found, bounds, project.data.label.task)
    allowed = requirements.strategies if checks_strategy else None
    if allowed and project.release.strategy not in allowed:
        raise InvalidProjectError(
            f"release.strategy: {project.release.strategy} is not allowed in tier "
            f"{project.risk_tier} by policy {policy.policy}",
            field="release.strategy", value=project.release.strategy,
            allowed=", ".join(allowed),
        )  # fmt: skip
    return PinnedPolicy(
        name=policy.policy, source=source, document_digest=policy_digest(policy),
        digest=requirements_digest(requirements), tier=project.risk_tier,
        requirements=requirements,
    )  # fmt: skip


def _of_the_task(found: Requirements, bounds: Sequence[MetricGate], task: str) -> Requirements:
    """Leave out what a policy asks of metrics that this kind of model does not have."""
    metrics = METRICS_OF[task]
    kept = [bound for bound in bounds if bound.metric in metrics] or None
    widest = found.stability.max_interval_width
    widest = {name: most for name, most in (widest or {}).items() if name in metrics} or None
    return found.model_copy(
        update={
            "performance": found.performance.model_copy(update={"bounds": kept}),
            "stability": found.stability.model_copy(update={"max_interval_width": widest}),
        }
    )


def _tightest(bounds: Sequence[MetricGate], gates: Sequence[MetricGate]) -> list[MetricGate]:
    """Return one bound a metric, as tight as the tightest that is declared.

    Raises:
        MisplacedError: Together they leave no value.
    """
    found = {bound.metric: bound for bound in bounds}
    for gate in gates:
        known = found.get(gate.metric)
        if known is None:
            found[gate.metric] = gate
            continue
        low = max((b for b in (known.min, gate.min) if b is not None), default=None)
        high = min((b for b in (known.max, gate.max) if b is not None), default=None)
        if low is not None and high is not None and low > high:
            raise MisplacedError(
                "performance.bounds", f"{gate.metric}: min {low:g} is above max {high:g}",
                low, f"bounds and gates of {gate.metric} that leave a value",
            )  # fmt: skip
        found[gate.metric] = gate.model_copy(update={"min": low, "max": high})
    return list(found.values())


def check_strategy(strategy: str, requirements: Requirements, waived: bool = False) -> None:
    """Raise unless a version may be released in this way.

    Raises:
        ReleaseNotAllowedError: The policy that its run was pinned to does not allow it.
    """
    allowed = requirements.strategies
    if allowed is None or strategy in allowed or waived:
        return
    raise ReleaseNotAllowedError(
        f"the policy in force does not allow the strategy {strategy}",
        field="release.strategy", value=strategy, allowed=", ".join(allowed),
    )  # fmt: skip
