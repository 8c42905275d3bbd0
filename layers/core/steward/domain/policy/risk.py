"""Risk assessment: questions on potential harms, answered with mitigations, scored to a tier.

Questions are versioned: an answered questionnaire keeps its meaning when later ones differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from steward.domain.declaration import MisplacedError, Strict

Harm = Literal["none", "minor", "serious", "severe"]
Tier = Literal["minimal", "limited", "high"]
LEVELS: tuple[Harm, ...] = get_args(Harm)
TIERS: tuple[Tier, ...] = get_args(Tier)


@dataclass(frozen=True)
class Question:
    """One potential harm.

    Attributes:
        floor: Whether a severe answer is of the high tier whatever mitigates it.
    """

    key: str
    text: str
    floor: bool = False


QUESTIONNAIRES: dict[str, tuple[Question, ...]] = {
    "1": (
        Question("safety", "Could a wrong prediction harm somebody's health or life?", True),
        Question(
            "rights",
            "Does it take part in deciding on work, credit, schooling, care, benefits or law?",
            True,
        ),
        Question("discrimination", "Could groups of people be treated worse than others?", True),
        Question("vulnerable", "Are children, patients or others in need of protection judged?"),
        Question("privacy", "Does it use or reveal health, location or other sensitive data?"),
        Question("money", "Could a wrong prediction cost somebody, or us, much money?"),
        Question("autonomy", "Are predictions acted on without a person who can overrule them?"),
        Question("reversibility", "Are consequences of a wrong prediction hard to undo?"),
        Question("scale", "Would a fault hit many people before somebody notices?"),
        Question("opacity", "Would those who are judged be unable to learn why?"),
        Question("misuse", "Could the predictions be used for something that harms?"),
        Question("dependence", "Would people stop watching and rely on it alone?"),
    )
}

HIGH_FROM, LIMITED_FROM = 14, 6
"""Sums of remaining harm from which a model is of the high and of the limited tier."""


class Answer(Strict):
    """One answer.

    Attributes:
        harm: How bad it would be: `none`, `minor`, `serious` or `severe`.
        mitigation: What is done about it; lowers the remaining harm by one level.
        why: A reason for the answer.
    """

    harm: Harm
    mitigation: str = Field(default="", max_length=500)
    why: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _worth_it(self) -> Self:
        if self.mitigation and len(self.mitigation.strip()) < 10:
            raise MisplacedError(
                "mitigation", "a mitigation says what is done", self.mitigation,
                "a sentence, or nothing",
            )  # fmt: skip
        return self


class Risk(Strict):
    """The answered questionnaire of potential harms.

    Attributes:
        questionnaire: Version of the questions.
        answers: By question; all must be answered.
    """

    questionnaire: Literal["1"] = "1"
    answers: dict[Annotated[str, Field(max_length=40)], Answer]

    @model_validator(mode="after")
    def _all_answered(self) -> Self:
        asked = [question.key for question in QUESTIONNAIRES[self.questionnaire]]
        for key in self.answers:
            if key not in asked:
                raise MisplacedError(
                    f"answers.{key}", "there is no such question", key, ", ".join(asked)
                )
        for key in asked:
            if key not in self.answers:
                raise MisplacedError(
                    f"answers.{key}", "the question is not answered", None,
                    "{harm: " + " | ".join(LEVELS) + "}",
                )  # fmt: skip
        return self


@dataclass(frozen=True)
class Scored:
    """One question with what remains of its harm, 0 to 3."""

    question: Question
    answer: Answer
    harm: int
    remaining: int


@dataclass(frozen=True)
class Assessment:
    """What the answers come to.

    Attributes:
        score: Sum of what remains.
        tier: The lowest tier that may be declared.
        why: The reasons for it, the weightiest first.
    """

    questionnaire: str
    answers: list[Scored]
    score: int
    tier: Tier
    why: list[str]


def assess(risk: Risk) -> Assessment:
    """Score an answered questionnaire.

    A harm counts 0 to 3 by level; a mitigation takes one off, never below 1. The tier is high
    where a harm to safety, to rights or by discrimination is severe, mitigated or not, where any
    other remains severe, or where the sum is 14 or more of 36; limited where one remains
    serious or the sum is 6 or more; else minimal.
    """
    scored = []
    for question in QUESTIONNAIRES[risk.questionnaire]:
        answer = risk.answers[question.key]
        harm = LEVELS.index(answer.harm)
        remaining = max(1, harm - 1) if harm and answer.mitigation else harm
        scored.append(Scored(question, answer, harm, remaining))
    score = sum(one.remaining for one in scored)
    high = [one for one in scored if one.remaining == 3 or (one.question.floor and one.harm == 3)]
    limited = [one for one in scored if one.remaining == 2]
    why = []
    tier: Tier = "minimal"
    if high or score >= HIGH_FROM:
        tier = "high"
        why += [f"{one.question.key} is severe" for one in high]
        why += [f"the sum {score} is {HIGH_FROM} or more"] if score >= HIGH_FROM else []
    elif limited or score >= LIMITED_FROM:
        tier = "limited"
        why += [f"{one.question.key} remains serious" for one in limited]
        why += [f"the sum {score} is {LIMITED_FROM} or more"] if score >= LIMITED_FROM else []
    else:
        why.append(f"nothing remains serious and the sum {score} is below {LIMITED_FROM}")
    return Assessment(risk.questionnaire, scored, score, tier, why)


def check_tier(declared: Tier, risk: Risk) -> None:
    """Raise where a project declares less risk than its answers give.

    Raises:
        MisplacedError: With the tiers that may be declared.
    """
    found = assess(risk)
    if TIERS.index(declared) < TIERS.index(found.tier):
        raise MisplacedError(
            "risk_tier", f"the answers under risk give {found.tier}: {'; '.join(found.why)}",
            declared, " or ".join(TIERS[TIERS.index(found.tier) :]),
        )  # fmt: skip
