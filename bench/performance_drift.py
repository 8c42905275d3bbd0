"""How often monitoring of performance errs, what it finds, how soon, and where estimates fail.

Simulations with fixed seeds. Bars: the stated error plus three standard errors of the simulation
where an error is stated; what is beside it is reported. Run: ``make bench NAME=performance_drift``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from performance_simulations import (
    OTHER_WEIGHTS,
    answers,
    attributions,
    correlated,
    groups,
    numbers,
    sigmoid,
    statistics,
)
from results import Result, finish
from steward.domain.monitoring.attribution import attribution_drift
from steward.domain.monitoring.bias_drift import Rule
from steward.domain.monitoring.bias_drift import judged as groups_judged
from steward.domain.monitoring.calibration import calibration_drift
from steward.domain.monitoring.detectors import (
    Adwin,
    Cusum,
    Ddm,
    Detector,
    Kswin,
    PageHinkley,
)
from steward.domain.monitoring.estimation import corrected, estimated
from steward.domain.monitoring.loss_estimation import estimated_loss, loss_model
from steward.domain.monitoring.metric_estimates import CLASSIFICATION_METRICS, Metric, measured
from steward.domain.monitoring.metric_gains import FURTHER
from steward.domain.monitoring.multivariate import (
    components,
    domain_classifier,
    reconstruction_drift,
)
from steward.domain.monitoring.performance import judged
from steward.domain.monitoring.performance_alarm import (
    AlarmState,
    BoundedLoss,
    Told,
    alarm_plan,
    look,
)
from steward.domain.monitoring.performance_statistics import classification_of, scores_of
from steward_cli.console import table

_CONSOLE = Console(width=118)
_BENCH = "performance_drift"


def _bar(repetitions: int, alpha: float = 0.05) -> float:
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / repetitions)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _result(metric: str, value: float, unit: str = "fraction", bar: float | None = None) -> Result:
    return Result(_BENCH, metric, value, unit, bar)


def window_verdicts(repetitions: int = 1_000) -> list[Result]:
    """How often an unchanged model is called worse at margin 0, and a changed one."""
    generator = np.random.default_rng(201)
    rows, results = [], []
    for baseline_rows, window_rows in ((150, 50), (150, 500), (300, 300), (500, 100), (500, 2_000)):
        false = dict.fromkeys(CLASSIFICATION_METRICS, 0)
        exact = found = 0
        for _ in range(repetitions):
            baseline = statistics(generator, baseline_rows)
            window = statistics(generator, window_rows)
            for metric in CLASSIFICATION_METRICS:
                false[metric] += judged(window, baseline, {metric: 0.0})[0].verdict == "worse"
            now, before = measured(window, "brier"), measured(baseline, "brier")
            exact += now.centre - 1.645 * math.sqrt(now.variance) > before.centre
            moved = statistics(generator, window_rows, concept=0.3)
            found += judged(moved, baseline, {"brier": 0.0})[0].verdict == "worse"
        sizes = f"{baseline_rows} / {window_rows}"
        rates = {metric: count / repetitions for metric, count in false.items()}
        rows.append(
            [sizes, *map(_percent, rates.values()), _percent(exact / repetitions),
             _percent(found / repetitions)]
        )  # fmt: skip
        results += [
            _result(f"called worse without reason, {metric}, {sizes}", rate, bar=_bar(repetitions))
            for metric, rate in rates.items()
        ]
        results += [
            _result(f"baseline taken as exact, brier, {sizes}", exact / repetitions),
            _result(f"found, concept .3, brier, {sizes}", found / repetitions),
        ]
    heads = ("held-out / window", *CLASSIFICATION_METRICS, "exact base", "found")
    _CONSOLE.print(table(heads, rows, "Called worse, nothing changed, margin 0, one look"))
    return results


_LOSSES: tuple[BoundedLoss, ...] = ("zero_one", "brier", "log_loss")


@dataclass(frozen=True)
class _Course:
    """One model watched by several losses: what alarmed falsely, and when the change was found."""

    false: frozenset[Told]
    delays: dict[Told, int]


def _course(
    generator: np.random.Generator,
    held_out: int,
    looks: int,
    labels: int,
    *,
    late: int,
    losses: tuple[Told, ...] = _LOSSES,
) -> _Course:
    baseline = statistics(generator, held_out)
    plans = {loss: alarm_plan(loss, baseline, margin=0.0) for loss in losses}
    states = dict.fromkeys(losses, AlarmState())
    first: dict[Told, int] = {}
    for place in range(1, looks + late + 1):
        chunk = statistics(generator, labels, concept=1.0 if place <= looks else 0.0)
        for loss in losses:
            states[loss] = look(states[loss], plans[loss], chunk)
            if states[loss].since is not None:
                first.setdefault(loss, place)
        if place >= looks and len(first) == len(losses):
            break
    return _Course(
        frozenset(loss for loss, place in first.items() if place <= looks),
        {loss: first.get(loss, looks + late) - looks for loss in losses},
    )


def alarms_over_time(repetitions: int = 150, looks: int = 336, labels: int = 20) -> list[Result]:
    """False alarms in 336 looks, and looks until a late change is found."""
    generator = np.random.default_rng(202)
    rows, results = [], []
    for held_out in (150, 500):
        courses = [
            _course(generator, held_out, looks, labels, late=400 if n < 60 else 0)
            for n in range(repetitions)
        ]
        for loss in _LOSSES:
            rate = sum(loss in course.false for course in courses) / repetitions
            delays = [c.delays[loss] for c in courses[:60] if loss not in c.false]
            middle, slow = (float(np.quantile(delays, q)) for q in (0.5, 0.9))
            rows.append(
                [str(held_out), loss, _percent(rate), f"{middle:.0f}", f"{slow:.0f}",
                 f"{middle * labels:.0f}"]
            )  # fmt: skip
            name = f"{loss}, {held_out} held out"
            results += [
                _result(f"false alarms in {looks} looks, {name}", rate, bar=_bar(repetitions)),
                _result(f"median delay after {looks} good looks, {name}", middle, "looks"),
            ]
    heads = ("held out", "loss", f"false in {looks} looks", "delay", "90 % within", "labels")
    _CONSOLE.print(table(heads, rows, "Alarm over time, 20 labels a look; labels become coins"))
    return results


def metrics_over_time(repetitions: int = 40, looks: int = 336, labels: int = 20) -> list[Result]:
    """The same of precision, recall, F1 and AUC."""
    generator = np.random.default_rng(212)
    courses = [
        _course(generator, 500, looks, labels, late=400 if n < 20 else 0, losses=FURTHER)
        for n in range(repetitions)
    ]
    rows, results = [], []
    for metric in FURTHER:
        rate = sum(metric in course.false for course in courses) / repetitions
        delays = [c.delays[metric] for c in courses[:20] if metric not in c.false]
        middle, slow = (float(np.quantile(delays, q)) for q in (0.5, 0.9))
        rows.append([metric, _percent(rate), f"{middle:.0f}", f"{slow:.0f}"])
        results += [
            _result(f"false alarms in {looks} looks, {metric}", rate, bar=_bar(repetitions)),
            _result(f"median delay after {looks} good looks, {metric}", middle, "looks"),
        ]
    heads = ("metric", f"false in {looks} looks", "delay", "90 % within")
    _CONSOLE.print(table(heads, rows, f"{labels} labels a look, 500 held out; then coins"))
    return results


def after_many_good_labels() -> list[Result]:
    """Labels until the alarm, at the start and after 20,000 good ones; the mean of all beside."""
    generator = np.random.default_rng(203)
    rows, results = [], []
    for good in (0, 20_000):
        waits: dict[str, list[int]] = {"e-detector": [], "cumulative mean": []}
        for _ in range(15):
            baseline = statistics(generator, 2_000)
            plan, state = alarm_plan("brier", baseline, margin=0.01), AlarmState()
            whole = statistics(generator, max(good, 1))
            for _ in range(good // 100):
                state = look(state, plan, statistics(generator, 100))
            found: dict[str, int] = {}
            for seen in range(50, 12_001, 50):
                chunk = statistics(generator, 50, concept=0.3)
                state, whole = look(state, plan, chunk), whole.merge(chunk)
                mean = measured(whole, "brier")
                # An alarm at 4.17 deviations, rule 19's level for one horizon of 3,360 looks.
                if mean.centre - 4.17 * math.sqrt(mean.variance) > plan.bound and whole.n > 30:
                    found.setdefault("cumulative mean", seen)
                if state.since is not None:
                    found.setdefault("e-detector", seen)
                if len(found) == len(waits):
                    break
            for method, waited in waits.items():
                waited.append(found.get(method, 12_000))
        medians = {method: float(np.median(waited)) for method, waited in waits.items()}
        rows.append([f"{good:,}", *(f"{value:,.0f}" for value in medians.values())])
        results += [
            _result(
                f"labels until the alarm after {good} good ones, {method}",
                value,
                "labels",
                1_000 if method == "e-detector" else None,
            )
            for method, value in medians.items()
        ]
    _CONSOLE.print(table(("good labels before", "e-detector", "cumulative mean"), rows,
                         "Labels until a late change is found"))  # fmt: skip
    return results


_ESTIMATED: tuple[Metric, ...] = ("accuracy", "brier", "f1", "roc_auc")
_CHANGES = {"none": (1.0, 0.0), "covariate shift": (1.0, 1.0), "concept drift": (0.0, 0.0)}


def estimates(repetitions: int = 100) -> list[Result]:
    """CBPE and DLE against what labels show, where their assumption holds and where not."""
    generator = np.random.default_rng(204)
    rows, results = [], []
    for held_out in (500, 5_000):
        for name, (concept, centre) in _CHANGES.items():
            windows = [
                _estimate_errors(generator, held_out, concept, centre) for _ in range(repetitions)
            ]
            told = [window for window in windows if window is not None]
            cells = []
            for place, metric in enumerate(_ESTIMATED):
                error = float(np.mean([abs(window[place][0]) for window in told]))
                missed = float(np.mean([not window[place][1] for window in told]))
                cells.append(f"{error:.3f} {1 - missed:.0%}")
                label = f"{name}, {metric}, {held_out} held out"
                # Intervals are asymptotic: half as many misses again are allowed.
                bar = None if name == "concept drift" else _bar(len(told), 0.075)
                results += [
                    _result(f"CBPE interval misses, {label}", missed, bar=bar),
                    _result(f"CBPE mean error, {label}", error, ""),
                ]
            rows.append([str(held_out), name, *cells, _percent(1 - len(told) / repetitions)])
    heads = ("held out", "change", *_ESTIMATED, "inconclusive")
    _CONSOLE.print(table(heads, rows, "CBPE: mean absolute error, share of intervals that hold"))
    return results + _loss_estimates(generator) + _over_confidence(generator)


def _estimate_errors(
    generator: np.random.Generator, held_out: int, concept: float, centre: float
) -> list[tuple[float, bool]] | None:
    """Return error and whether the interval holds, per metric; None where nothing is said."""
    window = statistics(generator, 1_000, concept=concept, centre=centre)
    found = estimated(
        window.predictions, statistics(generator, held_out), _ESTIMATED, replicates=100
    )
    errors = []
    for one in found:
        truth = measured(window, one.metric).value
        if one.value is None or one.lower is None or one.upper is None or truth is None:
            return None
        errors.append((one.value - truth, one.lower <= truth <= one.upper))
    return errors


def _loss_estimates(generator: np.random.Generator, repetitions: int = 40) -> list[Result]:
    rows, results = [], []
    cases = {"none": (0.0, 0.0), "covariate shift": (0.7, 0.0), "concept drift": (0.0, 3.0)}
    for name, (centre, extra) in cases.items():
        errors, naive, covered = [], [], 0
        for _ in range(repetitions):
            held = numbers(generator, 2_000)
            features, predictions, labels = numbers(generator, 1_000, centre=centre, extra=extra)
            found = estimated_loss(loss_model(*held), features, predictions)
            truth = float(np.abs(labels - predictions).mean())
            before = float(np.abs(held[2] - held[1]).mean())
            errors.append(abs((found.value or 0) - truth))
            naive.append(abs(before - truth))
            covered += (found.lower or 0) <= truth <= (found.upper or 0)
        rows.append(
            [name, f"{np.mean(errors):.3f}", f"{np.mean(naive):.3f}",
             f"{covered / repetitions:.0%}"]
        )  # fmt: skip
        results.append(_result(f"DLE mean error, {name}", float(np.mean(errors)), "unit of y"))
        results.append(
            _result(f"DLE error over that of the held-out loss, {name}",
                    float(np.mean(errors) / np.mean(naive)), "ratio",
                    0.5 if name == "covariate shift" else None)
        )  # fmt: skip
    _CONSOLE.print(table(("change", "DLE", "held-out loss instead", "intervals hold"), rows,
                         "DLE: mean absolute error of the mean absolute error"))  # fmt: skip
    return results


def _over_confidence(generator: np.random.Generator) -> list[Result]:
    labels, scores = answers(generator, 100_000)
    doubled = sigmoid(2 * np.log(scores / (1 - scores)))
    raw = float(np.maximum(doubled, 1 - doubled).mean())
    realised = float(((doubled >= 0.5) == labels).mean())
    (found,) = estimated(
        scores_of(doubled[:20_000]), classification_of(labels[:5_000], doubled[:5_000]),
        ("accuracy",), replicates=50,
    )  # fmt: skip
    off = abs((found.value or 0) - realised)
    _CONSOLE.print(
        f"Logits x 2: taken as they are .{1000 * raw:.0f}, realised .{1000 * realised:.0f},"
        f" calibrated on held-out rows .{1000 * (found.value or 0):.0f}"
    )
    return [
        _result("logits x 2, estimated without calibrator", raw, "accuracy"),
        _result("logits x 2, realised", realised, "accuracy"),
        _result("logits x 2, error with calibrator", off, "accuracy", 0.02),
    ]


def corrections(repetitions: int = 400) -> list[Result]:
    """Prediction-powered correction by 120 labels of 3,120 predictions."""
    generator = np.random.default_rng(205)
    rows, results = [], []
    for concept in (1.0, 0.0):
        truth = measured(statistics(generator, 1_000_000, concept=concept), "brier").value or 0
        held = statistics(generator, 3_000)
        missed, ratios = 0, []
        for _ in range(repetitions):
            found = corrected(
                "brier", statistics(generator, 120, concept=concept),
                statistics(generator, 3_000, concept=concept).predictions, held,
            )  # fmt: skip
            missed += not found.lower <= truth <= found.upper
            ratios.append(found.error / found.labels_alone_error)
        rows.append([f"{concept:g}", _percent(1 - missed / repetitions), f"{np.mean(ratios):.2f}"])
        results.append(
            _result(f"corrected Brier misses, concept {concept:g}", missed / repetitions,
                    bar=_bar(repetitions))
        )  # fmt: skip
    _CONSOLE.print(table(("concept", "covers", "error / labels alone"), rows,
                         "Estimates corrected by labels"))  # fmt: skip
    return results


def second_opinions(repetitions: int = 300) -> list[Result]:
    """False alarms and power of calibration, groups, all columns together and attributions."""
    generator = np.random.default_rng(206)
    equal = [Rule(metric="selection_rate", comparison="difference", lower=0, upper=0, drift=0)]

    def grouped(rate: float) -> bool:
        found = groups_judged(
            groups(generator, 400, {"b": rate}), groups(generator, 400), "a", equal, alpha=0.025
        )
        return any(one.drift == "drifted" for one in found)

    def columns(correlation: float, shift: float) -> tuple[bool, bool]:
        reference = correlated(generator, 1_000)
        window = correlated(generator, 400, correlation=correlation, shift=shift)
        learnt = components(reference)
        return (
            domain_classifier(reference, window).verdict == "drifted",
            reconstruction_drift(learnt, window).verdict == "drifted",
        )

    cases: dict[str, tuple[Callable[[], bool], Callable[[], bool]]] = {
        "calibration, slope 1 -> .5": (
            lambda: _recalibrated(generator, 1.0), lambda: _recalibrated(generator, 0.5)
        ),
        "group selected .4 -> .3": (lambda: grouped(0.4), lambda: grouped(0.3)),
        "classifier, lost correlation": (
            lambda: columns(0.7, 0)[0], lambda: columns(0, 0)[0]
        ),
        "classifier, shift .3 sd": (lambda: columns(0.7, 0)[0], lambda: columns(0.7, 0.3)[0]),
        "components, lost correlation": (
            lambda: columns(0.7, 0)[1], lambda: columns(0, 0)[1]
        ),
        "components, shift .3 sd": (lambda: columns(0.7, 0)[1], lambda: columns(0.7, 0.3)[1]),
        "attributions, 3:1 -> 2:2": (
            lambda: _attributed(generator, changed=False),
            lambda: _attributed(generator, changed=True),
        ),
    }  # fmt: skip
    rows, results = [], []
    for name, (same, changed) in cases.items():
        false = sum(same() for _ in range(repetitions)) / repetitions
        power = sum(changed() for _ in range(100)) / 100
        rows.append([name, _percent(false), _percent(power)])
        results += [
            _result(f"false, {name}", false, bar=_bar(repetitions)),
            _result(f"found, {name}", power),
        ]
    _CONSOLE.print(table(("what, how it changes", "false", "found"), rows, "One look at 5 %"))
    return results


def _recalibrated(generator: np.random.Generator, concept: float) -> bool:
    window = statistics(generator, 600, concept=concept)
    return calibration_drift(window, statistics(generator, 500)).verdict == "drifted"


def _attributed(generator: np.random.Generator, *, changed: bool) -> bool:
    now = attributions(generator, 100, OTHER_WEIGHTS) if changed else attributions(generator, 100)
    drift = attribution_drift(now, attributions(generator, 300), replicates=199, floor=0.0)
    return drift.verdict == "drifted"


def detectors() -> list[Result]:
    """Run lengths of the streaming detectors on errors of a rate of .2, and delays."""
    makes: dict[str, Callable[[], Detector]] = {
        "ADWIN (.002)": Adwin,
        "Page-Hinkley (.005, 50)": PageHinkley,
        "DDM (2, 3)": Ddm,
        "KSWIN (1e-4, 300, 100)": lambda: Kswin(alpha=1e-4, window=300, recent=100),
        "CUSUM (.05, 10)": lambda: Cusum(target=0.2, slack=0.05, threshold=10),
    }
    rows, results = [], []
    for name, make in makes.items():
        generator = np.random.default_rng(207)
        false, values = 0, 0
        for _ in range(10):
            detector = make()
            for error in _stream(generator, 10_000, 0.2):
                false += detector.update(error) == "drift"
                values += 1
        delays = [_delays(make, generator, rate) for rate in (0.3, 0.5)]
        length = values / false if false else math.inf
        shown = f"{length:,.0f}" if false else f"> {values:,}"
        rows.append([name, shown, *(f"{np.median(found):.0f}" for found in delays)])
        results.append(_result(f"values a false alarm, {name}", values / max(1, false), "values"))
        results += [
            _result(f"median delay .2 -> {rate:g}, {name}", float(np.median(found)), "values")
            for rate, found in zip((0.3, 0.5), delays, strict=True)
        ]
    heads = ("detector", "values a false alarm", ".2 -> .3 found after", ".2 -> .5")
    _CONSOLE.print(table(heads, rows, "Streaming detectors on errors; change after 1,000 values"))
    return results


def _stream(generator: np.random.Generator, n: int, rate: float) -> Iterator[float]:
    yield from (generator.random(n) < rate).astype(float).tolist()


def _delays(
    make: Callable[[], Detector], generator: np.random.Generator, rate: float
) -> list[float]:
    found = []
    for _ in range(15):
        detector = make()
        for error in _stream(generator, 1_000, 0.2):
            detector.update(error)
        later = enumerate(_stream(generator, 5_000, rate), start=1)
        found.append(next((place for place, x in later if detector.update(x) == "drift"), 5_000))
    return [float(delay) for delay in found]


if __name__ == "__main__":
    finish(
        [
            *window_verdicts(),
            *alarms_over_time(),
            *metrics_over_time(),
            *after_many_good_labels(),
            *estimates(),
            *corrections(),
            *second_opinions(),
            *detectors(),
        ]
    )
