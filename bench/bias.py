"""Bias metrics beside smclarify, fairlearn and aif360: seconds, memory, and the same values.

100,000 rows of two facets with labels, predictions and eight strata. Each engine computes what it
has of Clarify's metrics, in a process of its own, by turns; time is the median of the rounds
without reading the file, memory the peak of the process. Steward computes
20 metrics with intervals from 2,000 resamples; the peers have none. A metric by three groups
is compared with fairlearn's MetricFrame, 50 resamples each. ``--peers PYTHON`` names an
interpreter that has fairlearn and aif360, ``--clarify PYTHON`` one that has smclarify.
Run: ``make bench NAME=bias``.
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

_ROWS, _STRATA = 100_000, 8
_ROUNDS = 3
_TIMEOUT_S = 600.0
_RESAMPLES = 50
_BY_GROUP = "false_positive_rate"


def write(path: Path) -> None:
    """Write the columns as one array: facet, label, prediction, stratum, group."""
    import numpy as np

    rng = np.random.default_rng(20)
    facet = rng.random(_ROWS) < 0.3
    label = rng.random(_ROWS) < np.where(facet, 0.3, 0.4)
    prediction = rng.random(_ROWS) < np.where(label, 0.8, np.where(facet, 0.1, 0.2))
    columns = [facet, label, prediction, rng.integers(0, _STRATA, _ROWS), rng.integers(0, 3, _ROWS)]
    np.save(path, np.column_stack(columns).astype(np.int64))


def with_steward(columns: Any) -> dict[str, float]:
    """Compute all metrics with intervals, in Clarify's mode."""
    import numpy as np

    from steward.domain.bias.report import report_bias

    report = report_bias(
        "facet", columns[:, 0] == 1, columns[:, 1] == 1, columns[:, 2] == 1,
        strata=np.char.mod("%d", columns[:, 3]).tolist(), mode="clarify_compatible",
    )  # fmt: skip
    return {metric.name: metric.value for metric in report.metrics if metric.value is not None}


def with_smclarify(columns: Any) -> dict[str, float]:
    """Compute the same metrics with the code that SageMaker Clarify runs."""
    pandas = import_module("pandas")
    pre = import_module("smclarify.bias.metrics.pretraining")
    post = import_module("smclarify.bias.metrics.posttraining")
    feature = pandas.Series(range(len(columns)))
    facet, label, prediction = (pandas.Series(columns[:, place] == 1) for place in range(3))
    strata = pandas.Series(columns[:, 3])
    found = {"CI": pre.CI(feature, facet), "DPL": pre.DPL(feature, facet, label)}
    for name in ("KL", "JS", "LP", "TVD", "KS"):
        found[name] = getattr(pre, name)(label, facet)
    found["CDDL"] = pre.CDDL(feature, facet, label, strata)
    found["CDDPL"] = post.CDDPL(feature, facet, prediction, strata)
    found["DPPL"] = post.DPPL(feature, facet, prediction)
    found["DI"] = post.DI(feature, facet, prediction)
    found["DCAcc"] = post.DCA(feature, facet, label, prediction)
    for name in ("DCR", "SD", "RD", "DAR", "DRR", "AD", "TE"):
        found[name] = getattr(post, name)(feature, facet, label, prediction)
    found["GE"] = post.GE(label, prediction)
    return {name: float(value) for name, value in found.items()}


def with_aif360(columns: Any) -> dict[str, float]:
    """Compute what AIF360 has of them."""
    pandas = import_module("pandas")
    datasets, metrics = import_module("aif360.datasets"), import_module("aif360.metrics")
    names = ["facet", "label"]
    truth = pandas.DataFrame(columns[:, :2].astype(float), columns=names)
    answered = pandas.DataFrame(columns[:, [0, 2]].astype(float), columns=names)
    sets = [
        datasets.BinaryLabelDataset(
            df=frame, label_names=["label"], protected_attribute_names=["facet"]
        )
        for frame in (truth, answered)
    ]
    groups = {"unprivileged_groups": [{"facet": 1}], "privileged_groups": [{"facet": 0}]}
    metric = metrics.ClassificationMetric(*sets, **groups)
    return {
        "DPPL": -metric.statistical_parity_difference(),
        "DI": metric.disparate_impact(),
        "RD": -metric.true_positive_rate_difference(),
        "GE": metric.generalized_entropy_index(alpha=2),
    }


def by_group_with_steward(columns: Any) -> dict[str, float]:
    """One metric by group, with the resamples of the other."""
    import numpy as np

    from steward.domain.bias.by_group import by_group

    found = by_group(
        _BY_GROUP, columns[:, 1].astype(np.float64), columns[:, 2].astype(np.float64),
        {"group": columns[:, 4].tolist()}, samples=_RESAMPLES,
    )  # fmt: skip
    return {str(group.group["group"]): group.value or 0.0 for group in found.groups}


def by_group_with_fairlearn(columns: Any) -> dict[str, float]:
    """The same with MetricFrame."""
    metrics = import_module("fairlearn.metrics")
    frame = metrics.MetricFrame(
        metrics=metrics.false_positive_rate, y_true=columns[:, 1], y_pred=columns[:, 2],
        sensitive_features=columns[:, 4], n_boot=_RESAMPLES, ci_quantiles=[0.025, 0.975],
        random_state=20,
    )  # fmt: skip
    return {str(group): float(value) for group, value in frame.by_group.items()}


ENGINES: dict[str, Callable[[Any], dict[str, float]]] = {
    "steward": with_steward,
    "smclarify": with_smclarify,
    "aif360": with_aif360,
    "steward by group": by_group_with_steward,
    "fairlearn by group": by_group_with_fairlearn,
}


def measure(engine: str, path: Path) -> None:
    """Run one engine once and print what it took."""
    import numpy as np

    columns = np.load(path)
    began = time.perf_counter()
    values = ENGINES[engine](columns)
    seconds = time.perf_counter() - began
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, "values": values}))


def run(python: str, engine: str, path: Path) -> dict[str, Any] | None:
    """Run one engine in a process of its own; None where its package is absent."""
    command = [python, __file__, "--engine", engine, "--file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        print(f"{engine}: not measured ({done.stderr.strip().splitlines()[-1:]})", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure by turns and print the table."""
    from results import Result, finish

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="interpreter with fairlearn and aif360")
    parser.add_argument("--clarify", help="interpreter with smclarify")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    if given.engine:
        measure(given.engine, given.file)
        return
    pythons = {"smclarify": given.clarify, "aif360": given.peers, "fairlearn by group": given.peers}
    engines = {name: pythons.get(name, sys.executable) for name in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        write(path)
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
        for _ in range(_ROUNDS):
            for name, python in engines.items():
                found = run(python, name, path) if python else None
                if found:
                    rounds[name].append(found)
    report(rounds, Result, finish)


def report(rounds: dict[str, list[dict[str, Any]]], result: Any, finish: Any) -> None:
    """Print the table, the ratios and how far the values are apart."""
    results, medians = [], {}
    print(f"{'engine':<20}{'seconds':>9}{'MB':>7}{'values':>8}   {_ROWS:,} rows")
    for name, found in rounds.items():
        if not found:
            continue
        medians[name] = median(one["seconds"] for one in found)
        peak = median(one["megabytes"] for one in found)
        print(f"{name:<20}{medians[name]:>9.3f}{peak:>7.0f}{len(found[0]['values']):>8}")
        results.append(result("bias", f"seconds, {name}", medians[name], "s"))
    pairs = [("steward", peer) for peer in ("smclarify", "aif360")]
    for own, peer in [*pairs, ("steward by group", "fairlearn by group")]:
        if peer not in medians:
            continue
        ours, theirs = rounds[own][0]["values"], rounds[peer][0]["values"]
        apart = max(abs(ours[name] - value) for name, value in theirs.items())
        results.append(result("bias", f"{own} against {peer}, time", medians[own] / medians[peer],
                              "ratio"))  # fmt: skip
        results.append(result("bias", f"{own} against {peer}, values apart", apart, "", 1e-9))
    finish(results)


if __name__ == "__main__":
    main()
