"""Explanations beside shap: time for each row, and how far from exact Shapley values.

A gradient boosting model on 10 features (exact values can be had: 1,024 coalitions x 100
background rows) and on 20 features (they cannot, so 20,000 coalitions are the yardstick). Rows
are explained by exact Shapley values, by KernelSHAP with the same number of coalitions here and in
shap, and by shap's interventional tree explainer, whose additivity is checked. Each in a process
of its own; time is the median for each row. ``--peers PYTHON`` names an interpreter that has shap.
Run: ``make bench NAME=explain``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

_BACKGROUND, _EXPLAINED = 100, 10
_SAMPLES = {10: 400, 20: 2088}
_TIMEOUT_S = 600.0


def scene(features: int) -> tuple[Any, Any, Any]:
    """Return model, background and rows to explain; the same in each process."""
    import numpy as np

    ensemble = import_module("sklearn.ensemble")
    rng = np.random.default_rng(20)
    rows = rng.normal(size=(3000, features))
    target = (rows[:, 0] * rows[:, 1] + np.abs(rows[:, 2]) + rows[:, 3] > 1).astype(int)
    model = ensemble.GradientBoostingClassifier(n_estimators=100, max_depth=4, random_state=0)
    model.fit(rows[:2000], target[:2000])
    return model, rows[:_BACKGROUND], rows[2000 : 2000 + _EXPLAINED]


def with_exact(model: Any, background: Any, rows: Any) -> list[Any]:
    """All coalitions; 20,000 of them where there are too many."""
    from steward.domain.explanations.exact import MAX_FEATURES, explain_exactly
    from steward.domain.explanations.kernel import explain_by_kernel
    from steward.domain.explanations.values import Background

    known = Background.of(background)
    if background.shape[1] <= MAX_FEATURES:
        return [explain_exactly(model.decision_function, row, known).values for row in rows]
    return [
        explain_by_kernel(model.decision_function, row, known, samples=20_000, seed=1).values
        for row in rows
    ]


def with_kernel(model: Any, background: Any, rows: Any) -> list[Any]:
    """KernelSHAP here."""
    from steward.domain.explanations.kernel import explain_by_kernel
    from steward.domain.explanations.values import Background

    known, samples = Background.of(background), _SAMPLES[background.shape[1]]
    return [
        explain_by_kernel(model.decision_function, row, known, samples=samples).values
        for row in rows
    ]


def with_shap_kernel(model: Any, background: Any, rows: Any) -> list[Any]:
    """KernelSHAP in shap."""
    shap = import_module("shap")
    explainer = shap.KernelExplainer(model.decision_function, background)
    samples = _SAMPLES[background.shape[1]]
    return [explainer.shap_values(row, nsamples=samples, silent=True, l1_reg=False) for row in rows]


def with_shap_tree(model: Any, background: Any, rows: Any) -> list[Any]:
    """shap's explainer for trees, interventional."""
    shap = import_module("shap")
    explainer = shap.TreeExplainer(model, background, feature_perturbation="interventional")
    return list(explainer.shap_values(rows, check_additivity=False))


ENGINES: dict[str, Callable[[Any, Any, Any], list[Any]]] = {
    "steward exact": with_exact,
    "steward kernel": with_kernel,
    "shap kernel": with_shap_kernel,
    "shap tree": with_shap_tree,
}


def measure(engine: str, features: int) -> None:
    """Explain once and print the values."""
    model, background, rows = scene(features)
    ENGINES[engine](model, background, rows[:1])
    began = time.perf_counter()
    values = ENGINES[engine](model, background, rows)
    seconds = (time.perf_counter() - began) / len(rows)
    base = float(model.decision_function(background).mean())
    gaps = [
        abs(base + float(sum(value)) - float(answer))
        for value, answer in zip(values, model.decision_function(rows), strict=True)
    ]
    print(json.dumps({
        "seconds": seconds, "values": [[float(v) for v in value] for value in values],
        "gap": max(gaps),
    }))  # fmt: skip


def run(python: str, engine: str, features: int) -> dict[str, Any] | None:
    """Explain in a process of its own; None where shap is absent."""
    command = [python, __file__, "--engine", engine, "--features", str(features)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        print(f"{engine}: not measured ({done.stderr.strip().splitlines()[-1:]})", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Explain with each engine and print the table."""
    from results import Result, finish

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="interpreter with shap and scikit-learn")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--features", type=int)
    given = parser.parse_args()
    if given.engine:
        measure(given.engine, given.features)
        return
    results = []
    print(f"{'features':<10}{'engine':<16}{'ms a row':>9}{'mean error':>12}{'gap':>10}")
    for features in _SAMPLES:
        found: dict[str, dict[str, Any]] = {}
        for engine in ENGINES:
            python = given.peers if engine.startswith("shap") else sys.executable
            one = run(python, engine, features) if python else None
            if one:
                found[engine] = one
        truth = found["steward exact"]["values"]
        for engine, one in found.items():
            error = _apart(one["values"], truth)
            print(f"{features:<10}{engine:<16}{one['seconds'] * 1000:>9.1f}{error:>12.2e}"
                  f"{one['gap']:>10.1e}")  # fmt: skip
            results.append(Result("explain", f"{features} features, {engine}",
                                  one["seconds"] * 1000, "ms"))  # fmt: skip
        error = _apart(found["steward kernel"]["values"], truth)
        results.append(
            Result("explain", f"{features} features, mean kernel error", error, "", 0.05)
        )
        if "shap kernel" in found:
            results += [
                Result("explain", f"{features} features, kernel error against shap's",
                       error / _apart(found["shap kernel"]["values"], truth), "ratio"),
                Result("explain", f"{features} features, kernel time against shap's",
                       found["steward kernel"]["seconds"] / found["shap kernel"]["seconds"],
                       "ratio"),
            ]  # fmt: skip
        exact = found["steward exact"]["gap"]
        results.append(Result("explain", f"{features} features, additivity gap", exact, "", 1e-9))
    finish(results)


def _apart(values: list[list[float]], truth: list[list[float]]) -> float:
    """Return the mean absolute difference."""
    gaps = [
        abs(one - other)
        for row, right in zip(values, truth, strict=True)
        for one, other in zip(row, right, strict=True)
    ]
    return sum(gaps) / len(gaps)


if __name__ == "__main__":
    main()
