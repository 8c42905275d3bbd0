"""What a project may spend, and whether a run stays within it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from steward.domain.declaration import Strict
from steward.domain.errors import BudgetExceededError


class Budget(Strict):
    """What training may cost. Over it a run is refused; its deliveries wait for the next one.

    Attributes:
        per_run_usd: The high estimate of one run; null for no limit.
        per_month_usd: What a calendar month (UTC) may cost, staging and releases included: what
            was recorded and the high estimate of the run together; null for no limit.
    """

    per_run_usd: float | None = Field(default=None, gt=0)
    per_month_usd: float | None = Field(default=None, gt=0)

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to hold a run to."""
        return self.per_run_usd is not None or self.per_month_usd is not None


@dataclass(frozen=True)
class Spent:
    """What a project is known to have spent.

    Attributes:
        month: Such as ``2026-11``.
        dollars: Of what has a price.
        unpriced: Jobs and instance types of the month without a known price.
    """

    month: str
    dollars: float
    unpriced: tuple[str, ...] = ()


def over_budget(budget: Budget, high: float, spent: Spent) -> BudgetExceededError | None:
    """Return why a run may not start, or None.

    Args:
        budget: The project's.
        high: High estimate of the run.
        spent: What was recorded in this month.
    """
    if budget.per_run_usd is not None and high > budget.per_run_usd:
        return BudgetExceededError(
            f"the run may cost ${high:.4f}, budget.per_run_usd allows ${budget.per_run_usd:.4f}",
            field="budget.per_run_usd", value=round(high, 4),
            allowed=f"at most {budget.per_run_usd}; raise it in project.yaml and push",
        )  # fmt: skip
    if budget.per_month_usd is not None and spent.unpriced:
        return BudgetExceededError(
            f"what was spent in {spent.month} is not known: no price is known of"
            f" {', '.join(spent.unpriced[:3])}",
            field="budget.per_month_usd", value=round(spent.dollars + high, 4),
            allowed="a month whose jobs have prices: wait for the next one, or take"
            " budget.per_month_usd out of project.yaml and push",
        )  # fmt: skip
    if budget.per_month_usd is not None and spent.dollars + high > budget.per_month_usd:
        return BudgetExceededError(
            f"${spent.dollars:.4f} were spent in {spent.month} and the run may cost ${high:.4f};"
            f" budget.per_month_usd allows ${budget.per_month_usd:.4f}",
            field="budget.per_month_usd", value=round(spent.dollars + high, 4),
            allowed=f"at most {budget.per_month_usd}; raise it in project.yaml and push,"
            " or wait for the next month",
        )  # fmt: skip
    return None
