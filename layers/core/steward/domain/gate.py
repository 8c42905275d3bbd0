"""The gate before the registry: a pure function of evidence, with a reason for each rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of

if TYPE_CHECKING:
    from steward.domain.project import MetricGate

RiskTier = Literal["minimal", "limited", "high"]
GateVerdict = Literal["pass", "hold"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class SliceFinding(_Frozen):
    """A slice of the comparison, as far as the gate needs it."""

    column: str
    value: str
    rows: int
    difference: float
    lower: float | None
    verdict: Literal["proved_worse", "not_proved_worse", "not_judged"]


class VersusChampion(_Frozen):
    """The comparison with the version in production; losses, so smaller is better."""

    verdict: Literal["pass", "worse", "inconclusive"]
    difference: float = Field(description="mean loss of the candidate minus the champion's")
    lower: float
    upper: float
    margin: float
    rows: int
    slices: list[SliceFinding] = Field(default_factory=list)


class ChampionFailed(_Frozen):
    """A version is in production, but its code does not answer the held-out rows."""

    reason: str


ChampionFinding = VersusChampion | ChampionFailed | None


class MetricFinding(_Frozen):
    """A held-out metric of the candidate."""

    value: float | None
    lower: float | None = None
    upper: float | None = None
    undefined_because: str | None = None


class GateReason(_Frozen):
    """One rule and what came of it."""

    rule: str
    verdict: GateVerdict
    message: str


class GateJudgement(_Frozen):
    """The verdict; ``hold`` when any rule holds."""

    verdict: GateVerdict
    reasons: list[GateReason]
    inputs_digest: str


def judge(
    metrics: Mapping[str, MetricFinding],
    champion: ChampionFinding,
    gates: Sequence[MetricGate],
    tier: RiskTier,
) -> GateJudgement:
    """Judge a candidate.

    Rules, in this order; all are judged, so that a report names everything:

    1. ``gate.<metric>``: each bound that the project declares, on the point estimate over all
       held-out rows. A metric that is undefined there holds.
    2. ``champion``: ``pass`` (non-inferior within the margin) passes and ``worse`` holds. An
       ``inconclusive`` comparison holds in the tiers limited and high: too little data is no
       proof. In the tier minimal it passes when the estimated difference is below the margin,
       since a person still approves and a release still rolls back; the reason says so. Not
       being better than the champion is no fault (STATISTICS rules 2 and 5).
    3. ``slice``: a slice holds only when it is proved worse; thinner slices are not judged
       (rule 3).

    Without a champion only the first rule is judged. So it is with a champion whose code fails
    on the held-out rows, or nobody could ever replace it; in the tier high that holds, and a
    person must look first.

    Args:
        metrics: Held-out metrics of the candidate by name.
        champion: The comparison, or that there is none; None where no version is in production.
        gates: Bounds that the project declares.
        tier: Risk tier of the project.
    """
    reasons = [_judge_bound(gate, metrics.get(gate.metric)) for gate in gates]
    if champion is None:
        reasons.append(
            GateReason(
                rule="champion",
                verdict="pass",
                message="no version is in production: the absolute gates alone decide",
            )
        )
    elif isinstance(champion, ChampionFailed):
        reasons.append(
            GateReason(
                rule="champion",
                verdict="hold" if tier == "high" else "pass",
                message=f"the champion does not answer the held-out rows: {champion.reason}",
            )
        )
    else:
        reasons.append(_judge_champion(champion, tier))
        reasons.extend(_judge_slices(champion.slices))
    held = any(reason.verdict == "hold" for reason in reasons)
    inputs = {
        "metrics": {name: found.model_dump(mode="json") for name, found in metrics.items()},
        "champion": champion.model_dump(mode="json") if champion else None,
        "gates": [gate.model_dump(mode="json") for gate in gates],
        "tier": tier,
    }
    return GateJudgement(
        verdict="hold" if held else "pass", reasons=reasons, inputs_digest=digest_of(inputs)
    )


def _judge_bound(gate: MetricGate, found: MetricFinding | None) -> GateReason:
    rule = f"gate.{gate.metric}"
    if found is None or found.value is None:
        why = (found.undefined_because if found else None) or "it was not measured"
        return GateReason(rule=rule, verdict="hold", message=f"{gate.metric} is undefined: {why}")
    interval = ""
    if found.lower is not None and found.upper is not None:
        interval = f" (interval {found.lower:.4f} to {found.upper:.4f})"
    value = f"{gate.metric} {found.value:.4f}{interval}"
    if gate.min is not None and found.value < gate.min:
        return GateReason(
            rule=rule, verdict="hold", message=f"{value} is below the minimum {gate.min:g}"
        )
    if gate.max is not None and found.value > gate.max:
        return GateReason(
            rule=rule, verdict="hold", message=f"{value} is above the maximum {gate.max:g}"
        )
    return GateReason(rule=rule, verdict="pass", message=f"{value} keeps its bound")


def _judge_champion(found: VersusChampion, tier: RiskTier) -> GateReason:
    numbers = (
        f"difference in loss {found.difference:+.4f}, limits {found.lower:+.4f} to "
        f"{found.upper:+.4f}, margin {found.margin:g}, {found.rows} held-out rows"
    )
    if found.verdict == "pass":
        return GateReason(
            rule="champion", verdict="pass", message=f"not worse than the champion: {numbers}"
        )
    if found.verdict == "worse":
        return GateReason(
            rule="champion", verdict="hold", message=f"proved worse than the champion: {numbers}"
        )
    if tier == "minimal" and found.difference < found.margin:
        return GateReason(
            rule="champion",
            verdict="pass",
            message=f"not proved non-inferior, let through by the tier minimal: {numbers}",
        )
    return GateReason(
        rule="champion",
        verdict="hold",
        message=f"too little data to prove it is not worse than the champion: {numbers}",
    )


def _judge_slices(slices: Sequence[SliceFinding]) -> list[GateReason]:
    worse = [found for found in slices if found.verdict == "proved_worse"]
    if worse:
        return [
            GateReason(
                rule=f"slice.{found.column}",
                verdict="hold",
                message=(
                    f"{found.column} {found.value}: proved worse on {found.rows} rows, "
                    f"difference in loss {found.difference:+.4f}"
                ),
            )
            for found in worse
        ]
    judged = sum(found.verdict == "not_proved_worse" for found in slices)
    if not slices:
        return []
    thin = len(slices) - judged
    return [
        GateReason(
            rule="slice",
            verdict="pass",
            message=f"no slice is proved worse: {judged} judged, {thin} too thin to judge",
        )
    ]
