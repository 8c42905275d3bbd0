"""JSON values as DynamoDB attributes and back, exact for every number that fits.

DynamoDB keeps 38 significant digits and forgets whether ``1`` was written as ``1.0``. A float
of Python has at most 17 significant digits, so its shortest decimal form is stored exactly;
which whole numbers were floats is kept beside the attribute ``name`` in ``~name``, a list of
JSON pointers (RFC 6901) into its value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from steward.domain.errors import RejectedError

Attribute = dict[str, Any]

MAX_ITEM_BYTES = 400 * 1024
_SMALLEST, _BEYOND = 1e-130, 1e126


def companion(name: str) -> str:
    """Return the attribute that lists the whole floats of ``name``."""
    return f"~{name}"


def encode_item(item: Mapping[str, Any]) -> dict[str, Attribute]:
    """Return an item in DynamoDB's wire form.

    Raises:
        RejectedError: A number or name does not fit, or all of it is above 400 KB; ``field`` is
            the attribute.
        TypeError: A value is not JSON.
    """
    attributes: dict[str, Attribute] = {}
    for name, value in item.items():
        attributes.update(encode_attribute(name, value))
    size = sum(len(name.encode()) + size_of(part) for name, part in attributes.items())
    if size > MAX_ITEM_BYTES:
        raise RejectedError(
            f"an item of {size} bytes is too large", field="item", value=size,
            allowed=f"at most {MAX_ITEM_BYTES} bytes; put what is large into S3",
        )  # fmt: skip
    return attributes


def encode_attribute(name: str, value: object) -> dict[str, Attribute]:
    """Return an attribute, with its companion if its value holds whole floats."""
    if not name or name.startswith("~"):
        raise RejectedError(
            f"an attribute cannot be called {name!r}",
            field=name, value=name, allowed="non-empty names that do not begin with ~",
        )  # fmt: skip
    encoded = {name: encode(value, name)}
    pointers = list(_whole_floats(value, ""))
    if pointers:
        encoded[companion(name)] = {"L": [{"S": pointer} for pointer in pointers]}
    return encoded


def encode(value: object, name: str) -> Attribute:
    """Return one value in wire form; ``name`` is for the error's ``field``."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": _number(value, name)}
        case str():
            return {"S": _text(value, name)}
        case Mapping():
            return {"M": {_key(k, name): encode(part, f"{name}.{k}") for k, part in value.items()}}
        case list() | tuple():
            return {"L": [encode(part, f"{name}[{i}]") for i, part in enumerate(value)]}
    raise TypeError(f"{name}: {type(value).__name__} is not JSON")


def _key(key: object, name: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{name}: the key {key!r} is no string")
    if not key:
        raise RejectedError(f"{name} has an empty key", field=name, allowed="non-empty keys")
    return key


def _text(value: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RejectedError(
            f"{name} is no text: half of a surrogate pair", field=name, allowed="Unicode text"
        ) from None
    return value


def _number(value: float, name: str) -> str:
    whole = isinstance(value, int)
    digits = str(int(value)) if whole else repr(float(value))
    fits = math.isfinite(value) and (value == 0 or _SMALLEST <= abs(value) < _BEYOND)
    if not fits or (whole and len(digits.lstrip("-").rstrip("0")) > 38):
        raise RejectedError(
            f"{name} is a number that the store cannot hold", field=name, value=value,
            allowed="finite, 0 or 1e-130 to 1e126, at most 38 significant digits",
        )  # fmt: skip
    return digits


def _whole_floats(value: object, pointer: str) -> Iterator[str]:
    match value:
        case float() if value.is_integer():
            yield pointer
        case Mapping():
            for key, part in value.items():
                yield from _whole_floats(part, f"{pointer}/{_escaped(key)}")
        case list() | tuple():
            for index, part in enumerate(value):
                yield from _whole_floats(part, f"{pointer}/{index}")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def decode_item(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """Return an item as it was written."""
    item = {}
    for name, attribute in attributes.items():
        if not name.startswith("~"):
            marks = attributes.get(companion(name), {"L": []})
            item[name] = _decode(attribute, frozenset(part["S"] for part in marks["L"]), "")
    return item


def _decode(attribute: Attribute, floats: frozenset[str], pointer: str) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "NULL":
            return None
        case "N":
            number = Decimal(value)
            whole = number == number.to_integral_value() and pointer not in floats
            return int(number) if whole else float(value)
        case "M":
            return {
                key: _decode(part, floats, f"{pointer}/{_escaped(key)}")
                for key, part in value.items()
            }
        case "L":
            return [_decode(part, floats, f"{pointer}/{i}") for i, part in enumerate(value)]
    raise TypeError(f"attribute type {kind} is none of ours")


def size_of(attribute: Attribute) -> int:
    """Return the bytes of a value as DynamoDB counts them, at most one too many a number.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return len(value) // 2 + 2
        case "M":
            return 3 + sum(len(k.encode()) + 1 + size_of(part) for k, part in value.items())
        case "L":
            return 3 + sum(1 + size_of(part) for part in value)
    return 1
