"""What a budget lets through, and how its refusal reads."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from steward.domain.budget import Budget, Spent, over_budget
from steward.domain.mails.layout import Where
from steward.domain.mails.training import training_failed


@pytest.mark.parametrize(
    ("budget", "high", "spent", "field"),
    [
        (Budget(), 1e9, 1e9, None),
        (Budget(per_run_usd=2), 2.0, 1e9, None),
        (Budget(per_run_usd=2), 2.01, 0.0, "budget.per_run_usd"),
        (Budget(per_month_usd=10), 4.0, 6.0, None),
        (Budget(per_month_usd=10), 4.0, 6.01, "budget.per_month_usd"),
        (Budget(per_run_usd=1, per_month_usd=1), 2.0, 5.0, "budget.per_run_usd"),
    ],
)
def test_a_run_is_refused_by_the_first_limit_that_it_breaks(
    budget: Budget, high: float, spent: float, field: str | None
) -> None:
    refused = over_budget(budget, high, Spent("2026-11", spent))

    assert (refused.field if refused else None) == field


def test_a_month_of_unknown_cost_is_held_to_no_budget_of_a_month() -> None:
    spent = Spent("2026-11", 0.01, ("dev-churn-3f9a1c0b7d2e-1-train on ml.p5.48xlarge",))
    refused = over_budget(Budget(per_month_usd=10), 0.1, spent)
    assert refused is not None
    assert "no price is known of dev-churn-3f9a1c0b7d2e-1-train on ml.p5.48xlarge" in (
        refused.message
    )
    assert over_budget(Budget(per_run_usd=10), 0.1, spent) is None


@pytest.mark.parametrize("wrong", [0, -1, "much", float("nan")])
def test_a_budget_of_nothing_is_no_budget(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate({"per_run_usd": wrong})


def test_the_mail_says_that_nothing_is_lost_and_what_to_do() -> None:
    where = Where(project="churn", environment="dev", region="us-east-1")
    refused = over_budget(Budget(per_run_usd=2), 3.0, Spent("2026-11", 0.0))
    assert refused is not None

    letter = training_failed(
        where, run_id="3f9a1c0b7d2e-1", failed_state="StartTraining",
        error=type(refused).__name__, cause=refused.message, execution_arn="",
    )  # fmt: skip

    text = " ".join(letter.body.split())
    assert "was refused by its budget" in letter.subject
    assert "the run may cost $3.0000, budget.per_run_usd allows $2.0000. Nothing is lost" in text
    assert "steward cost estimate churn" in text
