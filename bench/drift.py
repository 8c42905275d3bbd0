"""Drift of 100,000 x 50 against 100,000 x 50 beside scipy, evidently, nannyml, alibi-detect.

40 numeric and 10 string columns, of which 13 differ. Each engine runs in a process of its own, by
turns, once the data are loaded; time is the least of the rounds, for what else the machine does
only adds. Memory is the peak beyond what the process held after loading. scipy is always there;
``--peers NAME=PYTHON`` names an interpreter that has one of the others (they do not agree on
versions, so each needs one of its own). Also measured: cost by rows and columns, the size of what
is deployed, and the import. Run: ``make bench NAME=drift``.
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
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

BENCH = "drift"
NUMERIC, STRINGS, MOVED = 40, 10, (10, 3)
WHOLE_S, CURRENT_S, MEMORY_MB, DEPLOYED_MB, IMPORT_S = 0.5, 0.2, 20.0, 140.0, 0.25
IMPORTED = ("verdicts", "alarms")
Table = dict[str, NDArray[Any]]


def columns(numeric: int, strings: int) -> tuple[list[str], set[str]]:
    """Return the names, and those that move."""
    names = [f"x{n}" for n in range(numeric)] + [f"s{n}" for n in range(strings)]
    return names, {f"x{n}" for n in range(MOVED[0])} | {f"s{n}" for n in range(MOVED[1])}


def write(folder: Path, rows: int, numeric: int = NUMERIC, strings: int = STRINGS) -> None:
    """Write reference and current rows, a file a column."""
    names, moved = columns(numeric, strings)
    for number, side in enumerate(("reference", "current")):
        (folder / side).mkdir(parents=True)
        for place, name in enumerate(names):
            chance = np.random.default_rng([number, place])
            by = number * (name in moved)
            if name.startswith("x"):
                kind = place % 3
                values: Any = chance.normal(0.3 * by, 1, rows)
                values = np.exp(values) if kind == 1 else values**2 if kind == 2 else values
            else:
                shares = 1 / np.arange(1, 4 + 3 * (place - numeric))
                shares[0] *= 1 + 0.5 * by
                levels = np.array([f"level{n}" for n in range(shares.size)])
                values = levels[chance.choice(shares.size, rows, p=shares / shares.sum())]
            np.save(folder / side / name, values)


def load(folder: Path, side: str) -> Table:
    """Load one side."""
    files = sorted((folder / side).glob("*.npy"))
    return {file.stem: np.load(file) for file in files}


def with_steward(old: Table, new: Table) -> tuple[set[str], float]:
    """Learn the baseline, count the current rows and judge them; the second part is timed alone."""
    from steward.domain.monitoring.baseline import Baseline, column_baselines
    from steward.domain.monitoring.profiles import profile_chunk
    from steward.domain.monitoring.verdicts import judge_window

    rows = len(next(iter(old.values())))
    baseline = Baseline(project="bench", rows=rows, features=column_baselines(old))
    began = time.perf_counter()
    verdict = judge_window(baseline, profile_chunk(baseline, new, "chunk"))
    return set(verdict.changed), time.perf_counter() - began


def with_scipy(old: Table, new: Table) -> tuple[set[str], float]:
    """Test each column at .05 with ks_2samp or chi2_contingency, uncorrected."""
    from scipy import stats

    found = set()
    for name, before in old.items():
        if before.dtype.kind == "f":
            p = stats.ks_2samp(before, new[name]).pvalue
        else:
            levels, codes = np.unique(np.concatenate([before, new[name]]), return_inverse=True)
            sides = np.split(codes, [before.size])
            p = stats.chi2_contingency(
                np.array([np.bincount(side, minlength=levels.size) for side in sides])
            ).pvalue
        if p < 0.05:
            found.add(name)
    return found, 0.0


def _frame(table: Table) -> Any:
    return import_module("pandas").DataFrame(table)


def with_evidently(old: Any, new: Any) -> tuple[set[str], float]:
    """Run the preset of data drift with its defaults."""
    evidently, presets = import_module("evidently"), import_module("evidently.presets")
    result = evidently.Report([presets.DataDriftPreset()]).run(new, old).dict()
    found = set()
    for metric in result["metrics"]:
        config = metric.get("config", {})
        if not config.get("type", "").endswith("ValueDrift"):
            continue
        value, threshold = float(metric["value"]), float(config["threshold"])
        if value < threshold if "p_value" in config["method"] else value >= threshold:
            found.add(config["column"])
    return found, 0.0


def with_nannyml(old: Any, new: Any) -> tuple[set[str], float]:
    """Fit and calculate univariate drift with its defaults; a shorter window is one chunk."""
    nannyml = import_module("nannyml")
    names = list(old.columns)
    chunks = {"chunk_size": len(new)} if len(new) < len(old) else {"chunk_number": 10}
    calculator = nannyml.UnivariateDriftCalculator(column_names=names, **chunks)
    data = calculator.fit(old).calculate(new).filter(period="analysis").to_df()
    alerts = {
        name for name in names if bool(data[(name, "jensen_shannon", "alert")].to_numpy().any())
    }
    return alerts, 0.0


def with_alibi_detect(old: Any, new: Any) -> tuple[set[str], float]:
    """Run TabularDrift (KS and chi-square) on coded categories; Bonferroni as in its verdict."""
    names, before = old
    after, categories = new
    detector = import_module("alibi_detect.cd").TabularDrift(
        before, p_val=0.05, categories_per_feature=categories
    )
    p_values = detector.predict(after, drift_type="feature")["data"]["p_val"]
    level = 0.05 / len(names)
    return {name for name, p in zip(names, p_values, strict=True) if p < level}, 0.0


def _coded(old: Table, new: Table) -> tuple[Any, Any]:
    names = list(old)
    parts, categories = [], {}
    for place, name in enumerate(names):
        both = np.concatenate([old[name], new[name]])
        if both.dtype.kind == "U":
            levels, both = np.unique(both, return_inverse=True)
            categories[place] = int(levels.size)
        parts.append(both.astype(np.float64))
    data = np.stack(parts, axis=1)
    rows = len(old[names[0]])
    return (names, data[:rows]), (data[rows:], categories)


def _as_is(old: Table, new: Table) -> tuple[Any, Any]:
    return old, new


def _frames(old: Table, new: Table) -> tuple[Any, Any]:
    return _frame(old), _frame(new)


Engine = tuple[str, Callable[[Table, Table], tuple[Any, Any]], Callable[[Any, Any], Any]]
ENGINES: dict[str, Engine] = {
    "steward": ("steward", _as_is, with_steward),
    "scipy": ("scipy.stats", _as_is, with_scipy),
    "evidently": ("evidently", _frames, with_evidently),
    "nannyml": ("nannyml", _frames, with_nannyml),
    "alibi-detect": ("alibi_detect.cd", _coded, with_alibi_detect),
}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _child(engine: str, folder: Path, warm: int) -> None:
    """Load, then measure; earlier calls in the same process warm what is compiled or cached."""
    module, prepare, run = ENGINES[engine]
    began = time.perf_counter()
    if module == "steward":
        for name in IMPORTED:
            import_module(f"steward.domain.monitoring.{name}")
    else:
        import_module(module)
    imported = time.perf_counter() - began
    old, new = prepare(load(folder, "reference"), load(folder, "current"))
    held = _resident_mb()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    taken = []
    for _ in range(warm + 1):
        began = time.perf_counter()
        found, current = run(old, new)
        taken.append((time.perf_counter() - began, current))
    status = Path("/proc/self/status").read_text()
    peak = float(status.split("VmHWM:")[1].split()[0]) / 1024
    whole, current = min(seconds for seconds, _ in taken), min(part for _, part in taken)
    print(
        json.dumps(
            {"seconds": whole, "current": current, "import": imported, "loaded": held,
             "memory": peak - held, "found": sorted(found)}
        )
    )  # fmt: skip


def _rates(engine: str, cell: list[float]) -> None:
    """Judge windows of one cell: rows of the reference and of the window, shift, repetitions.

    40 normal and 10 categorical columns; the first ten move by so many deviations.
    """
    reference, rows, sds, repetitions = int(cell[0]), int(cell[1]), cell[2], int(cell[3])
    _, prepare, run = ENGINES[engine]
    names, _ = columns(NUMERIC, STRINGS)
    levels = np.array([f"level{n}" for n in range(5)])
    flags = np.zeros((repetitions, len(names)), dtype=bool)
    for number in range(repetitions):
        sides: list[Table] = []
        for side, size in enumerate((reference, rows)):
            chance = np.random.default_rng([side, number, reference, rows])
            shift = np.where(np.arange(NUMERIC) < MOVED[0], sds * side, 0.0)
            sides.append(
                {
                    name: chance.normal(shift[place], 1, size)
                    if place < NUMERIC
                    else levels[chance.integers(0, 5, size)]
                    for place, name in enumerate(names)
                }
            )
        found, _ = run(*prepare(sides[0], sides[1]))
        flags[number] = [name in found for name in names]
    moved = MOVED[0] if sds else 0
    print(
        json.dumps(
            {"any": float(flags[:, moved:].any(1).mean()),
             "columns": float(flags[:, moved:].mean()),
             "found": float(flags[:, :moved].mean()) if moved else 0.0}
        )
    )  # fmt: skip


def rates(engine: str, python: str, cell: tuple[float, ...]) -> dict[str, float]:
    """Judge the windows of one cell in a process of its own."""
    given = [str(value) for value in cell]
    command = [python, "-W", "ignore", __file__, "--engine", engine, "--rates", *given]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{engine}: {ended.stderr[-2000:]}")
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def measured(engine: str, folder: Path, python: str, warm: int = 0) -> dict[str, Any]:
    """Run an engine in a process of its own."""
    command = [python, __file__, "--engine", engine, "--folder", str(folder), "--warm", str(warm)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{engine}: {ended.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


def deployed_mb() -> float:
    """Return the size of what the function needs: both layers' packages and our own."""
    from importlib.metadata import distribution

    packages = ("numpy", "duckdb", "pydantic", "pydantic-core", "annotated-types",
                "typing-extensions", "typing-inspection")  # fmt: skip
    total = 0
    for package in packages:
        for file in distribution(package).files or ():
            is_left_out = "__pycache__" in file.parts or "tests" in file.parts
            if not is_left_out and ".." not in file.parts:
                total += Path(str(file.locate())).stat().st_size
    own = import_module("steward").__path__[0]
    total += sum(file.stat().st_size for file in Path(own).rglob("*.py"))
    return total / 2**20


def import_seconds(rounds: int) -> float:
    """Return the least time that importing takes in a new process."""
    listed = ", ".join(f"steward.domain.monitoring.{name}" for name in IMPORTED)
    code = f"import time; t = time.perf_counter(); import {listed}; print(time.perf_counter() - t)"
    found = []
    for _ in range(rounds):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        found.append(float(ended.stdout))
    return min(found)


def scaling(folder: Path, rounds: int) -> list[tuple[int, int, float]]:
    """Return (rows, columns, seconds of the whole) for growing tables."""
    found = []
    for rows, numeric, strings in ((50_000, 40, 10), (100_000, 40, 10), (200_000, 40, 10),
                                   (100_000, 20, 5), (100_000, 80, 20)):  # fmt: skip
        place = folder / f"{rows}x{numeric + strings}"
        write(place, rows, numeric, strings)
        runs = [measured("steward", place, sys.executable, warm=5) for _ in range(rounds)]
        found.append((rows, numeric + strings, min(run["seconds"] for run in runs)))
    return found


def main() -> None:
    """Measure every engine that is there and print the table and the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--warm", type=int, default=0)
    parser.add_argument("--rates", nargs=4, type=float)
    asked = parser.parse_args()
    if asked.rates:
        _rates(asked.engine, asked.rates)
        return
    if asked.engine:
        _child(asked.engine, asked.folder, asked.warm)
        return

    from rich.console import Console

    from results import Result, finish
    from steward_cli.console import table

    peers = dict(peer.split("=", 1) for peer in asked.peers)
    interpreters = {"steward": sys.executable, "scipy": sys.executable} | peers
    _, moved = columns(NUMERIC, STRINGS)
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        place = Path(folder) / "data"
        write(place, asked.rows)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in interpreters}
        for _ in range(asked.rounds):
            for name, python in interpreters.items():
                runs[name].append(measured(name, place, python, 5 if name == "steward" else 1))
        sizes = scaling(Path(folder), asked.rounds)
    least = {name: min(run["seconds"] for run in found) for name, found in runs.items()}
    memory = {name: median(run["memory"] for run in found) for name, found in runs.items()}
    current = min(run["current"] for run in runs["steward"])
    rows = [
        (name, f"{least[name]:.2f} s", f"{min(run['import'] for run in found):.2f} s",
         f"{memory[name]:.0f} MB", f"{len(moved & set(found[0]['found']))} of {len(moved)}",
         f"{len(set(found[0]['found']) - moved)}")
        for name, found in runs.items()
    ]  # fmt: skip
    console = Console(width=110)
    console.print(table(("engine", "took", "import", "peak beyond data", "found", "false"), rows))
    for name in ENGINES:
        if name not in runs:
            print(f"{name} was not named by --peers")
    console.print(
        table(
            ("rows", "columns", "took", "per million cells"),
            [(f"{n:,}", f"{width}", f"{taken:.3f} s", f"{taken / (2 * n * width) * 1e6:.3f} s")
             for n, width, taken in sizes],
        )
    )  # fmt: skip
    costs = [taken / (n * width) for n, width, taken in sizes]
    hits = set(runs["steward"][0]["found"])
    results = [
        Result(BENCH, "whole", least["steward"], "s", WHOLE_S),
        Result(BENCH, "current_side", current, "s", CURRENT_S),
        Result(BENCH, "memory_beyond_data", memory["steward"], "MB", MEMORY_MB),
        Result(BENCH, "cost_per_cell_spread", max(costs) / min(costs), "ratio", 1.6),
        Result(BENCH, "deployed", deployed_mb(), "MB", DEPLOYED_MB),
        Result(BENCH, "import", import_seconds(2 * asked.rounds + 1), "s", IMPORT_S),
        Result(BENCH, "missed", float(len(moved - hits)), "columns", 0.0),
        # One run tells nothing of a rate: bench/drift_calibration.py does.
        Result(BENCH, "false", float(len(hits - moved)), "columns"),
    ]
    for name in runs:
        if name != "steward":
            ratio = least["steward"] / least[name]
            results.append(Result(BENCH, f"time_over_{name}", ratio, "ratio"))
    finish(results)


if __name__ == "__main__":
    main()
