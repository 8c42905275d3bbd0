"""What a checklist is: lines that ask, and the fields of a card that answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Standard = Literal["annex-iv", "nist-ai-rmf", "sr-11-7"]


@dataclass(frozen=True)
class Line:
    """One demand, in our own short words.

    Attributes:
        paragraph: Where the standard says it.
        asks: What it asks for.
        fields: Statements of a card that answer together; none where a card cannot answer.
        beside: What must be shown beside the card.
    """

    paragraph: str
    asks: str
    fields: tuple[str, ...] = ()
    beside: str = ""


@dataclass(frozen=True)
class Checklist:
    """The lines of one standard.

    Attributes:
        scope: What of the standard the lines cover, and what they do not.
    """

    standard: Standard
    title: str
    source: str
    scope: str
    lines: tuple[Line, ...]
