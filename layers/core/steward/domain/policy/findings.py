"""What was found of a candidate, as far as a policy judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RuleVerdict = Literal["pass", "hold", "inconclusive"]


class Frozen(BaseModel):
    """A part of the findings: plain, finite values alone, so that it has a digest."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


class SliceFinding(Frozen):
    """A slice of the comparison."""

    column: str
    value: str
    rows: int
    difference: float
    lower: float | None
    verdict: Literal["proved_worse", "not_proved_worse", "not_judged"]


class VersusChampion(Frozen):
    """The comparison with the version in production; losses, so smaller is better."""

    verdict: Literal["pass", "worse", "inconclusive"]
    difference: float = Field(description="mean loss of the candidate minus the champion's")
    lower: float
    upper: float
    margin: float
    rows: int
    undecided_because: str | None = Field(
        default=None, description="why rows like these can prove nothing, however they differ"
    )
    slices: list[SliceFinding] = Field(default_factory=list)


class ChampionFailed(Frozen):
    """A version is in production, but cannot be judged by the held-out rows.

    Attributes:
        reason: What its code failed with, or how it came to know the rows.
        saw_rows: Whether it may have trained on some of them; else its code does not answer.
    """

    reason: str
    saw_rows: bool = False


ChampionFinding = VersusChampion | ChampionFailed | None


class MetricFinding(Frozen):
    """A metric with its interval; None where it, or its interval, is undefined, with the reason."""

    value: float | None
    lower: float | None = None
    upper: float | None = None
    undefined_because: str | None = None


class BiasMetricFinding(MetricFinding):
    """A bias metric of one facet.

    Attributes:
        rows: Of the metric's own denominator, in the facet that has fewer.
    """

    name: str
    rows: int


class DeclaredVerdict(Frozen):
    """What a bound of the project's own concluded when bias was measured."""

    metric: str
    verdict: RuleVerdict
    reason: str


class FacetFinding(Frozen):
    """Bias metrics of one facet."""

    name: str
    metrics: list[BiasMetricFinding] = Field(default_factory=list)
    declared: list[DeclaredVerdict] = Field(default_factory=list)


class ExplanationFinding(Frozen):
    """What the explanation of the candidate shows.

    Attributes:
        max_gap: Largest distance between a prediction and the sum of its attributions.
        largest: Name of the feature with the largest share of all attributions.
        largest_share: That share.
    """

    additive: bool
    max_gap: float | None
    rows: int
    largest: str | None = None
    largest_share: float | None = None


class DataFinding(Frozen):
    """Rows of the dataset, of its manifest."""

    train_rows: int | None = None
    heldout_rows: int | None = None
    delivered_rows: int | None = None
    set_aside_rows: int | None = None


class DocumentationFinding(Frozen):
    """What the declaration says in words."""

    description: str = ""
    owner: str = ""
    risk_answered: bool = False


class WaiverInForce(Frozen):
    """A waiver that held when a candidate was judged."""

    waiver_id: str
    rule: str
    by: str
    reason: str
    expires_at: str


class Findings(Frozen):
    """Everything that a gate is a function of, beside the policy.

    Attributes:
        evidence: SHA-256 of each part that is there.
        metrics: Held-out metrics by name.
        champion: The comparison, or that there is no champion.
        bias: By facet; None without bias evidence.
        waivers: Those in force for this candidate.
    """

    evidence: Mapping[str, str]
    metrics: Mapping[str, MetricFinding] = Field(default_factory=dict)
    champion: ChampionFinding = None
    bias: Sequence[FacetFinding] | None = None
    explanation: ExplanationFinding | None = None
    data: DataFinding | None = None
    documentation: DocumentationFinding = Field(default_factory=DocumentationFinding)
    waivers: Sequence[WaiverInForce] = ()


class RuleJudgement(Frozen):
    """One rule, what came of it and why.

    Attributes:
        effect: What it does to the candidate: a rule that is inconclusive passes, asks for a
            second person or holds, as the tier says; a waived one passes.
        waived_by: Id of the waiver.
    """

    rule: str
    verdict: RuleVerdict
    effect: Literal["pass", "quorum", "hold"]
    message: str
    waived_by: str | None = None


class Judgement(Frozen):
    """The verdict and one reason a rule.

    Attributes:
        verdict: ``hold`` when a rule holds; ``inconclusive`` when none does and one asks for a
            second person; else ``pass``.
        quorum: People who must approve.
        inputs_digest: Of findings and requirements.
    """

    verdict: RuleVerdict
    rules: list[RuleJudgement]
    quorum: int
    inputs_digest: str
