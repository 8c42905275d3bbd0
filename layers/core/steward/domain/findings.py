"""What a broken rule is reported as."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.declaration import Severity

EXAMPLES = 20
MAX_SHOWN = 120


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Example(_Frozen):
    """One place where a rule is broken."""

    row: int | None = Field(description="number of the data row, from 1; None for the whole file")
    line: int | None = Field(default=None, description="line of the file, where it is known")
    column: str | None = None
    value: str | None = Field(default=None, description="as written, cut to 120 characters")
    rule: str
    first_row: int | None = Field(default=None, description="for duplicates: the first such row")


class Violation(_Frozen):
    """One broken rule: how often, and up to 20 places.

    Attributes:
        count: Rows that break it, or 1 where it concerns the whole file.
        share: Of all rows; None where it concerns the whole file.
    """

    rule: str
    column: str | None = None
    count: int
    message: str
    severity: Severity = "reject"
    share: float | None = None
    examples: list[Example] = Field(default_factory=list)


def shown(value: str | None) -> str | None:
    """Return a value as reports show it: printable and at most 120 characters."""
    if value is None:
        return None
    text = value.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
