"""How often drift is told without drift, how often it is found, and how soon.

Simulations with fixed seeds on counts, drawn exactly (``drift_simulations``). A rate fails only
where its 99 percent lower limit exceeds its bar. ``--repetitions`` and ``--streams`` make it
shorter. Beside scipy, and beside evidently, nannyml and alibi-detect where ``--peers NAME=PYTHON``
names interpreters that have them. Run: ``make bench NAME=drift_calibration``.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from rich.console import Console

from drift import rates
from drift_simulations import (
    References,
    families,
    first_alarms,
    flagged_windows,
    lower_limit,
    power,
    references,
    seasonal_streams,
    shifted,
    uneven_hours,
    windows,
)
from results import Result, finish
from steward_cli.console import table

BENCH = "drift_calibration"
LOOKS, COLUMNS = 336, 40
_RESULTS: list[Result] = []
_CONSOLE = Console(width=120)


def record(metric: str, value: float, unit: str, bar: float | None = None) -> None:
    """Keep a figure for the end."""
    _RESULTS.append(Result(BENCH, metric, value, unit, bar))


def calibrate(repetitions: int) -> None:
    """Windows without drift: how many flag any of 40 numeric and 10 categorical columns."""
    rows = []
    for reference in (1_000, 10_000, 50_000):
        for current in (100, 500, 5_000):
            chance = np.random.default_rng([22, reference, current])
            found = flagged_windows(chance, reference, current, repetitions)
            hits = int(found.any(1).sum())
            limit = lower_limit(hits, repetitions)
            rows.append(
                (f"{reference:,}", f"{current:,}", f"{hits / repetitions:.2%}", f"{limit:.2%}",
                 f"{found[:, :COLUMNS].mean():.3%}", f"{found[:, COLUMNS:].mean():.3%}")
            )  # fmt: skip
            record(f"false_windows.{reference}.{current}", limit, "lower limit of rate", 0.05)
    heads = ("reference", "window", "any column", "99 % lower", "per numeric", "per categorical")
    _CONSOLE.print(table(heads, rows))


def find(repetitions: int) -> None:
    """Windows with 10 of 40 columns shifted: share of the shifted ones that are found."""
    laws, rows = families(), []
    for name, chosen in [("all by turns", laws), *((law.name, [law]) for law in laws)]:
        shares = []
        for sds, current in ((0.2, 500), (0.08, 5_000)):
            chance = np.random.default_rng([20, current])
            size = repetitions if len(chosen) > 1 else repetitions // 4
            found = power(chance, chosen, sds, 10_000, current, size)
            shares += [f"{found.found.mean():.1%}", f"{found.false.mean():.2%}"]
            bar = 0.1 if len(chosen) > 1 else 0.3
            record(f"missed.{name}.{sds}", 1 - float(found.found.mean()), "share", bar)
        rows.append((name, *shares))
    heads = ("distribution", ".2 sd, n = 500", "false of found", ".08 sd, n = 5,000", "false")
    _CONSOLE.print(table(heads, rows))


def _quiet_stream(seed: int, reference: int, hourly: int) -> bool:
    chance = np.random.default_rng([19, seed, reference, hourly])
    drawn = references(chance, reference, (COLUMNS,))
    hours = windows(chance, hourly, np.broadcast_to(drawn.masses, (LOOKS, *drawn.masses.shape)))
    return bool((first_alarms(hours, drawn.counts) >= 0).any())


def _delay(seed: int, moved: int, sds: float, hourly: int) -> int:
    """Return the hours until the first moved column alarms; -1 where none does in a week."""
    before, after = 96, 168
    chance = np.random.default_rng([27, seed, moved, hourly])
    drawn = references(chance, 10_000, (COLUMNS,))
    laws, masses = families(), drawn.masses.copy()
    for column in range(moved):
        one = References(drawn.counts[column], drawn.masses[column])
        masses[column] = shifted(one, laws[(column + seed) % len(laws)], sds)
    hours = np.concatenate(
        [
            windows(chance, hourly, np.broadcast_to(shares, (count, *masses.shape)))
            for shares, count in ((drawn.masses, before), (masses, after))
        ]
    )
    found = first_alarms(hours, drawn.counts, history=before)[:moved]
    return int(found[found >= 0].min()) + 1 if (found >= 0).any() else -1


def hold(pool: ProcessPoolExecutor, streams: int) -> None:
    """Hourly looks at streams without drift, and at streams that drift."""
    rows = []
    for reference, hourly, size in ((10_000, 100, streams), (1_000, 500, streams // 4)):
        chunk = max(1, size // 20)
        hits = sum(
            pool.map(
                _quiet_stream, range(size), [reference] * size, [hourly] * size, chunksize=chunk
            )
        )
        limit = lower_limit(hits, size)
        rows.append(
            (f"{reference:,}", f"{hourly}", f"{size:,}", f"{hits / size:.2%}", f"{limit:.2%}")
        )
        record(f"false_alarms.{reference}.{hourly}", limit, "lower limit of rate", 0.05)
    heads = ("reference", "rows an hour", "streams", "any alarm in 336 looks", "99 % lower")
    _CONSOLE.print(table(heads, rows))
    delays_of = []
    size = max(40, streams // 10)
    for moved, sds in ((40, 0.2), (1, 0.2), (1, 0.5), (1, 0.08)):
        delays = np.array(
            list(pool.map(_delay, range(size), [moved] * size, [sds] * size, [500] * size))
        )
        found = np.where(delays < 0, np.inf, delays)
        delays_of.append(
            (f"{moved}", f"{sds} sd", f"{np.median(found):.0f} h",
             f"{np.quantile(found, 0.9, method='higher'):.0f} h", f"{(found <= 3).mean():.0%}",
             f"{np.isfinite(found).mean():.0%}")
        )  # fmt: skip
        record(f"delay.{moved}.{sds}", float(np.median(found)), "hours")
    moved_heads = ("columns moved", "by", "median delay", "90 % within", "within 3 h", "in a week")
    _CONSOLE.print(table(moved_heads, delays_of))


def seasons(streams: int) -> None:
    """A daily cycle of .3 deviations and uneven hours, without drift."""
    chance = np.random.default_rng(23)
    found = seasonal_streams(chance, max(20, streams // 20))
    limit = lower_limit(int(found.matched * found.streams), found.streams)
    rows = [
        ("hours flagged, against the all-day baseline", f"{found.naive_hours:.1%}"),
        ("hours flagged, against hour-matched counts", f"{found.matched_hours:.1%}"),
        ("streams with any alarm, no cycle declared", f"{found.undeclared:.1%}"),
        (f"streams with any alarm, cycle of 24 h declared ({found.streams})",
         f"{found.matched:.1%}"),
    ]  # fmt: skip
    record("false_alarms.seasonal", limit, "lower limit of rate", 0.05)
    plain, learnt = uneven_hours(chance, max(100, streams // 4))
    rows += [
        ("windows of which any column is flagged, uneven hours", f"{plain:.1%}"),
        ("the same with dispersion learnt from 100 windows", f"{learnt:.1%}"),
    ]
    record("false_windows.uneven", learnt, "rate")
    _CONSOLE.print(table(("seasonal and uneven, without drift", "rate"), rows))


def beside(peers: dict[str, str], repetitions: int) -> None:
    """The same windows judged by the others with their defaults: rows, not counts."""
    cells = [
        (10_000, 100, 0.0), (10_000, 500, 0.0), (10_000, 5_000, 0.0), (1_000, 1_000, 0.0),
        (10_000, 500, 0.2), (10_000, 5_000, 0.08),
    ]  # fmt: skip
    engines = {"steward": sys.executable, "scipy": sys.executable} | peers
    rows = []
    for reference, current, sds in cells:
        shown = [f"{reference:,}", f"{current:,}", f"{sds:g} sd" if sds else "none"]
        for name, python in engines.items():
            found = rates(name, python, (reference, current, sds, repetitions))
            shown.append(f"{found['found']:.0%}" if sds else f"{found['any']:.0%}")
            key = "found" if sds else "any"
            record(f"{key}.{name}.{reference}.{current}", found[key], "share")
        rows.append(tuple(shown))
    heads = ("reference", "window", "shift", *engines)
    _CONSOLE.print(table(heads, rows))
    print("without a shift: windows with any column flagged; with one: shifted columns found")


def main() -> None:
    """Run all cells."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=2_000)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--peers", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--peer-repetitions", type=int, default=20)
    parser.add_argument("--only-peers", action="store_true", help="the comparison alone")
    asked = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in asked.peers)
    began = time.monotonic()
    if not asked.only_peers:
        calibrate(asked.repetitions)
        find(asked.repetitions)
        seasons(asked.streams)
        with ProcessPoolExecutor(2) as pool:
            hold(pool, asked.streams)
    beside(peers, asked.peer_repetitions)
    print(f"{time.monotonic() - began:.0f} s")
    finish(_RESULTS)


if __name__ == "__main__":
    main()
