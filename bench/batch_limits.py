"""Memory and time of a batch's two functions at the limits of its input.

``prepare_batch`` judges 200 MB of rows and writes what the transform job reads; ``deliver_scores``
then checks one score for each row and writes them. Each runs in a process of its own, on files in
place of S3, so that its peak memory and its time are its own. ``narrow`` rows are as many as a
batch may have (an id of 40 characters and one number), ``wide`` ones have 20 columns, ``packed``
are narrow ones in 100 gzip files, ``parquet`` in one file.

Run: ``make bench NAME=batch_limits``, or ``python bench/batch_limits.py --megabytes 20`` for a
quick look.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHAPES = ("narrow", "wide", "packed", "parquet")
_MIB = 1024**2
_BATCH = "0123456789ab-1"
_WIDE = 18


class Files:
    """Objects as files below a folder: what the two functions ask of S3."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, uri: str) -> Path:
        """Return the file of an object."""
        return self.folder / uri.removeprefix("s3://")

    def download(self, bucket: str, key: str, path: str, *_: Any) -> None:
        """Copy a file."""
        shutil.copyfile(self._need(f"s3://{bucket}/{key}"), path)

    def upload(self, path: str, uri: str, *_: Any) -> str:
        """Copy a file and hash it, as the adapter does."""
        target = self.path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        with target.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def open(self, uri: str) -> Any:
        """Open a file."""
        return self._need(uri).open("rb")

    def read(self, uri: str) -> bytes:
        """Read a file."""
        return self._need(uri).read_bytes()

    def _need(self, uri: str) -> Path:
        from steward.domain.errors import EvidenceIncompleteError

        if not self.path(uri).exists():
            raise EvidenceIncompleteError(f"there is no {uri}", field="uri", value=uri)
        return self.path(uri)

    def copy(self, source_uri: str, target_uri: str, **_: Any) -> None:
        """Copy a file."""
        shutil.copyfile(self._need(source_uri), self.path(target_uri))

    def write(self, uri: str, content: bytes, *_: Any, **__: Any) -> str:
        """Write a file and hash it."""
        target = self.path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return hashlib.sha256(content).hexdigest()


class State:
    """The records that the functions read."""

    def __init__(self, items: dict[str, Any], kept: Path) -> None:
        self.items, self.kept = items, kept

    def get(self, table: str, *_: Any) -> Any:
        """Return the item of a table; each has one."""
        return self.items.get(str(table))

    def commit(self, changes: Any) -> None:
        """Keep what is set, for the next process."""
        self.items["runs"] |= dict(changes[0].set)
        self.kept.write_text(json.dumps(self.items), encoding="utf-8")


def columns(shape: str) -> list[dict[str, Any]]:
    """Return the declared columns."""
    found: list[dict[str, Any]] = [
        {"name": "id", "type": "string"}, {"name": "age", "type": "integer", "min": 0, "max": 120},
    ]  # fmt: skip
    if shape == "wide":
        found += [{"name": f"x{n}", "type": "float", "min": 0, "max": 50} for n in range(_WIDE)]
    return [*found, {"name": "ill", "type": "integer", "allowed": [0, 1]}]


def lines(shape: str) -> Iterator[str]:
    """Yield rows without end."""
    tail = "".join(f",{n}.125" for n in range(_WIDE)) if shape == "wide" else ""
    number = 0
    while True:
        yield f"{number:040},{number % 100}{tail}\n"
        number += 1


def write(folder: Path, shape: str, size: int) -> list[dict[str, Any]]:
    """Write the input; return the files as a record pins them."""
    names = [column["name"] for column in columns(shape)[:-1]]
    head, rows, files = ",".join(names) + "\n", lines(shape), []
    count = 100 if shape == "packed" else 1
    for number in range(count):
        path = folder / "data" / f"in{number:03}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as stream:
            written = stream.write(head)
            while written < size // count - 512:
                written += stream.write(next(rows))
        kind = "csv"
        if shape == "packed":
            packed = path.with_suffix(".csv.gz")
            packed.write_bytes(gzip.compress(path.read_bytes(), 1))
            path.unlink()
            path = packed
        if shape == "parquet":
            import duckdb

            kind, made = "parquet", path.with_suffix(".parquet")
            with duckdb.connect() as connection:
                connection.execute(
                    f"COPY (SELECT id::VARCHAR id, age FROM read_csv('{path}')) TO '{made}'"
                )
            path.unlink()
            path = made
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(
            {"bucket": "data", "key": path.name, "sha256": digest, "version_id": None,
             "size": path.stat().st_size, "format": kind}
        )  # fmt: skip
    return files


def items(shape: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the records of version and batch; the latter stands for the version's run too."""
    config = {
        "project": "limits", "owner": "bench@example.org",
        "data": {
            "entity_id": "id", "label": {"name": "ill", "positive": 1}, "columns": columns(shape),
        },
    }  # fmt: skip
    batch = {"input": {"prefix": "x"}, "expires_after_days": None}
    return {
        "versions": {"project": "limits", "version": 1, "run_id": "made-1",
                     "job_image": "jobs@sha256:e3", "manifest_uri": "s3://data/d/m",
                     "artifact_uri": "s3://artifacts/m.tar.gz"},
        "runs": {"project": "limits", "run_id": "batch#0123456789ab#0001", "batch_id": _BATCH,
                 "batch_key": "0123456789ab" + "0" * 52, "version": 1, "input": files,
                 "batch": batch, "trigger": {"actor": "bench"}, "config": config},
    }  # fmt: skip


def step(folder: Path, name: str) -> None:
    """Run one of the functions and print its time and peak memory."""
    from steward.adapters.time import SystemClock
    from steward.contracts.steps.batch import DeliverScores, PrepareBatch
    from steward.service.serving.batch.delivering import deliver_scores
    from steward.service.serving.batch.preparing import prepare_batch

    kept = folder / "state.json"
    state: Any = State(json.loads(kept.read_text(encoding="utf-8")), kept)
    objects: Any = Files(folder)
    named = {"project": "limits", "batch_id": _BATCH, "correlation_id": _BATCH}
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.monotonic()
    if name == "prepare":
        prepare_batch(
            PrepareBatch(**named, causation_id="e", actor="bench"), state=state, objects=objects,
            artifacts_bucket="artifacts", environment="dev",
            role_arn="arn:aws:iam::000000000000:role/r",
        )  # fmt: skip
    else:
        deliver_scores(
            DeliverScores(**named, job="j"), state=state, objects=objects, clock=SystemClock(),
            data_bucket="data", artifacts_bucket="artifacts",
        )  # fmt: skip
    took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"s": took, "processor_s": processor, "peak_mib": used.ru_maxrss / 1024}))


def answer(folder: Path) -> int:
    """Play the transform job; return the rows."""
    work, rows = folder / "artifacts" / "batch" / "limits" / _BATCH, 0
    (work / "output").mkdir()
    for part in sorted((work / "input").iterdir()):
        with part.open() as sent, (work / "output" / f"{part.name}.out").open("w") as out:
            for line in sent:
                out.write(f"{line.split(',', 1)[0]},0.123456789012345\n")
                rows += 1
    return rows


def measured(folder: Path, name: str) -> str:
    """Run a function in a process of its own; return what it took."""
    command = [sys.executable, __file__, "--folder", str(folder), "--step", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"{name}: {done.stderr.strip().splitlines()[-1][:300]}"
    found = json.loads(done.stdout)
    return (
        f"{name}: {found['s']:.0f} s ({found['processor_s']:.0f} s of processor), "
        f"peak {found['peak_mib']:.0f} MiB"
    )


def main() -> None:
    """Measure each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=("write", "prepare", "deliver"))
    asked = parser.parse_args()
    if asked.step == "write":
        [shape] = asked.shape
        files = write(asked.folder, shape, asked.megabytes * _MIB)
        kept = asked.folder / "state.json"
        kept.write_text(json.dumps(items(shape, files)), encoding="utf-8")
        print(f"{shape}, {len(files)} files of {sum(file['size'] for file in files)} bytes")
        return
    if asked.step:
        step(asked.folder, asked.step)
        return
    for shape in asked.shape or SHAPES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            command = [sys.executable, __file__, "--folder", name, "--step", "write", "--shape",
                       shape, "--megabytes", str(asked.megabytes)]  # fmt: skip
            about = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            prepared = measured(folder, "prepare")
            if "peak" in prepared:
                about = f"{about.strip()}, {answer(folder)} rows"
                prepared += f"; {measured(folder, 'deliver')}"
            print(f"{about.strip()}: {prepared}", flush=True)


if __name__ == "__main__":
    main()
