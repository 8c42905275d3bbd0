"""What ``project.yaml`` declares under ``batch``: files that are scored whole."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from steward.domain.declaration import GroupName, MisplacedError, Strict
from steward.domain.prices import US_EAST_1

_EXPRESSION = re.compile(
    r"rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)"
    r"|cron\(\S+ \S+ \S+ \S+ \S+ \S+\)"
)
Place = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$",
                           max_length=200)
]  # fmt: skip
"""Part of a key: folders of plain names, without a slash at either end."""


class BatchInput(Strict):
    """What is scored: deliveries of a source, or files below a prefix.

    Attributes:
        source: `data` or a source below `data.sources`: its newest accepted delivery, without rows
            that were set aside.
        prefix: Folder below `batch-input/<project>/` of the data bucket; all files in it together.
    """

    source: GroupName | None = None
    prefix: Place | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.source is None) == (self.prefix is None):
            raise MisplacedError(
                "source", "the input is either a source or a prefix", self.source,
                "source: NAME, or prefix: FOLDER",
            )  # fmt: skip
        return self


class BatchChecks(Strict):
    """What a result must hold before anybody gets it, beside one score for each row, in order.

    Attributes:
        max_refused_share: Largest share of the input's rows that may break the rules of requests
            and get no score; above it nothing is scored.
        min_score: Least score that is possible; 0 of a binary label by default.
        max_score: Greatest score that is possible; 1 of a binary label by default.
        max_drift: Largest effect, |2 AUC - 1| or Wasserstein / IQR, of scores against the version's
            predictions on held-out rows; refused where it is larger and a test at 0.001 agrees.
            Null for no such check.
    """

    max_refused_share: float = Field(default=0.0, ge=0, lt=1)
    min_score: float | None = None
    max_score: float | None = None
    max_drift: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        low, high = self.min_score, self.max_score
        if low is not None and high is not None and low >= high:
            raise MisplacedError(
                "min_score", f"min_score {low:g} must be below max_score {high:g}", low,
                f"a number below {high:g}",
            )  # fmt: skip
        return self


class Batch(Strict):
    """Files that are scored whole, by transform jobs of the version in production.

    Attributes:
        input: What is scored.
        schedule: `rate(...)` or `cron(...)` of EventBridge Scheduler; null for none. An input that
            the same version has scored is not scored again.
        timezone: Of a `cron(...)`.
        on_delivery: Score each delivery of `input.source` once it is accepted.
        output: Folder below `scores/<project>/` of the data bucket.
        checks: What a result must hold.
        instance_type: Of the transform job; one that the price table lists.
        instance_count: Instances; the rows are cut into as many files.
        max_runtime_s: The transform job is stopped after it.
        expires_after_days: Delivered scores are deleted after it; null keeps them.
    """

    input: BatchInput
    schedule: str | None = None
    timezone: str = Field(default="UTC", pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    on_delivery: bool = False
    output: Place = "batch"
    checks: BatchChecks = Field(default_factory=BatchChecks)
    instance_type: str = Field(default="ml.m5.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    instance_count: int = Field(default=1, ge=1, le=20)
    max_runtime_s: int = Field(default=3600, ge=60, le=36_000)
    expires_after_days: Literal[1, 7, 30, 90, 365] | None = 90

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        known = US_EAST_1.instance_hour
        if self.instance_type not in known:
            raise MisplacedError(
                "instance_type", f"not in the price table ({US_EAST_1.label()})",
                self.instance_type, ", ".join(sorted(known)),
            )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _starts_as_it_can(self) -> Self:
        if self.schedule is not None and not _EXPRESSION.fullmatch(self.schedule):
            raise MisplacedError(
                "schedule", "not an expression of EventBridge Scheduler", self.schedule,
                "rate(N minutes|hours|days), rate(1 day), or cron(MIN HOUR DAY MONTH WEEKDAY YEAR)",
            )  # fmt: skip
        if self.on_delivery and self.input.source is None:
            raise MisplacedError(
                "on_delivery", "files below a prefix are no deliveries", True,
                "false, or input: {source: NAME}",
            )  # fmt: skip
        return self

    def check_source(self, known: set[str]) -> None:
        """Refuse a source that the project does not have.

        Raises:
            MisplacedError: ``input.source`` is none of them.
        """
        if self.input.source is not None and self.input.source not in known:
            raise MisplacedError(
                "input.source", "the project has no such source", self.input.source,
                ", ".join(sorted(known)),
            )  # fmt: skip


def score_range(checks: BatchChecks, task: str) -> tuple[float | None, float | None]:
    """Return the least and the greatest score that is possible, None where there is no bound."""
    low, high = checks.min_score, checks.max_score
    if task == "binary":
        return (0.0 if low is None else max(0.0, low)), (1.0 if high is None else min(1.0, high))
    return low, high
