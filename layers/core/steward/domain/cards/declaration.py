"""The part of ``project.yaml`` that only people can tell a card: what a model is for."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from steward.domain.declaration import Strict

MAX_TEXT = 2000
MAX_LINE = 180
MAX_LINES = 10


def _printable(text: str) -> str:
    for character in text:
        if (ord(character) < 32 and character not in "\n\t") or 0x7F <= ord(character) < 0xA0:
            raise ValueError(f"control character U+{ord(character):04X} is not allowed")
    return text


Text = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TEXT), AfterValidator(_printable)
]
Line = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_LINE), AfterValidator(_printable)
]
Lines = Annotated[list[Line], Field(max_length=MAX_LINES)]


class CardDeclaration(Strict):
    """What the people behind a model say of it; what they leave out is shown as unproven.

    Attributes:
        purpose: Why the model was made.
        intended_uses: Uses that it was made for.
        out_of_scope: Uses that it was not made for.
        limits: What makes its answers worse.
        ethical_considerations: Whom a wrong answer harms, and how.
        recommendations: What those who use its answers should do.
        algorithm: Kind of model, such as `logistic regression`.
        business_problem: Which problem of the business it solves.
        stakeholders: Who depends on it.
        line_of_business: Where it belongs.
        risk_explanation: Why the project has its risk tier.
        contact: Where questions go.
        human_oversight: Who may overrule an answer, and how.
    """

    purpose: Text | None = None
    intended_uses: Lines = Field(default_factory=list)
    out_of_scope: Lines = Field(default_factory=list)
    limits: Lines = Field(default_factory=list)
    ethical_considerations: Text | None = None
    recommendations: Text | None = None
    algorithm: Line | None = None
    business_problem: Text | None = None
    stakeholders: Text | None = None
    line_of_business: Line | None = None
    risk_explanation: Text | None = None
    contact: Line | None = None
    human_oversight: Text | None = None
