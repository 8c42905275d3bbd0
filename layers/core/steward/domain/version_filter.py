"""Which of a project's versions somebody looks for."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from steward.domain.errors import RejectedError
from steward.domain.versions import VersionState

_BOUND = re.compile(r"\s*([A-Za-z][\w.]*)\s*(>=|<=|==|>|<)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_SEARCHED = ("description", "author", "run_id", "code_digest", "dataset_id", "state")


@dataclass(frozen=True)
class Bound:
    """A bound on the held-out value of a metric; a version without the metric keeps none."""

    metric: str
    relation: str
    limit: float

    def holds(self, item: Mapping[str, Any]) -> bool:
        """Return whether a version's metric keeps it."""
        value = metric_of(item, self.metric)
        return value is not None and _COMPARE[self.relation](value, self.limit)


def parse_bound(text: str) -> Bound:
    """Return a bound such as ``roc_auc>=0.8``.

    Raises:
        RejectedError: It is none.
    """
    found = _BOUND.fullmatch(text)
    if found is None:
        raise RejectedError(
            f"{text!r} is no bound on a metric", field="metric", value=text,
            allowed="a metric, one of >= <= > < ==, and a number, such as roc_auc>=0.8",
        )  # fmt: skip
    return Bound(found[1], found[2], _number(found[3]))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RejectedError(
            f"{text!r} is no number", field="metric", value=text, allowed="a number"
        ) from None


def parse_tag(text: str) -> tuple[str, str | None]:
    """Return key and value of ``KEY=VALUE``, or the key alone of ``KEY``."""
    key, equals, value = text.partition("=")
    return key, value if equals else None


def parse_state(text: str) -> VersionState:
    """Return a state by its name.

    Raises:
        RejectedError: There is none of that name.
    """
    try:
        return VersionState(text)
    except ValueError:
        raise RejectedError(
            f"{text!r} is no state", field="state", value=text,
            allowed=", ".join(state.value for state in VersionState),
        ) from None  # fmt: skip


def parse_since(text: str) -> datetime:
    """Return a day or a time in ISO 8601; without a zone it is UTC.

    Raises:
        RejectedError: It is neither.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedError(
            f"{text!r} is no time", field="since", value=text,
            allowed="ISO 8601, such as 2026-01-31 or 2026-01-31T09:00:00+00:00",
        ) from None  # fmt: skip
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Sought:
    """What somebody looks for; all of it must hold.

    Attributes:
        states: Any of these; empty for all.
        tags: Each key with its value, None for any value.
        aliases: Any of these; empty for all.
        bounds: Each holds.
        since: Registered then or later.
        text: Somewhere in description, tags, aliases, author, digests or reasons, whatever
            the case.
    """

    states: tuple[VersionState, ...] = ()
    tags: tuple[tuple[str, str | None], ...] = ()
    aliases: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    since: datetime | None = None
    text: str = ""

    def matches(self, item: Mapping[str, Any], aliases: tuple[str, ...]) -> bool:
        """Return whether a version is one of those.

        Args:
            item: Its record.
            aliases: Those that name it.
        """
        tags = item.get("tags") or {}
        return (
            (not self.states or item["state"] in self.states)
            and all(
                key in tags and (value is None or tags[key] == value) for key, value in self.tags
            )
            and (not self.aliases or bool(set(self.aliases) & set(aliases)))
            and all(bound.holds(item) for bound in self.bounds)
            and (self.since is None or _registered(item) >= self.since)
            and self.text.casefold() in _words(item, aliases)
        )


def metric_of(item: Mapping[str, Any], name: str) -> float | None:
    """Return the held-out value of a version's metric, None where it has none."""
    metrics = (item.get("summary") or {}).get("metrics") or []
    found = next((metric for metric in metrics if metric.get("metric") == name), None)
    value = found.get("value") if found else None
    return float(value) if isinstance(value, int | float) else None


def _registered(item: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(item["created_at"]))


def _words(item: Mapping[str, Any], aliases: tuple[str, ...]) -> str:
    said = [str(item.get(name) or "") for name in _SEARCHED]
    said += [f"{key}={value}" for key, value in (item.get("tags") or {}).items()]
    said += [*aliases, *(str(vote.get("comment") or "") for vote in item.get("approvals") or [])]
    said.append(str(item.get("archived_because") or ""))
    return "\n".join(said).casefold()
