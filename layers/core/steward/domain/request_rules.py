"""The rules of requests: what the value of a feature may be, wherever a row is asked about.

Kept free of third-party imports: every endpoint process reads it while somebody waits.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

Value = str | int | float | bool | None

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
TYPE_NAMES = {
    "float": "a finite number", "integer": "a whole number",
    "string": "a string", "boolean": "true or false",
}  # fmt: skip


class InvalidRowError(Exception):
    """A row that the model must not see.

    Args:
        message: A sentence that names everything.
        row: Index of the row, 0-based; None when the fault is not in one row.
        field: Name of the column at fault.
        value: The value at fault, as it came.
        allowed: What would be accepted.
    """

    def __init__(
        self, message: str, *, row: int | None, field: str | None, value: object, allowed: str
    ) -> None:
        super().__init__(message)
        self.row = row
        self.field = field
        self.value = value
        self.allowed = allowed

    def as_dict(self) -> dict[str, object]:
        """Return what a client is told."""
        return {
            "row": self.row,
            "field": self.field,
            "value": shown(self.value),
            "allowed": self.allowed,
            "message": str(self),
        }


@dataclass(frozen=True)
class Feature:
    """One input of the model and what it may be."""

    name: str
    type: str
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    allowed: tuple[Value, ...] | None = None
    pattern: str | None = None

    @property
    def rule(self) -> str:
        """What is allowed, in words."""
        words = TYPE_NAMES[self.type]
        if self.allowed is not None:
            words += f" among {', '.join(json.dumps(value) for value in self.allowed)}"
        if self.min is not None:
            words += f", at least {self.min:g}"
        if self.max is not None:
            words += f", at most {self.max:g}"
        if self.pattern is not None:
            words += f" that matches {self.pattern}"
        return words + (", or null" if self.nullable else "")

    def check(self, value: object, row: int) -> Value:
        """Return the value in the feature's type.

        Raises:
            InvalidRowError: It is not allowed.
        """
        if value is None:
            if self.nullable:
                return None
            raise self._invalid(value, row)
        typed = self._typed(value, row)
        if isinstance(typed, int | float) and not isinstance(typed, bool):
            below = self.min is not None and typed < self.min
            above = self.max is not None and typed > self.max
            if below or above:
                raise self._invalid(value, row)
        if self.allowed is not None and typed not in self.allowed:
            raise self._invalid(value, row)
        if self.pattern is not None and not re.fullmatch(self.pattern, str(typed)):
            raise self._invalid(value, row)
        return typed

    def parse(self, text: str, row: int) -> Value:
        """Return the value that a CSV cell means; an empty cell is null.

        Raises:
            InvalidRowError: It is not allowed.
        """
        if text == "":
            return self.check(None, row)
        if self.type in ("float", "integer"):
            if not NUMBER.fullmatch(text):
                raise self._invalid(text, row)
            whole = text.lstrip("+-").isdecimal() and len(text) < 20
            return self.check(int(text) if whole else float(text), row)
        if self.type == "boolean":
            if text.lower() not in BOOLEANS:
                raise self._invalid(text, row)
            return self.check(BOOLEANS[text.lower()], row)
        return self.check(text, row)

    def _typed(self, value: object, row: int) -> Value:
        if self.type == "string" and isinstance(value, str):
            return value
        if self.type == "boolean" and isinstance(value, bool):
            return value
        if self.type in ("float", "integer") and isinstance(value, int | float):
            if isinstance(value, bool):
                raise self._invalid(value, row)
            try:
                number = float(value)
            except OverflowError:
                raise self._invalid(value, row) from None
            if not math.isfinite(number):
                raise self._invalid(value, row)
            if self.type == "float":
                return number
            if number.is_integer():
                return int(value)
        raise self._invalid(value, row)

    def _invalid(self, value: object, row: int) -> InvalidRowError:
        return InvalidRowError(
            f"row {row}: {self.name} must be {self.rule}; got {shown(value)!r}",
            row=row, field=self.name, value=value, allowed=self.rule,
        )  # fmt: skip


def shown(value: object) -> object:
    """Return a value short enough to be told back, and possible in JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    text = value if isinstance(value, str) else f"{type(value).__name__} {str(value)[:80]}"
    return text if len(text) <= 100 else text[:97] + "..."
