"""What one risk tier requires; the same keys override them in ``project.yaml``.

A key that is left out requires nothing, or leaves what the policy says. Each field names the
direction in which it is stricter, which is what ``domain.policy.strictness`` compares by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from steward.domain.declaration import MisplacedError, Strict
from steward.domain.release_declaration import StrategyName

Escalation = Literal["pass", "quorum", "hold"]
"""What an inconclusive rule does: let through, ask for a second person, or hold."""

EvidencePart = Literal["baseline", "bias", "comparison", "dataset", "evaluation", "explanation"]
DocumentationPart = Literal["description", "owner", "risk"]
MetricName = Literal["brier", "log_loss", "accuracy", "roc_auc", "rmse", "mae", "r2"]
METRICS_OF: Mapping[str, tuple[MetricName, ...]] = {
    "binary": ("brier", "log_loss", "accuracy", "roc_auc"), "regression": ("rmse", "mae", "r2"),
}  # fmt: skip
"""Held-out metrics by ``data.label.task``."""
_UNBOUNDED = frozenset({"log_loss", "rmse", "mae"})
BiasMetricName = Literal[
    "CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL", "DPPL", "DI", "DCAcc", "DCR", "SD", "RD",
    "DAR", "DRR", "AD", "CDDPL", "TE", "FT", "GE",
]  # fmt: skip
MINIMUM_ROWS = 100
"""Rows of a bias metric's own denominator below which nothing is concluded (STATISTICS 33)."""

Stricter = Literal["larger", "smaller", "superset", "subset", "later", "bounds", "each_smaller"]


def _key(stricter: Stricter | None = None, **limits: Any) -> Any:
    """Return a field without default value that is stricter in this direction."""
    return Field(default=None, json_schema_extra={"stricter": stricter}, **limits)


def _ordered(low: float | None, high: float | None) -> None:
    if low is None and high is None:
        raise MisplacedError("min", "a bound needs min or max", None, "a number for min or max")
    if low is not None and high is not None and low > high:
        raise MisplacedError("min", f"min {low:g} is above max {high:g}", low, f"at most {high:g}")


class MetricGate(Strict):
    """A bound on a held-out metric, beside the comparison with the champion.

    Attributes:
        metric: Held-out metric.
        min: Lowest value that passes.
        max: Highest value that passes.
    """

    metric: MetricName
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a gate needs min or max")
        ceiling = float("inf") if self.metric in _UNBOUNDED else 1.0
        floor = float("-inf") if self.metric == "r2" else 0.0
        for name, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and not floor <= bound <= ceiling:
                raise ValueError(
                    f"{name} {bound} is impossible: {self.metric} lies in {floor:g} to {ceiling}"
                )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class FacetBound(Strict):
    """Where a bias metric's whole interval has to lie, for every facet.

    Attributes:
        metric: By SageMaker Clarify's name.
        min: Lowest value that is kept.
        max: Highest value that is kept.
    """

    metric: BiasMetricName
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        _ordered(self.min, self.max)
        return self


class PerformanceRules(Strict):
    """How well the candidate answers held-out rows.

    Attributes:
        bounds: Of held-out metrics, on the point estimate.
        inconclusive: When the data is too little to prove that the candidate is not worse than
            the champion. `pass` lets it through only while the estimated loss is below the
            margin.
        champion_failed: When the champion's code does not answer the held-out rows. Where it may
            have trained on some of them, `pass` means `quorum`.
    """

    bounds: list[MetricGate] | None = _key("bounds")
    inconclusive: Escalation | None = _key("later")
    champion_failed: Escalation | None = _key("later")


class SliceRules(Strict):
    """Parts of the held-out rows. A slice that is proved worse always holds.

    Attributes:
        not_judged: When a slice has too few rows to be judged.
    """

    not_judged: Escalation | None = _key("later")


class BiasRules(Strict):
    """Treatment of groups, judged by intervals.

    Attributes:
        bounds: Of bias metrics, for every facet that the project declares.
        minimum_rows: Of the metric's own denominator, in the smaller facet.
        inconclusive: When an interval reaches across a bound, or the rows are too few.
    """

    bounds: list[FacetBound] | None = _key("bounds")
    minimum_rows: int | None = _key("larger", ge=1)
    inconclusive: Escalation | None = _key("later")


class StabilityRules(Strict):
    """How sure the measured performance is.

    Attributes:
        max_interval_width: Upper minus lower end of a held-out metric's interval.
    """

    max_interval_width: dict[MetricName, Annotated[float, Field(gt=0)]] | None = _key(
        "each_smaller"
    )


class ExplanationRules(Strict):
    """What the explanation of the candidate must keep.

    Attributes:
        max_gap: Largest distance between a prediction and the sum of its attributions.
        max_share: Largest share of all attributions that one feature may have.
        minimum_rows: Rows that were explained.
    """

    max_gap: float | None = _key("smaller", ge=0)
    max_share: float | None = _key("smaller", gt=0, le=1)
    minimum_rows: int | None = _key("larger", ge=1)


class DataRules(Strict):
    """The data that the candidate was trained and judged on.

    Attributes:
        minimum_heldout_rows: Rows that judged it.
        minimum_train_rows: Rows that trained it.
        max_set_aside: Share of delivered rows that validation set aside.
    """

    minimum_heldout_rows: int | None = _key("larger", ge=1)
    minimum_train_rows: int | None = _key("larger", ge=1)
    max_set_aside: float | None = _key("smaller", ge=0, lt=1)


class DocumentationRules(Strict):
    """What must be written down in the declaration.

    Attributes:
        required: Parts that may not be empty; `risk` is an answered questionnaire.
        minimum_characters: Of the description.
    """

    required: list[DocumentationPart] | None = _key("superset")
    minimum_characters: int | None = _key("larger", ge=1, le=500)


class WaiverRules(Strict):
    """Whether a person may let a rule be broken for a while.

    Attributes:
        allowed: Whether at all.
        max_lifetime_s: Longest time that a waiver holds.
        never: Families of rules that are never waived, such as `evidence`.
    """

    allowed: bool | None = _key("smaller")
    max_lifetime_s: int | None = _key("smaller", ge=60)
    never: list[str] | None = _key("superset")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for index, family in enumerate(self.never or ()):
            if family not in RULE_FAMILIES:
                raise MisplacedError(
                    f"never[{index}]", f"there are no rules {family!r}", family,
                    ", ".join(RULE_FAMILIES),
                )  # fmt: skip
        return self


class Requirements(Strict):
    """What a model has to show, and who decides, in one risk tier.

    Attributes:
        evidence: Parts that must be there.
        performance: How well it answers held-out rows.
        slices: Parts of those rows.
        bias: Treatment of groups.
        stability: How sure the measured performance is.
        explanation: What its explanation must keep.
        data: What it was trained and judged on.
        documentation: What must be written down.
        quorum: People who must approve.
        approval_lifetime_s: Longest time that an approval request stays open; `approval.lifetime_s`
            counts where it is shorter.
        remind_before_s: Time before a request expires at which approvers are reminded.
        strategies: Release strategies that are allowed.
        waivers: Whether rules may be waived.
    """

    evidence: list[EvidencePart] | None = _key("superset")
    performance: PerformanceRules = Field(default_factory=PerformanceRules)
    slices: SliceRules = Field(default_factory=SliceRules)
    bias: BiasRules = Field(default_factory=BiasRules)
    stability: StabilityRules = Field(default_factory=StabilityRules)
    explanation: ExplanationRules = Field(default_factory=ExplanationRules)
    data: DataRules = Field(default_factory=DataRules)
    documentation: DocumentationRules = Field(default_factory=DocumentationRules)
    quorum: int | None = _key("larger", ge=1, le=10)
    approval_lifetime_s: int | None = _key("smaller", ge=60)
    remind_before_s: int | None = _key(ge=1)
    strategies: list[StrategyName] | None = _key("subset", min_length=1)
    waivers: WaiverRules = Field(default_factory=WaiverRules)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for path, bounds in (
            ("performance.bounds", self.performance.bounds),
            ("bias.bounds", self.bias.bounds),
        ):
            names = [bound.metric for bound in bounds or ()]
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise MisplacedError(
                        f"{path}[{index}].metric", f"{name} is bounded twice", name,
                        "each metric once",
                    )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        lifetime, reminder = self.approval_lifetime_s, self.remind_before_s
        if lifetime is not None and reminder is not None and reminder >= lifetime:
            raise MisplacedError(
                "remind_before_s", "the reminder would come before the request", reminder,
                f"below approval_lifetime_s, {lifetime}",
            )  # fmt: skip
        if self.evidence is not None:
            for part, told in (("bias", self.bias.bounds), ("explanation", self._explains())):
                if told and part not in self.evidence:
                    raise MisplacedError(
                        "evidence", f"{part} has bounds, but {part} evidence is not required",
                        list(self.evidence), f"a list with {part}, or no bounds",
                    )  # fmt: skip
        return self

    def _explains(self) -> bool:
        rules = self.explanation
        return any(bound is not None for bound in (rules.max_share, rules.minimum_rows))


class Tiers(Strict):
    """Requirements by risk tier; a higher tier requires at least what a lower one does.

    Attributes:
        minimal: Little can go wrong.
        limited: Mistakes are seen and put right.
        high: People can be harmed.
    """

    minimal: Requirements
    limited: Requirements
    high: Requirements


class Policy(Strict):
    """A governance policy: what each risk tier requires of every project.

    Attributes:
        policy: Name.
        description: One sentence for people.
        overrides: `tighten` refuses a project's override that is looser than the policy; `any`
            takes it.
        tiers: Requirements by risk tier.
    """

    policy: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    description: str = Field(default="", max_length=500)
    overrides: Literal["tighten", "any"] = "tighten"
    tiers: Tiers


PARTS: tuple[str, ...] = get_args(EvidencePart)
RULE_FAMILIES = (
    "bias", "champion", "data", "documentation", "evidence", "explanation", "gate", "slice",
    "stability", "strategy",
)  # fmt: skip
"""First words of the names of all rules."""
