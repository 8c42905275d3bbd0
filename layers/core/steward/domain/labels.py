"""What people call a version beside its number: aliases, tags and a description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from steward.domain.errors import RejectedError

CHAMPION, CHALLENGER = "champion", "challenger"
KEPT_BY_MACHINES = frozenset({CHAMPION, CHALLENGER})
"""The version in production, and the one that a release compares with it."""

MAX_ALIASES, MAX_TAGS, MAX_DESCRIPTION = 10, 20, 1000
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TAG_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")
_TAG_VALUE = re.compile(r"[\w .:/=+\-@]{1,256}")
_NO_PROPERTY = re.compile(r"[^\w .:/=+\-@]")
_PREFIX = "steward."


def check_alias(alias: str) -> str:
    """Return an alias that a person may set.

    Raises:
        RejectedError: It is none, or the machines keep it.
    """
    if not _ALIAS.fullmatch(alias):
        raise RejectedError(
            f"{alias!r} is no alias", field="alias", value=alias,
            allowed="a small letter, then up to 31 small letters, digits and hyphens",
        )  # fmt: skip
    if alias in KEPT_BY_MACHINES:
        raise RejectedError(
            f"{alias} follows the releases and is set by nobody", field="alias", value=alias,
            allowed=f"any alias but {' and '.join(sorted(KEPT_BY_MACHINES))}",
        )  # fmt: skip
    return alias


def changed_tags(
    tags: Mapping[str, str], added: Mapping[str, str], removed: Iterable[str]
) -> dict[str, str]:
    """Return a version's tags after a change, in the order of their keys.

    Raises:
        RejectedError: A key or a value is none that SageMaker could keep, one key is both
            added and removed, or there are too many.
    """
    gone = set(removed)
    for key, value in added.items():
        if not _TAG_KEY.fullmatch(key) or key in gone:
            raise RejectedError(
                f"{key!r} cannot be set as a tag", field="tags", value=key,
                allowed="a letter, then letters, digits, '_', '.', '-', 64 in all; not removed too",
            )  # fmt: skip
        if not _TAG_VALUE.fullmatch(value):
            raise RejectedError(
                f"tag {key} cannot be {value!r}", field=f"tags.{key}", value=value,
                allowed="1 to 256 letters, digits, spaces and . : / = + - @ _",
            )  # fmt: skip
    found = {**{key: value for key, value in tags.items() if key not in gone}, **added}
    if len(found) > MAX_TAGS:
        raise RejectedError(
            f"{len(found)} tags", field="tags", value=len(found), allowed=f"at most {MAX_TAGS}"
        )
    return dict(sorted(found.items()))


def mirrored_properties(
    state: str, aliases: Iterable[str], tags: Mapping[str, str], description: str
) -> dict[str, str]:
    """Return what SageMaker's ``CustomerMetadataProperties`` show of a version's labels.

    At most 32 of the 50 pairs that a model package may have; a description is cut to 256
    characters, and what a property cannot hold becomes ``_``.
    """
    shown = {f"{_PREFIX}state": state}
    shown |= {f"{_PREFIX}alias.{alias}": "set" for alias in aliases}
    shown |= {f"{_PREFIX}tag.{key}": value for key, value in tags.items()}
    if description:
        shown[f"{_PREFIX}description"] = _NO_PROPERTY.sub("_", description)[:256]
    return shown


def stale_properties(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Return the mirrored properties that a package has and should not have any more."""
    return sorted(key for key in found if key.startswith(_PREFIX) and key not in wanted)
