"""Our conditions and updates as DynamoDB expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steward.adapters.items import Attribute, companion, encode, encode_attribute
from steward.domain.errors import RejectedError
from steward.ports import (
    KEYS,
    Absent,
    AbsentOrBelow,
    Condition,
    Equals,
    Exists,
    OneOf,
    Table,
    Update,
)


class Expression:
    """Placeholders of one request: names as ``#n0``, values as ``:v0``."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Attribute] = {}

    def name(self, attribute: str) -> str:
        """Return the placeholder of an attribute's name."""
        for placeholder, known in self.names.items():
            if known == attribute:
                return placeholder
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def value(self, attribute: Attribute) -> str:
        """Return a placeholder of a value in wire form."""
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = attribute
        return placeholder

    def parameters(self) -> dict[str, Any]:
        """Return the two parameters of a request; DynamoDB refuses empty ones."""
        parameters: dict[str, Any] = {}
        if self.names:
            parameters["ExpressionAttributeNames"] = self.names
        if self.values:
            parameters["ExpressionAttributeValues"] = self.values
        return parameters

    def condition(self, table: Table, expect: Iterable[Condition]) -> dict[str, str]:
        """Return the parameter that makes a write depend on all of ``expect``."""
        parts = [f"({self._one(table, condition)})" for condition in expect]
        return {"ConditionExpression": " AND ".join(parts)} if parts else {}

    def _one(self, table: Table, condition: Condition) -> str:
        match condition:
            case Absent():
                return f"attribute_not_exists({self.name(KEYS[table][0])})"
            case Exists():
                return f"attribute_exists({self.name(KEYS[table][0])})"
            case Equals(attribute, None):
                return self._missing(attribute)
            case Equals(attribute, value):
                return f"{self.name(attribute)} = {self.value(encode(value, attribute))}"
            case OneOf(attribute, values):
                return self._one_of(table, attribute, values)
            case AbsentOrBelow(attribute, limit):
                bound = self.value(encode(limit, attribute))
                return f"{self._missing(attribute)} OR {self.name(attribute)} < {bound}"

    def _missing(self, attribute: str) -> str:
        name, null = self.name(attribute), self.value({"S": "NULL"})
        return f"attribute_not_exists({name}) OR attribute_type({name}, {null})"

    def _one_of(self, table: Table, attribute: str, values: tuple[Any, ...]) -> str:
        if not values:
            key = self.name(KEYS[table][0])
            return f"attribute_exists({key}) AND attribute_not_exists({key})"
        present = [self.value(encode(v, attribute)) for v in values if v is not None]
        parts = [f"{self.name(attribute)} IN ({', '.join(present)})"] if present else []
        if None in values:
            parts.append(self._missing(attribute))
        return " OR ".join(parts)

    def update(self, change: Update) -> dict[str, str]:
        """Return the parameter that sets and removes attributes with their companions."""
        self._check(change.key, change.set, change.remove)
        setting, removing = [], [*change.remove, *map(companion, change.remove)]
        for name, value in change.set.items():
            encoded = encode_attribute(name, value)
            setting += [f"{self.name(n)} = {self.value(part)}" for n, part in encoded.items()]
            if companion(name) not in encoded:
                removing.append(companion(name))
        parts = [f"SET {', '.join(setting)}"] if setting else []
        if removing:
            parts.append(f"REMOVE {', '.join(map(self.name, removing))}")
        return {"UpdateExpression": " ".join(parts)} if parts else {}

    @staticmethod
    def _check(key: Mapping[str, str], values: Mapping[str, Any], removed: tuple[str, ...]) -> None:
        twice = (set(values) & set(removed)) | (set(key) & (set(values) | set(removed)))
        if twice:
            raise RejectedError(
                f"{', '.join(sorted(twice))}: part of the key, or set and removed at once",
                field=min(twice), allowed="attributes outside the key, each once",
            )  # fmt: skip
