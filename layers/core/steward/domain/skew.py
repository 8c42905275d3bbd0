"""How far served features are from what training would have seen at the same moment. Pure."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from steward.domain.online_values import moment

EXAMPLES = 5


@dataclass(frozen=True)
class ServedRecord:
    """The record that a read found in one group.

    Attributes:
        entity: Pseudonym of the record identifier; None where a key was null.
        newest: Event time and known-at of its row; None where there was no record.
    """

    group: str
    version: int
    entity: str | None
    newest: tuple[datetime, datetime] | None


@dataclass(frozen=True)
class OnlineRead:
    """One answered request whose model was given features from the online store.

    Attributes:
        model_version: The version that answered.
        features: All features that the model was given.
        served: Those that came from the store or were computed; the others the request gave.
    """

    project: str
    model_version: int
    inference_id: str
    read_at: datetime
    features: Mapping[str, Any]
    served: tuple[str, ...]
    records: tuple[ServedRecord, ...]

    def record(self, group: str) -> ServedRecord | None:
        """Return what was found in a group."""
        return next((record for record in self.records if record.group == group), None)


def online_reads(lines: Iterable[str | bytes]) -> Iterator[OnlineRead]:
    """Yield the reads among captured lines; what is none, or is broken, is passed over."""
    for line in lines:
        try:
            capture = json.loads(line)["capture"]
            online = capture["online"]
            if not online:
                continue
            yield OnlineRead(
                project=capture["project"],
                model_version=int(capture["answering_version"]),
                inference_id=capture["inference_id"],
                read_at=moment(online["read_at"]),
                features=dict(capture["features"]),
                served=tuple(online["served"]),
                records=tuple(
                    ServedRecord(
                        record["group"], int(record["version"]), record["entity"],
                        (moment(record["event_time"]), moment(record["known_at"]))
                        if record["event_time"]
                        else None,
                    )
                    for record in online["records"]
                ),
            )  # fmt: skip
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


@dataclass
class ReadSample:
    """A uniform sample of the reads of each project, the same whatever their order.

    The reads with the smallest hashes of their inference ids; one that was captured twice
    counts once.
    """

    size: int
    seen: int = 0
    _places: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    _kept: dict[str, dict[str, OnlineRead]] = field(default_factory=dict)

    def add(self, read: OnlineRead) -> None:
        """Take a read into account."""
        self.seen += 1
        kept = self._kept.setdefault(read.project, {})
        if read.inference_id in kept:
            return
        places = self._places.setdefault(read.project, [])
        place = int(hashlib.sha256(read.inference_id.encode()).hexdigest(), 16)
        kept[read.inference_id] = read
        heapq.heappush(places, (-place, read.inference_id))
        if len(places) > self.size:
            _, dropped = heapq.heappop(places)
            del kept[dropped]

    def by_project(self) -> dict[str, list[OnlineRead]]:
        """Return the sample, each project's in order of time."""
        return {
            project: sorted(kept.values(), key=lambda read: (read.read_at, read.inference_id))
            for project, kept in sorted(self._kept.items())
        }


@dataclass
class FeatureSkew:
    """One served column of a group version, compared.

    Attributes:
        differing: Reads whose served value is not the one that training would have seen.
        behind: Of ``differing`` those where a newer row was known than the one that was served:
            the online store was late.
        examples: Up to five of them, with both values.
    """

    project: str
    group: str
    version: int
    column: str
    reads: int = 0
    differing: int = 0
    behind: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of reads that differ."""
        return self.differing / self.reads if self.reads else 0.0

    def add(self, read: OnlineRead, offline: Any, *, behind: bool) -> None:
        """Compare one read with the value of the offline path."""
        self.reads += 1
        served = read.features.get(self.column)
        if same_value(served, offline):
            return
        self.differing += 1
        self.behind += int(behind)
        if len(self.examples) < EXAMPLES:
            self.examples.append(
                {
                    "inference_id": read.inference_id,
                    "read_at": read.read_at.isoformat(timespec="milliseconds"),
                    "served": served,
                    "offline": offline,
                    "behind": behind,
                }
            )

    def as_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {**asdict(self), "share": self.share}


def same_value(served: Any, offline: Any) -> bool:
    """Return whether two values are the same feature value, to the last bit."""
    if isinstance(served, bool) is not isinstance(offline, bool):
        return False
    return bool(served == offline)
