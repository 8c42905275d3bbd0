"""What freezing reads: each captured object once, kept in slim columns beside the experiment."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from steward.domain.experiments.captures import Kept, keep_captures, keep_outcomes
from steward.domain.experiments.cohorts import experiment_prefix, ingest_item, ingests_of
from steward.domain.experiments.freezing import features_of
from steward.domain.experiments.units import Design
from steward.domain.workspace import Connection, Limits, lock, workspace
from steward.ports import Absent, Item, ObjectInfo, ObjectStore, Put, StateStore, Table

EXPOSURES = "exposures/"
LOOKBACK = timedelta(days=1)
"""How long Firehose tries to deliver: an object may appear that long after its name's time."""

MAX_BATCH_BYTES = 256 * 1024**2
MAX_BATCH_OBJECTS = 4000
_DOWNLOADS = 16
T = TypeVar("T")


@dataclass
class Store:
    """Objects of one experiment, with local copies of what was read or written.

    Attributes:
        limits: Folder and memory of the engine.
    """

    objects: ObjectStore
    limits: Limits
    capture_bucket: str
    artifacts_bucket: str
    project: str
    release_id: str
    _local: dict[str, Path] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Where the experiment's objects lie."""
        return experiment_prefix(self.artifacts_bucket, self.project, self.release_id)

    @contextmanager
    def engine(self, name: str) -> Iterator[Connection]:
        """Open an engine that reaches the files of its folder and nothing else."""
        with workspace(self.limits, name) as connection:
            lock(connection, self.limits)
            yield connection

    def keep(self, path: Path, kind: str) -> str:
        """Store a file under the digest of its bytes, and return where."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        uri = f"{self.prefix}{kind}/{digest}.parquet"
        self.objects.upload(str(path), uri, "application/vnd.apache.parquet")
        self._local[uri] = path
        return uri

    def files(self, uris: Iterable[str | None]) -> list[Path]:
        """Return local copies, several fetched at a time."""
        wanted = sorted({uri for uri in uris if uri is not None})
        missing = [uri for uri in wanted if uri not in self._local]
        for number, uri in enumerate(missing, start=len(self._local)):
            self._local[uri] = self.limits.folder / f"kept-{number:06d}.parquet"

        def fetch(uri: str) -> None:
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            self.objects.download(bucket, key, str(self._local[uri]))

        _together(fetch, missing)
        return [self._local[uri] for uri in wanted]


def keep_new(
    store: Store, state: StateStore, design: Design, started_at: str, now: datetime
) -> list[Item]:
    """Keep what was captured since the last look, and return all that is kept, in order.

    Each object is read once: the keys that are read are kept for as long as their days are
    listed. What was kept is an item that is written once; a run that breaks off before it is
    done again.

    Raises:
        ConflictError: Somebody else keeps captures of the same release.
    """
    ingests = state.query(Table.EXPERIMENTS, store.project, prefix=ingests_of(store.release_id))
    last = ingests[-1] if ingests else None
    seen = _seen(store, last)
    first_day = str(last["listed_from"]) if last else started_at
    began = datetime.fromisoformat(first_day) - (timedelta(0) if last else timedelta(hours=1))
    until = max(now, datetime.fromisoformat(last["at"])) if last else now
    listed = list(_listed(store, began.astimezone(UTC), until))
    new = [info for info in listed if info.key not in seen]
    if not new:
        return ingests
    known = seen.intersection(info.key for info in listed)
    newest = max((day for info in listed if (day := _day_of(info.key))), default=now)
    following = max(began, min(newest, until) - LOOKBACK)
    number = len(ingests)
    for batch in _batches(new):
        number += 1
        known.update(info.key for info in batch)
        item = {
            "project": store.project,
            "item": ingest_item(store.release_id, number),
            "number": number,
            "at": until.isoformat(timespec="milliseconds"),
            "objects": len(batch),
            "listed_from": following.isoformat(timespec="milliseconds"),
            "seen_uri": _keep_seen(store, known),
            **_kept(store, design, batch, number),
        }
        state.commit([Put(Table.EXPERIMENTS, item, (Absent(),))])
        ingests.append(item)
    return ingests


def _listed(store: Store, began: datetime, until: datetime) -> Iterator[ObjectInfo]:
    day = began.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= until:
        for prefix in (EXPOSURES, f"outcomes/{store.project}/"):
            yield from store.objects.list(store.capture_bucket, f"{prefix}{day:%Y/%m/%d}/")
        day += timedelta(days=1)


def _day_of(key: str) -> datetime | None:
    parts = key.split("/")[-4:-1]
    try:
        return datetime(int(parts[0]), int(parts[1]), int(parts[2]), tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def _batches(infos: Sequence[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    batch: list[ObjectInfo] = []
    size = 0
    for info in infos:
        if batch and (size + info.size > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_OBJECTS):
            yield batch
            batch, size = [], 0
        batch.append(info)
        size += info.size
    if batch:
        yield batch


def _kept(store: Store, design: Design, batch: Sequence[ObjectInfo], number: int) -> Item:
    folder = store.limits.folder
    paths = {info.key: folder / f"lines-{n:06d}.jsonl" for n, info in enumerate(batch)}

    def fetch(info: ObjectInfo) -> None:
        store.objects.download(info.bucket, info.key, str(paths[info.key]))

    _together(fetch, batch)
    item: Item = {}
    exposures = [path for key, path in paths.items() if key.startswith(EXPOSURES)]
    outcomes = [path for key, path in paths.items() if not key.startswith(EXPOSURES)]
    with store.engine("ingest") as connection:
        if exposures:
            target = folder / f"captures-{number:06d}.parquet"
            kept = keep_captures(
                connection, exposures, target, project=design.project,
                release_id=design.release_id, features=features_of(design.metrics),
            )  # fmt: skip
            item |= _described(store, "captures", kept, target)
        if outcomes:
            target = folder / f"outcomes-{number:06d}.parquet"
            kept = keep_outcomes(connection, outcomes, target, project=design.project)
            item |= _described(store, "outcomes", kept, target)
    for path in paths.values():
        path.unlink(missing_ok=True)
    return item


def _described(store: Store, kind: str, kept: Kept, path: Path) -> Item:
    if not kept.rows:
        return {}
    return {
        f"{kind}_uri": store.keep(path, "captures"),
        f"{kind}_rows": kept.rows,
        f"{kind}_first": kept.first,
        f"{kind}_last": kept.last,
    }


def _seen(store: Store, last: Item | None) -> set[str]:
    if last is None:
        return set()
    return set(gzip.decompress(store.objects.read(last["seen_uri"])).decode().split("\n"))


def _keep_seen(store: Store, keys: set[str]) -> str:
    content = gzip.compress("\n".join(sorted(keys)).encode(), mtime=0)
    uri = f"{store.prefix}captures/{hashlib.sha256(content).hexdigest()}.keys.gz"
    store.objects.write(uri, content, "application/gzip")
    return uri


def _together(work: Callable[[T], None], items: Sequence[T]) -> None:
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        list(pool.map(work, items))
