"""Windows of captured traffic: their chunks read back, each row once, and kept as one sum."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.expressions import Parsed, parse
from steward.domain.monitoring.baseline import Baseline, Unit
from steward.domain.monitoring.captured_rows import Place
from steward.domain.monitoring.entity_samples import EntitySample, sample_from_json
from steward.domain.monitoring.looking import Counted, summed
from steward.domain.monitoring.looks import window_number
from steward.domain.monitoring.profiles import Profile
from steward.domain.monitoring.records import chunk_prefix, window_uri
from steward.domain.workspace import Connection, literal, lock, workspace
from steward.ports import Item, Table
from steward.service.monitoring.profiling import Bench, content_of, counted, read_rows

_DOWNLOADS = 16


@dataclass(frozen=True)
class Summed:
    """The sum of a window for one version.

    Attributes:
        counted: None where nothing could be counted.
        uri: Where it is kept.
        chunks: Digest of each chunk's profile by its id.
        repeated: Rows that were in two chunks and count once.
        elsewhere: Inference ids by chunk that an earlier chunk has.
    """

    counted: Counted | None
    uri: str | None = None
    chunks: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    elsewhere: dict[str, list[str]] = field(default_factory=dict)


def chunks_of(bench: Bench, project: str, window: str, window_s: int) -> list[Item]:
    """Return the pointers of a window's chunks, in the order of version and id."""
    found = bench.state.query(Table.MONITORING, project, prefix=chunk_prefix(window))
    return [item for item in found if item["window_s"] == window_s]


def sum_window(bench: Bench, baseline: Baseline, chunks: list[Item]) -> Summed:
    """Return the sum of one version's chunks of a window, and keep it.

    A row whose inference id is in two chunks counts with the chunk whose id sorts first: what
    Firehose delivers twice need not be cut alike. The other chunk is then read again without it.
    """
    ready = [item for item in chunks if item.get("baseline") == baseline.digest]
    if not ready:
        return Summed(None)
    profiles = read_counted(bench, baseline.unit, [(item["uri"], item["digest"]) for item in ready])
    parts = {str(item["chunk"]): one for item, one in zip(ready, profiles, strict=True)}
    elsewhere: dict[str, list[str]] = {}
    if len(ready) > 1:
        for item, ids in _overlaps(bench, ready):
            parts[item["chunk"]] = _without(bench, baseline, item, ids)
            elsewhere[item["chunk"]] = ids
    held = [one for one in parts.values() if isinstance(one, EntitySample) or one.rows]
    total = summed(held or list(parts.values())[:1])
    first = ready[0]
    uri = window_uri(
        bench.artifacts_bucket, first["project"], int(first["version"]), first["window"],
        total.digest,
    )  # fmt: skip
    bench.objects.write_once(uri, content_of(total))
    digests = {name: one.digest for name, one in parts.items()}
    return Summed(total, uri, digests, sum(map(len, elsewhere.values())), elsewhere)


def sum_segments(
    bench: Bench, baseline: Baseline, chunks: list[Item], elsewhere: dict[str, list[str]]
) -> dict[str, Summed]:
    """Return the sum of each segment that any chunk has, and keep it.

    Args:
        bench: What it works with.
        baseline: Of the version.
        chunks: Of one version and window.
        elsewhere: Rows by chunk that count with another, as the window's sum found them.
    """
    named: dict[str, list[Item]] = {}
    for item in chunks:
        if item.get("baseline") != baseline.digest:
            continue
        for name, kept in (item.get("segments") or {}).items():
            if "uri" in kept:
                named.setdefault(name, []).append(item)
    found: dict[str, Summed] = {}
    for name, items in named.items():
        parts = _segment_parts(bench, baseline, name, items, elsewhere)
        held = [one for one in parts if isinstance(one, EntitySample) or one.rows]
        total = summed(held or parts[:1])
        first = chunks[0]
        uri = window_uri(
            bench.artifacts_bucket, first["project"], int(first["version"]),
            f"{first['window']}-{name}", total.digest,
        )  # fmt: skip
        bench.objects.write_once(uri, content_of(total))
        found[name] = Summed(total, uri)
    return found


def _segment_parts(
    bench: Bench, baseline: Baseline, name: str, items: list[Item], elsewhere: dict[str, list[str]]
) -> list[Counted]:
    kept = [(item["segments"][name]["uri"], item["segments"][name]["digest"]) for item in items]
    parts = read_counted(bench, baseline.unit, kept)
    for place, item in enumerate(items):
        ids = elsewhere.get(item["chunk"])
        if ids:
            segment = parse(item["segments"][name]["where"], None)
            parts[place] = _without(bench, baseline, item, ids, segment)
    return parts


def read_counted(bench: Bench, unit: Unit, named: Iterable[tuple[str, str]]) -> list[Counted]:
    """Return profiles, or samples of entities, by address and digest, several fetched at a time.

    Raises:
        EvidenceIncompleteError: One is gone, or is not what it was.
    """

    def fetch(one: tuple[str, str]) -> Counted:
        uri, digest = one
        content = bench.objects.read(uri)
        found: Counted = (
            sample_from_json(content) if unit == "entity" else Profile.model_validate_json(content)
        )
        if found.digest != digest:
            raise EvidenceIncompleteError(
                f"{uri} is not what was counted", field="digest", value=found.digest, allowed=digest
            )
        return found

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return list(pool.map(fetch, named))


def predictions_files(bench: Bench, chunks: list[Item], folder: Path) -> list[Path]:
    """Return local copies of the kept predictions of chunks, in their order."""
    folder.mkdir(exist_ok=True)

    def fetch(place: tuple[int, Item]) -> Path:
        number, item = place
        path = folder / f"{number:06d}.parquet"
        bucket, _, key = item["predictions_uri"].removeprefix("s3://").partition("/")
        bench.objects.download(bucket, key, str(path))
        return path

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return list(pool.map(fetch, enumerate(chunks)))


def _overlaps(bench: Bench, chunks: list[Item]) -> list[tuple[Item, list[str]]]:
    """Return the chunks with rows that an earlier chunk has, and the ids of these rows."""
    files = predictions_files(bench, chunks, bench.limits.folder / "overlaps")
    try:
        with workspace(bench.limits, "overlaps") as connection:
            lock(connection, bench.limits)
            return _repeated(connection, files, chunks)
    finally:
        for path in files:
            path.unlink()


def _repeated(
    connection: Connection, files: list[Path], chunks: list[Item]
) -> list[tuple[Item, list[str]]]:
    union = " UNION ALL ".join(
        f"SELECT id, {n} AS n FROM read_parquet({literal(str(path))})"  # noqa: S608
        for n, path in enumerate(files)
    )
    rows, different = connection.execute(
        f"SELECT count(*), count(DISTINCT id) FROM ({union})"  # noqa: S608
    ).fetchall()[0]
    if rows == different:
        return []
    found = connection.execute(
        f"SELECT n, list(id ORDER BY id) FROM (SELECT id, n, min(n) OVER (PARTITION BY id) AS first"  # noqa: S608
        f" FROM ({union})) WHERE n > first GROUP BY n ORDER BY n"
    ).fetchall()
    return [(chunks[int(n)], [str(one) for one in ids]) for n, ids in found]


def _without(
    bench: Bench, baseline: Baseline, item: Item, ids: list[str], segment: Parsed | None = None
) -> Counted:
    window = window_number(item["window"], int(item["window_s"]))
    place = Place(item["project"], int(item["version"]), window)
    path = bench.limits.folder / "again.jsonl"
    at = datetime.fromisoformat(item["profiled_at"])
    rows = read_rows(bench, item["object"], place, baseline, ids, path, at, segment)
    return counted(baseline, rows, item["chunk"])
