"""What all declarations share: strict models, names, scalars, severities."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Scalar = bool | int | float | str
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""A column: a plain SQL identifier."""

GroupName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
"""A feature group or a source: short enough for SageMaker's names, see ``domain.names``."""

ColumnType = Literal["string", "integer", "float", "boolean", "timestamp"]
Severity = Literal["reject", "quarantine_rows", "warn"]
"""What a broken rule does: refuse the delivery, set the rows aside, or only say so."""


class Strict(BaseModel):
    """A part of ``project.yaml``: frozen, no unknown key, no value that must be converted.

    Numbers are finite: YAML's ``.nan`` and ``.inf`` are refused wherever a number is allowed.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, defer_build=True, allow_inf_nan=False
    )


class MisplacedError(ValueError):
    """A value at fault that only a wider view shows, with its path below what raises.

    Args:
        path: Such as ``features[0].expression``.
        message: A sentence for a person.
        value: The value at fault.
        allowed: What it may be, where the message does not say so.
    """

    def __init__(self, path: str, message: str, value: object, allowed: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.value = value
        self.allowed = allowed or message

    def below(self, prefix: str) -> MisplacedError:
        """Return the same fault seen from further out."""
        return MisplacedError(f"{prefix}.{self.path}", str(self), self.value, self.allowed)


def with_default_margin(declared: object, margin: float) -> object:
    """Return a declaration with a margin, where it names neither an absolute nor a relative one."""
    if not isinstance(declared, dict):
        return declared
    if declared.get("margin") is None and declared.get("relative_margin") is None:
        return {**declared, "margin": margin}
    return declared


def check_one_margin(margin: float | None, relative_margin: float | None, unit: str) -> None:
    """Refuse a margin that is given twice.

    Args:
        unit: What the absolute one is in the unit of: the loss or the metric.

    Raises:
        MisplacedError: Both are given.
    """
    if margin is not None and relative_margin is not None:
        raise MisplacedError(
            "relative_margin", f"the margin is either in the unit of the {unit} or relative",
            relative_margin, "margin or relative_margin",
        )  # fmt: skip
