"""Potential harms, answered with mitigations, come to a tier that a project cannot undercut."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.errors import InvalidProjectError
from steward.domain.policy.risk import QUESTIONNAIRES, Risk, assess
from steward.domain.project import parse_project
from support.registry_scene import CONFIG

KEYS = [question.key for question in QUESTIONNAIRES["1"]]
DONE = "a clinician reads every prediction"


def answered(**harms: str | tuple[str, str]) -> dict[str, Any]:
    answers: dict[str, Any] = {key: {"harm": "none"} for key in KEYS}
    for key, told in harms.items():
        harm, mitigation = told if isinstance(told, tuple) else (told, "")
        answers[key] = {"harm": harm, "mitigation": mitigation}
    return {"answers": answers}


@pytest.mark.parametrize(
    ("harms", "tier", "score"),
    [
        ({}, "minimal", 0),
        ({"money": "minor"}, "minimal", 1),
        ({"money": "serious"}, "limited", 2),
        ({"money": ("serious", DONE)}, "minimal", 1),
        ({"money": ("minor", DONE)}, "minimal", 1),
        ({"money": "severe"}, "high", 3),
        ({"money": ("severe", DONE)}, "limited", 2),
        ({"safety": ("severe", DONE)}, "high", 2),
        (dict.fromkeys(KEYS[:6], "minor"), "limited", 6),
        (dict.fromkeys(KEYS[3:10], "serious"), "high", 14),
    ],
)
def test_answers_are_scored_to_a_tier(harms: dict[str, Any], tier: str, score: int) -> None:
    found = assess(Risk.model_validate(answered(**harms)))
    assert (found.tier, found.score) == (tier, score)
    assert found.why


def declare(tier: str, risk: dict[str, Any]) -> Any:
    return parse_project({**CONFIG, "risk_tier": tier, "risk": risk})


def test_a_lower_tier_than_the_answers_give_is_refused() -> None:
    with pytest.raises(InvalidProjectError) as refused:
        declare("limited", answered(safety="severe"))
    assert (refused.value.field, refused.value.allowed) == ("risk_tier", "high")
    assert "safety is severe" in refused.value.message
    assert declare("high", answered(safety="severe")).risk is not None
    assert declare("high", answered()).risk_tier == "high"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"money": None}, "risk.answers.money"),
        ({"weather": {"harm": "none"}}, "risk.answers.weather"),
        ({"money": {"harm": "awful"}}, "risk.answers.money.harm"),
        ({"money": {"harm": "minor", "mitigation": "ok"}}, "risk.answers.money.mitigation"),
    ],
)
def test_a_questionnaire_is_answered_as_it_was_asked(change: dict[str, Any], field: str) -> None:
    risk = answered()
    for key, answer in change.items():
        risk["answers"].pop(key, None)
        if answer is not None:
            risk["answers"][key] = answer
    with pytest.raises(InvalidProjectError) as refused:
        declare("limited", risk)
    assert refused.value.field == field
