"""Rows per second of validation beside pandera and Great Expectations, where they are installed.

1,000,000 rows x 20 columns as CSV, the same rules for all: types, empty values, ranges, allowed
values, a pattern, one unique column and one rule over two columns; every thousandth row breaks
one. Each engine reads the file and says how many rows break a rule, in a process of its own, by
turns; time is the median of the rounds, memory the peak of the process. Steward also counts the
profile and compares it with an earlier one, which the others do not, and its memory is bounded:
the peers' grows with the file. A peer counts only where it finds the same rows.
``--rows 5000000`` is the size that a function of 3 GB must hold; ``--peers PYTHON`` names an
interpreter that has the peers. Run: ``make bench NAME=validation``.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

_FUNCTION_MB = 3072
_TIMEOUT_S = 900.0
_EVERY = 1000
_INTEGERS = [f"n{number}" for number in range(6)]
_FLOATS = [f"x{number}" for number in range(8)]
_STRINGS = [f"s{number}" for number in range(4)]
_LEVELS = ["north", "south", "east", "west"]


def write(path: Path, rows: int) -> None:
    """Write the file; every ``_EVERY``-th row has an impossible ``n0``."""
    chance = random.Random(20)
    tails = [
        ",".join(
            [
                *(str(chance.randint(0, 100)) for _ in _INTEGERS[1:]),
                *(f"{chance.uniform(0, 50):.3f}" for _ in _FLOATS),
                *(chance.choice(_LEVELS) for _ in _STRINGS),
                chance.choice(["true", "false"]),
            ]
        )
        for _ in range(10_000)
    ]
    header = ["id", *_INTEGERS, *_FLOATS, *_STRINGS, "flag"]
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(header) + "\n")
        for start in range(0, rows, 10_000):
            file.writelines(
                f"p{number:08d},{999 if number % _EVERY == 0 else number % 90},"
                f"{tails[number % len(tails)]}\n"
                for number in range(start, min(start + 10_000, rows))
            )


def with_steward(path: Path) -> int:
    """Judge the file as the function does, profile and comparison included."""
    from datetime import UTC, datetime

    from steward.domain.tables import Table
    from steward.domain.validation import Context, Reference, validate_file
    from steward.domain.workspace import scratch

    columns: list[dict[str, Any]] = [
        {"name": "id", "type": "string", "unique": True, "pattern": "p[0-9]{8}"},
        *({"name": name, "type": "integer", "min": 0, "max": 100} for name in _INTEGERS),
        *({"name": name, "type": "float", "min": 0, "max": 50} for name in _FLOATS),
        *({"name": name, "type": "string", "allowed": _LEVELS} for name in _STRINGS),
        {"name": "flag", "type": "boolean"},
    ]
    rules = [{"name": "small", "expression": "n1 + x0 <= 150"}]
    table = Table.model_validate({"columns": columns, "rules": rules})
    with scratch(_FUNCTION_MB) as limits:
        local = limits.folder / "delivery"
        local.symlink_to(path)
        earlier = limits.folder / "earlier"
        with path.open(encoding="utf-8") as file:
            earlier.write_text("".join(line for _, line in zip(range(20_001), file, strict=False)))
        before = validate_file(earlier, table, limits).report.profile
        assert before is not None
        reference = Reference("last_accepted", ["earlier"], before)
        context = Context(datetime.now(UTC), references=(reference,), bins_of=before)
        report = validate_file(local, table, limits, context).report
    assert report.profile is not None
    return sum(found.count for found in report.violations if found.rule == "max")


def with_pandera(path: Path) -> int:
    """Judge the file with pandera on pandas, all errors collected."""
    pandas, pandera = import_module("pandas"), import_module("pandera.pandas")
    check, column = pandera.Check, pandera.Column
    schema = pandera.DataFrameSchema(
        {
            "id": column(str, check.str_matches(r"^p[0-9]{8}$"), unique=True),
            **{name: column(int, check.in_range(0, 100)) for name in _INTEGERS},
            **{name: column(float, check.in_range(0, 50)) for name in _FLOATS},
            **{name: column(str, check.isin(_LEVELS)) for name in _STRINGS},
            "flag": column(bool),
        },
        checks=check(lambda frame: frame["n1"] + frame["x0"] <= 150),
        strict=True,
    )
    frame = pandas.read_csv(path)
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return len(errors.failure_cases)
    return 0


def with_great_expectations(path: Path) -> int:
    """Judge the file with Great Expectations on pandas; results as counts."""
    gx, pandas = import_module("great_expectations"), import_module("pandas")
    expect = import_module("great_expectations.expectations")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    frame = pandas.read_csv(path)
    frame["sum_"] = frame["n1"] + frame["x0"]
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all")
    between, members = expect.ExpectColumnValuesToBeBetween, expect.ExpectColumnValuesToBeInSet
    suite = gx.ExpectationSuite(
        name="rules",
        expectations=[
            expect.ExpectColumnValuesToBeUnique(column="id"),
            expect.ExpectColumnValuesToMatchRegex(column="id", regex=r"^p[0-9]{8}$"),
            *(expect.ExpectColumnValuesToNotBeNull(column=name) for name in frame.columns),
            *(between(column=name, min_value=0, max_value=100) for name in _INTEGERS),
            *(between(column=name, min_value=0, max_value=50) for name in _FLOATS),
            *(members(column=name, value_set=_LEVELS) for name in _STRINGS),
            between(column="sum_", max_value=150),
        ],
    )
    validated = batch.get_batch(batch_parameters={"dataframe": frame}).validate(
        suite, result_format="BASIC"
    )
    return sum(int(found.result.get("unexpected_count", 0)) for found in validated.results)


ENGINES: dict[str, tuple[str, Callable[[Path], int]]] = {
    "steward": ("", with_steward),
    "pandera": ("pandera", with_pandera),
    "great_expectations": ("great_expectations", with_great_expectations),
}


def _child(engine: str, path: Path) -> None:
    began = time.monotonic()
    found = ENGINES[engine][1](path)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"found": found, "seconds": seconds, "megabytes": peak}))


def _measured(engine: str, path: Path, python: str) -> dict[str, float]:
    command = [python, __file__, "--engine", engine, "--file", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{engine}: {ended.stderr[-2000:]}")
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def _has(python: str, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def main() -> None:
    """Measure every engine that is there and print rows per second and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args()
    if asked.engine:
        _child(asked.engine, asked.file)
        return

    from rich.console import Console

    from results import Result, finish
    from steward_cli.console import table

    interpreters = {
        name: sys.executable if not module else asked.peers
        for name, (module, _) in ENGINES.items()
        if not module or _has(asked.peers, module)
    }
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        path = Path(folder) / "rows.csv"
        write(path, asked.rows)
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in interpreters}
        for _ in range(asked.rounds):
            for name, python in interpreters.items():
                runs[name].append(_measured(name, path, python))
    wrong = len(range(0, asked.rows, _EVERY))
    times = {name: median(run["seconds"] for run in found) for name, found in runs.items()}
    peaks = {name: max(run["megabytes"] for run in found) for name, found in runs.items()}
    rows = [
        (name, f"{times[name]:.1f} s", f"{asked.rows / times[name]:,.0f}", f"{peaks[name]:.0f} MB",
         f"{runs[name][0]['found']:.0f} of {wrong}")
        for name in runs
    ]  # fmt: skip
    Console().print(table(("engine", "took", "rows/s", "peak memory", "found"), rows))
    for name in ENGINES:
        if name not in runs:
            print(f"{name} is not installed")
    results = [
        Result("validation", "steward.seconds", times["steward"], "s", _TIMEOUT_S),
        Result("validation", "steward.memory", peaks["steward"], "MB", _FUNCTION_MB),
        Result("validation", "steward.rows_per_s", asked.rows / times["steward"], "rows/s"),
        Result("validation", "steward.missed", wrong - runs["steward"][0]["found"], "rows", 0.0),
    ]
    for name in runs:
        if name != "steward":
            ratio = times["steward"] / times[name]
            lighter = peaks["steward"] / peaks[name]
            results.append(Result("validation", f"time_over_{name}", ratio, "ratio"))
            results.append(Result("validation", f"memory_over_{name}", lighter, "ratio"))
    finish(results)


if __name__ == "__main__":
    main()
