"""The point-in-time join beside raw DuckDB, and Feast where it is installed.

1,000,000 feature rows x 20, 10,000 keys, 100,000 spine rows; 5 % of the rows are corrections of
earlier ones, 10 % are known up to ten days late. Each engine runs in a process of its own, by
turns, from Parquet to Parquet; its time is the median of the rounds, its memory the peak of the
process, and the ratio to raw the median of the rounds' ratios. Right is what a brute-force query
over all pairs says, which shares nothing with the engines: a row is lost when it is not in the
output, wrong when any of its values differs. The raw queries order by event time and known-at;
ties beyond that, tombstones, TTL and reports are Steward's own work.
``--rows 10000000`` is the large case. Run: ``make bench NAME=point_in_time``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import duckdb
from rich.console import Console

from results import Result, finish
from steward.domain.feature_views import FeatureView, Selected, Spine
from steward.domain.point_in_time import parquet_view, point_in_time_join
from steward.domain.workspace import Connection, Limits, workspace
from steward_cli.console import table

_FEATURES = [f"f{number}" for number in range(20)]
_BAR_RATIO, _BAR_MB, _BAR_LARGE_MB = 1.2, 400.0, 1536.0
_CUTOFF = datetime(2026, 8, 1, tzinfo=UTC)
_KNOWN = "v.known_at_ <= least(s.t, TIMESTAMP '2026-08-01')"
_ID = "(file_index::BIGINT << 40) | file_row_number"


def generate(folder: Path, rows: int) -> None:
    """Write ``base.parquet``, ``corrections.parquet`` and ``spine.parquet``."""
    keys, spine, plain = rows // 100, rows // 10, rows * 95 // 100
    features = ", ".join(
        f"hash(i * 31 + {number})::DOUBLE / 1.8446744073709552e19 AS {name}"
        for number, name in enumerate(_FEATURES)
    )
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            f"""COPY (
                SELECT 'k' || lpad((hash(i) % {keys})::VARCHAR, 8, '0') AS entity,
                       TIMESTAMP '2026-01-01'
                           + to_milliseconds((hash(i + 71) % 15552000000)::BIGINT) AS event_time_,
                       event_time_ + to_milliseconds((CASE WHEN hash(i + 99) % 10 = 0
                           THEN hash(i + 5) % 864000000 ELSE hash(i + 5) % 60000 END)::BIGINT)
                           AS known_at_,
                       false AS deleted_, sha256(i::VARCHAR) AS digest_, {features}
                FROM range({plain}) r(i)
            ) TO '{folder}/base.parquet' (FORMAT parquet, COMPRESSION zstd)"""
        )
        connection.execute(
            f"""COPY (
                SELECT entity, event_time_,
                       known_at_ + to_days((1 + hash(digest_) % 20)::INTEGER) AS known_at_,
                       deleted_, sha256(digest_) AS digest_, {", ".join(_FEATURES)}
                FROM (SELECT * REPLACE (f0 + 1 AS f0) FROM '{folder}/base.parquet'
                      WHERE hash(digest_) % 19 = 0)
            ) TO '{folder}/corrections.parquet' (FORMAT parquet, COMPRESSION zstd)"""
        )
        connection.execute(
            f"""COPY (
                SELECT i AS row_, 'k' || lpad((hash(i + 13) % {keys})::VARCHAR, 8, '0') AS entity,
                       TIMESTAMP '2026-02-01'
                           + to_milliseconds((hash(i + 17) % 12960000000)::BIGINT) AS t
                FROM range({spine}) r(i)
            ) TO '{folder}/spine.parquet' (FORMAT parquet)"""
        )


def _files(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("base.parquet", "corrections.parquet")]


def _relation(folder: Path) -> str:
    return f"read_parquet({_files(folder)!r})"


def _copy(query: str, into: Path) -> str:
    return f"COPY ({query} ORDER BY row_) TO '{into}' (FORMAT parquet)"


def steward(connection: Connection, folder: Path, into: Path, *, report: bool = False) -> None:
    """Join as the dataset step does."""
    relation, row_id = parquet_view(_files(folder))
    features = tuple(Selected(name, name) for name in _FEATURES)
    view = FeatureView("bench/v1", relation, (("entity", "entity"),), features, row_id=row_id)
    point_in_time_join(
        connection, Spine("spine", prediction_time="t"), [view], _CUTOFF,
        report_later_knowledge=report,
    )  # fmt: skip
    connection.execute(_copy("SELECT * FROM joined", into))


def raw_bitemporal(connection: Connection, folder: Path, into: Path) -> None:
    """The query that somebody who knows DuckDB writes by hand: range join on keys, then gather."""
    connection.execute(
        f"""CREATE TEMP TABLE picked AS
            SELECT s.row_, arg_max(v.id, epoch_ms(v.event_time_)::HUGEINT * 10000000000000
                                         + epoch_ms(v.known_at_)) AS id
            FROM spine s JOIN (SELECT entity, event_time_, known_at_, {_ID} AS id
                               FROM {_relation(folder)}) v
              ON s.entity = v.entity AND v.event_time_ <= s.t AND {_KNOWN}
            GROUP BY s.row_"""
    )
    columns = ", ".join(_FEATURES)
    connection.execute(
        _copy(
            f"SELECT s.row_, {columns} FROM spine s LEFT JOIN (SELECT p.row_, {columns}"
            f" FROM picked p JOIN (SELECT {columns}, {_ID} AS id FROM {_relation(folder)}) v"
            " USING (id)) USING (row_)",
            into,
        )
    )


def raw_asof(connection: Connection, folder: Path, into: Path) -> None:
    """ASOF over whole rows by event time alone: the usual query, which leaks."""
    connection.execute(
        _copy(
            f"SELECT s.row_, {', '.join(_FEATURES)} FROM spine s"
            f" ASOF LEFT JOIN {_relation(folder)} v"
            " ON s.entity = v.entity AND s.t >= v.event_time_",
            into,
        )
    )


def feast(folder: Path, into: Path) -> None:
    """Feast with its default offline store."""
    import feast as feast_  # type: ignore[import-not-found,unused-ignore]
    import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]

    entity = feast_.Entity(name="entity", join_keys=["entity"])
    merged = folder / "merged.parquet"
    source = feast_.FileSource(
        path=str(merged), timestamp_field="event_time_", created_timestamp_column="known_at_"
    )
    view = feast_.FeatureView(
        name="bench", entities=[entity], source=source,
        schema=[feast_.Field(name=n, dtype=feast_.types.Float64) for n in _FEATURES],
    )  # fmt: skip
    (folder / "feature_store.yaml").write_text(
        f"project: bench\nprovider: local\nregistry: {folder}/registry.db\n"
        "entity_key_serialization_version: 3\n"
    )
    store = feast_.FeatureStore(repo_path=str(folder))
    store.apply([entity, view])
    spine = pd.read_parquet(folder / "spine.parquet").rename(columns={"t": "event_timestamp"})
    found = store.get_historical_features(spine, [f"bench:{n}" for n in _FEATURES]).to_df()
    found[["row_", *_FEATURES]].sort_values("row_").to_parquet(into)


_RAW: dict[str, Callable[[Connection, Path, Path], None]] = {
    "raw bitemporal": raw_bitemporal,
    "steward": steward,
    "raw asof": raw_asof,
    "steward with report": lambda c, f, i: steward(c, f, i, report=True),
}


def one(engine: str, folder: Path, memory_mb: int) -> None:
    """Run one engine in this process; print its seconds and its peak memory."""
    into = folder / f"{engine.replace(' ', '_')}.out.parquet"
    if engine == "feast":
        begun, worked = time.perf_counter(), time.process_time()
        feast(folder, into)
        taken, worked = time.perf_counter() - begun, time.process_time() - worked
    else:
        with (
            tempfile.TemporaryDirectory(prefix="steward-bench-") as scratch,
            workspace(Limits(Path(scratch), memory_mb)) as connection,
        ):
            begun, worked = time.perf_counter(), time.process_time()
            connection.execute(f"CREATE TEMP TABLE spine AS FROM '{folder}/spine.parquet'")
            _RAW[engine](connection, folder, into)
            taken = time.perf_counter() - begun
            worked = time.process_time() - worked
    print(json.dumps({"seconds": taken, "cpu": worked, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """Return this process's peak memory; ``ru_maxrss`` would count the parent's before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def expected(folder: Path) -> None:
    """Write the right rows by brute force: all pairs, ordered, the first of each."""
    columns = ", ".join(_FEATURES)
    with duckdb.connect(config={"threads": 2, "memory_limit": "4GB"}) as connection:
        connection.execute(f"SET temp_directory = '{folder}/spill'")
        connection.execute(
            f"""COPY (
                SELECT s.row_, {columns} FROM '{folder}/spine.parquet' s LEFT JOIN (
                    SELECT row_, {columns} FROM (
                        SELECT s.row_, v.digest_ FROM '{folder}/spine.parquet' s
                        JOIN {_relation(folder)} v
                          ON s.entity = v.entity AND v.event_time_ <= s.t AND {_KNOWN}
                        QUALIFY row_number() OVER (PARTITION BY s.row_ ORDER BY
                            v.event_time_ DESC, v.known_at_ DESC, v.digest_ DESC) = 1
                    ) JOIN {_relation(folder)} USING (digest_)
                ) USING (row_)
            ) TO '{folder}/expected.parquet' (FORMAT parquet)"""
        )


def judged(folder: Path, engine: str) -> tuple[int, int]:
    """Return how many rows an engine lost and got wrong."""
    differs = " OR ".join(f"e.{name} IS DISTINCT FROM o.{name}" for name in _FEATURES)
    out = folder / f"{engine.replace(' ', '_')}.out.parquet"
    with duckdb.connect(config={"threads": 2}) as connection:
        row = connection.execute(
            f"""SELECT count(*) FILTER (o.row_ IS NULL),
                       count(*) FILTER (o.row_ IS NOT NULL AND ({differs}))
                FROM '{folder}/expected.parquet' e LEFT JOIN '{out}' o USING (row_)"""
        ).fetchone()
        count = connection.execute(
            f"SELECT (SELECT count(*) FROM '{out}')"
            f" - (SELECT count(*) FROM '{folder}/expected.parquet')"
        ).fetchone()
    assert row is not None
    assert count is not None
    return int(row[0]), int(row[1]) + max(0, int(count[0]))


def run(rows: int, rounds: int, memory_mb: int) -> list[Result]:
    """Measure one size and print its table."""
    taken: dict[str, list[float]] = {}
    worked: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    engines = [*_RAW, *(["feast"] if find_spec("feast") and rows <= 10**6 else [])]
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as name:
        folder = Path(name)
        generate(folder, rows)
        expected(folder)
        if "feast" in engines:
            duckdb.execute(
                f"COPY (FROM {_relation(folder)}) TO '{folder}/merged.parquet' (FORMAT parquet)"
            )
        for number in range(rounds):
            for engine in engines:
                if engine == "feast" and number:
                    continue
                command = [
                    sys.executable, __file__, "--engine", engine, "--folder", name,
                    "--memory-mb", str(memory_mb),
                ]  # fmt: skip
                answer = subprocess.run(command, check=True, capture_output=True, text=True)
                figures = json.loads(answer.stdout.splitlines()[-1])
                taken.setdefault(engine, []).append(figures["seconds"])
                worked.setdefault(engine, []).append(figures["cpu"])
                peaks[engine] = max(peaks.get(engine, 0.0), figures["peak_mb"])
        verdicts = {engine: judged(folder, engine) for engine in engines}
    shown = [
        (engine, f"{median(taken[engine]):.2f} s", f"{peaks[engine]:.0f} MB", *verdicts[engine])
        for engine in engines
    ]  # fmt: skip
    title = f"{rows:,} rows x {len(_FEATURES)}, {rounds} rounds"
    Console().print(table((title, "median", "peak", "lost", "wrong"), shown))
    size = f"{rows // 10**6}m"
    ratio, cpu_ratio = (
        median(a / b for a, b in zip(of["steward"], of["raw bitemporal"], strict=True))
        for of in (taken, worked)
    )
    large = rows > 10**6
    lost, wrong = verdicts["steward"]

    def result(metric: str, value: float, unit: str, bar: float | None = None) -> Result:
        return Result("point_in_time", f"{metric}_{size}", value, unit, bar)

    results = [
        result("ratio_to_raw", ratio, "ratio", None if large else _BAR_RATIO),
        result("cpu_ratio_to_raw", cpu_ratio, "ratio"),
        result("seconds", median(taken["steward"]), "s"),
        result("peak_memory", peaks["steward"], "MB", _BAR_LARGE_MB if large else _BAR_MB),
        result("lost_rows", lost, "rows", 0),
        result("wrong_rows", wrong, "rows", 0),
    ]
    for engine in engines:
        if engine != "steward":
            slug = engine.replace(" ", "_")
            results.append(result(f"{slug}_seconds", median(taken[engine]), "s"))
            results.append(result(f"{slug}_lost_or_wrong", sum(verdicts[engine]), "rows"))
    return results


def main() -> None:
    """Measure the sizes that are asked for, or one engine of one size in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--memory-mb", type=int, default=900)
    asked = parser.parse_args()
    if asked.engine:
        one(asked.engine, asked.folder, asked.memory_mb)
        return
    results = []
    for rows in asked.rows or [1_000_000]:
        results += run(rows, asked.rounds if rows <= 10**6 else 1, asked.memory_mb)
    finish(results)


if __name__ == "__main__":
    main()
