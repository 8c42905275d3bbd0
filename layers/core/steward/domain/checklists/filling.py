"""Filling a checklist from a card: each line has evidence by digest, or says what is missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from steward.domain.cards.card import Card, Source
from steward.domain.checklists.annex_iv import ANNEX_IV
from steward.domain.checklists.lines import Checklist, Line, Standard
from steward.domain.checklists.nist_ai_rmf import NIST_AI_RMF
from steward.domain.checklists.sr_11_7 import SR_11_7
from steward.domain.errors import RejectedError

CHECKLISTS: dict[Standard, Checklist] = {
    found.standard: found for found in (ANNEX_IV, NIST_AI_RMF, SR_11_7)
}
Answer = Literal["evidence", "partly", "missing"]


@dataclass(frozen=True)
class Answered:
    """A line with what a card says to it.

    Attributes:
        answer: ``evidence``: every field has some and nothing else is needed.
        evidence: What answers, by digest.
        missing: What is not there.
    """

    paragraph: str
    asks: str
    answer: Answer
    evidence: list[Source] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the line as JSON has it."""
        return {**asdict(self), "evidence": [source.model_dump() for source in self.evidence]}


def checklist(standard: str) -> Checklist:
    """Return the checklist of a standard.

    Raises:
        RejectedError: There is none of that name.
    """
    for name, found in CHECKLISTS.items():
        if name == standard:
            return found
    raise RejectedError(
        f"no checklist {standard!r}", field="standard", value=standard,
        allowed=", ".join(CHECKLISTS),
    )  # fmt: skip


def fill(asked: Checklist, card: Card) -> list[Answered]:
    """Return every line with its answer."""
    return [_answered(line, card) for line in asked.lines]


def _answered(line: Line, card: Card) -> Answered:
    evidence: dict[str, Source] = {}
    missing = [line.beside] if line.beside else []
    for name in line.fields:
        statement = card.statement(name)
        if statement.proven:
            evidence |= {source.name: source for source in card.digests(statement)}
        else:
            missing.append(f"{statement.label}: {statement.missing}")
    answer: Answer = "missing"
    if evidence:
        answer = "partly" if missing else "evidence"
    return Answered(line.paragraph, line.asks, answer, list(evidence.values()), missing)


def counted(lines: list[Answered]) -> dict[Answer, int]:
    """Return how many lines have each answer."""
    kinds: tuple[Answer, ...] = ("evidence", "partly", "missing")
    return {kind: sum(line.answer == kind for line in lines) for kind in kinds}
