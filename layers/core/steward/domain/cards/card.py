"""The card of a version: statements, each with the digest of what proves it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from steward.domain.digests import canonical_json
from steward.domain.errors import CardInvalidError

UNPROVEN = "unproven"
Value = bool | int | float | str | list[str]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False, strict=True
    )


class Source(_Part):
    """A piece of evidence.

    Attributes:
        name: What it is, such as ``evaluation``.
        sha256: SHA-256 of its bytes, or of its canonical JSON where it is a configuration.
        uri: Where it lies, if it is an object.
    """

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    uri: str | None = None


class Statement(_Part):
    """One thing that a card says.

    Attributes:
        field: Stable path, such as ``training.dataset``; checklists ask for it.
        label: What people read.
        value: What the evidence says; None is shown as unproven.
        sources: Names of the evidence that says it; none without a value.
        missing: Without a value: what would prove it.
    """

    field: str
    label: str
    value: Value | None = None
    sources: list[str] = Field(default_factory=list)
    missing: str = ""

    @property
    def proven(self) -> bool:
        """Whether evidence says it."""
        return self.value is not None


class Estimate(_Part):
    """A number with its interval.

    Attributes:
        name: Metric, slice or feature.
        value: None where it is undefined.
        lower: Lower end; None for an open or missing one.
        upper: Upper end.
        rows: Rows behind it.
        note: A verdict, or why there is no value.
    """

    name: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    rows: int | None = None
    note: str = ""

    @property
    def said(self) -> str:
        """The value as people read it."""
        if self.value is None:
            return "undefined" if self.note else UNPROVEN
        return f"{self.value:.4g}"


class Group(_Part):
    """Estimates of one kind from one piece of evidence, drawn as one picture.

    Attributes:
        name: ``metrics``, ``champion``, ``comparison``, ``slices``, ``explanation`` or
            ``bias: FACET``.
        title: What people read.
        axis: What the values are.
        source: Name of the evidence.
        reference: Value that means no difference, if there is one.
        left_out: Estimates that are in the evidence and not here.
    """

    name: str
    title: str
    axis: str
    source: str
    estimates: list[Estimate]
    reference: float | None = None
    left_out: int = 0


class Section(_Part):
    """A part of a card."""

    name: str
    title: str
    statements: list[Statement]
    groups: list[Group] = Field(default_factory=list)


class Card(_Part):
    """One version as its evidence shows it. Nothing in it depends on when it was made."""

    schema_version: str = "1"
    project: str
    version: int
    model_package_arn: str
    sources: list[Source]
    sections: list[Section]

    @model_validator(mode="after")
    def _each_statement_has_evidence(self) -> Self:
        known = {source.name for source in self.sources}
        for statement in self.statements():
            if statement.proven != bool(statement.sources):
                raise ValueError(f"{statement.field}: a value needs evidence, and evidence a value")
            if unknown := set(statement.sources) - known:
                raise ValueError(f"{statement.field}: no source {', '.join(sorted(unknown))}")
        for group in self.groups():
            if group.source not in known:
                raise ValueError(f"{group.name}: no source {group.source}")
        return self

    def statements(self) -> Iterator[Statement]:
        """Yield every statement."""
        for section in self.sections:
            yield from section.statements

    def groups(self) -> Iterator[Group]:
        """Yield every group of estimates."""
        for section in self.sections:
            yield from section.groups

    def statement(self, field: str) -> Statement:
        """Return a statement.

        Raises:
            KeyError: The card has no such field.
        """
        for statement in self.statements():
            if statement.field == field:
                return statement
        raise KeyError(field)

    def said(self, field: str) -> Value | None:
        """Return the value of a statement, None where it is unproven or not there."""
        return next((s.value for s in self.statements() if s.field == field), None)

    def group(self, name: str) -> Group | None:
        """Return a group of estimates, if there is one."""
        return next((group for group in self.groups() if group.name == name), None)

    def source(self, name: str) -> Source:
        """Return a piece of evidence by name."""
        return next(source for source in self.sources if source.name == name)

    def digests(self, statement: Statement) -> list[Source]:
        """Return the evidence of a statement."""
        return [self.source(name) for name in statement.sources]

    @property
    def unproven(self) -> list[Statement]:
        """Statements without evidence."""
        return [statement for statement in self.statements() if not statement.proven]

    def content(self) -> bytes:
        """Return the bytes of ``card.json``; their SHA-256 is the card's digest."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """``sha256sum card.json``."""
        return hashlib.sha256(self.content()).hexdigest()

    def with_section(self, section: Section, sources: Sequence[Source]) -> Card:
        """Return the card with a section replaced by what became known later."""
        known = {source.name for source in self.sources}
        return read_card(
            {
                **self.model_dump(),
                "sources": [
                    *(s.model_dump() for s in self.sources),
                    *(s.model_dump() for s in sources if s.name not in known),
                ],
                "sections": [
                    (section if old.name == section.name else old).model_dump()
                    for old in self.sections
                ],
            }
        )


def read_card(document: Any) -> Card:
    """Return the card that a ``card.json`` holds.

    Raises:
        CardInvalidError: It is none; ``field`` names what is wrong.
    """
    try:
        return Card.model_validate(document)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "card"
        raise CardInvalidError(
            f"{field}: {first['msg']}", field=field, value=repr(first["input"])[:200],
            allowed=first["msg"],
        ) from None  # fmt: skip


def card_uri(bucket: str, project: str, version: int, kind: str = "json") -> str:
    """Return where the card of a version lies, beside its evidence."""
    return f"s3://{bucket}/evidence/{project}/{version}/card.{kind}"
