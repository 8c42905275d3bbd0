"""How often each method errs, how soon it decides, and how the naive tests beside it fail.

Simulations with fixed seeds; every sequence is looked at after each batch. Bars: 5 percent plus
three standard errors for the methods whose guarantee holds under peeking; the naive tests are
only reported. Run: ``make bench NAME=experiments``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console

from experiment_simulations import (
    Looks,
    Rejections,
    asymptotic_rejects,
    average_look,
    bayesian_rejects,
    betting_log_e,
    betting_rejects,
    entity_statistics,
    ever,
    in_sequence,
    looks,
    naive_z,
    planned_bets,
    planned_mixture,
    risk_ratio_rejects,
    run_bandit,
    sticky_entities,
    weighted_rejects,
)
from results import Result, finish
from steward.domain.experiments import (
    asymptotic,
    bandit,
    estimates,
    fixed_horizon,
    group_sequential,
    planning,
    propensity,
    sample_ratio,
)
from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.plan import (
    ExperimentPlan,
    ExperimentRecord,
    Goal,
    Guardrail,
    Metric,
    StepRecord,
)
from steward.domain.experiments.sample_ratio import Exposures
from steward.domain.experiments.verdicts import judge
from steward_cli.console import table

_REPETITIONS = 2_000
_CONSOLE = Console(width=118)


def _bar(repetitions: int, alpha: float = 0.05) -> float:
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / repetitions)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _methods(
    units: int, share: float, rate: float
) -> dict[str, Callable[[list[Looks]], Rejections]]:
    mixture, bets = planned_mixture(units, share, rate), planned_bets(units, share, rate)
    return {
        "z-test, peeked": naive_z,
        "chance to win > 95 %, peeked": bayesian_rejects,
        "asymptotic, no start rule": lambda s: asymptotic_rejects(s, mixture, minimum_events=0),
        "asymptotic sequence": lambda s: asymptotic_rejects(s, mixture),
        "weighted (IPW) sequence": lambda s: weighted_rejects(s, mixture),
        "beta-binomial risk ratio": risk_ratio_rejects,
        "betting mixture": lambda s: betting_rejects(s, rate, bets=bets),
    }


_NAIVE = 3
"""The first methods are there to show how they fail; they have no bar."""


def false_alarms() -> list[Result]:
    """A/A tests of 10,000 units, looked at 40 times."""
    generator = np.random.default_rng(101)
    rows, results = [], []
    names: list[str] = []
    for share in (0.5, 0.1):
        for rate in (0.1, 0.01, 0.002):
            steps = [looks(generator, (_REPETITIONS, 40), 250, share, (rate, rate))]
            methods = _methods(10_000, share, rate)
            names = list(methods)
            rates = [ever(method(steps)) for method in methods.values()]
            rows.append([f"{share:g}", f"{rate:g}", *map(_percent, rates)])
            results += [
                Result("experiments", f"A/A {name}, share {share:g}, rate {rate:g}", found,
                       "fraction", None if position < _NAIVE else _bar(_REPETITIONS))
                for position, (name, found) in enumerate(zip(names, rates, strict=True))
            ]  # fmt: skip
    _CONSOLE.print(table(("share", "rate", *names), rows, "A/A: ever significant in 40 looks"))
    return results


def moving_base_rate() -> list[Result]:
    """A/A ramp at 10, 25 and 50 percent while the base rate goes from 5 to 20 percent."""
    generator = np.random.default_rng(102)
    steps = in_sequence(
        [
            looks(generator, (_REPETITIONS, 10), 1_000, share, (rate, rate))
            for share, rate in ((0.1, 0.05), (0.25, 0.1), (0.5, 0.2))
        ]
    )
    rows, results = [], []
    for position, (name, method) in enumerate(_methods(30_000, 0.25, 0.1).items()):
        found = ever(method(steps))
        rows.append([name, _percent(found)])
        bar = None if position < _NAIVE - 1 else _bar(_REPETITIONS)
        results.append(Result("experiments", f"A/A ramp {name}", found, "fraction", bar))
    _CONSOLE.print(table(("method", "ever significant"), rows, "A/A ramp with a moving base rate"))
    return results


def sticky() -> list[Result]:
    """A/A with 1,500 sticky entities of about 21 requests, each with a rate of its own."""
    entities = sticky_entities(np.random.default_rng(103), 300, 1_500, 0.5)
    mixture = asymptotic.mixture_variance(2e-4, 0.05)
    by_request = by_entity = 0
    for repetition in range(300):
        arm = entities.candidate[repetition]
        counts = [
            np.array([[int(part[repetition][rows].sum())]])
            for rows in (arm, ~arm)
            for part in (entities.requests, entities.errors)
        ]
        by_request += bool(naive_z([Looks(counts[0], counts[1], counts[2], counts[3], 0.5)])[0, 0])
        for until in range(150, 1_501, 150):
            ratios = [
                estimates.ratio(a, 50) for a in entity_statistics(entities, repetition, until)
            ]
            found = asymptotic.sequence([estimates.difference(*ratios)], mixture, 0.05)
            if found.lower is not None and not found.lower <= 0 <= (found.upper or 0):
                by_entity += 1
                break
    rows = [
        ["z-test per request, one look", _percent(by_request / 300)],
        ["ratio per entity (delta method), 10 looks", _percent(by_entity / 300)],
    ]
    _CONSOLE.print(table(("analysis", "significant"), rows, "A/A with sticky entities"))
    return [
        Result("experiments", "A/A sticky, z-test per request", by_request / 300, "fraction"),
        Result("experiments", "A/A sticky, ratio per entity", by_entity / 300, "fraction",
               _bar(300)),
    ]  # fmt: skip


def power() -> list[Result]:
    """Rates of 10 and 12 percent: units planned for 80 percent power, and used on average."""
    generator = np.random.default_rng(104)
    rows, results = [], []
    for share in (0.5, 0.1):
        fixed = planning.units_for_rate(0.1, 0.12, share, method="fixed_horizon")
        steps = [looks(generator, (_REPETITIONS, 1), fixed, share, (0.12, 0.1))]
        rows.append(
            _power_row(share, "two-proportion z-test, one look", fixed, naive_z(steps), fixed)
        )
        fractions = [0.2, 0.4, 0.6, 0.8, 1.0]
        size = round(fixed * 1.027)  # inflation factor of these five looks
        steps = [looks(generator, (_REPETITIONS, 5), size // 5, share, (0.12, 0.1))]
        limits = group_sequential.boundaries(fractions)
        found = np.concatenate(
            [naive_z(_until(steps, k), limit)[:, -1:] for k, limit in enumerate(limits, start=1)],
            axis=1,
        )
        rows.append(
            _power_row(share, "group-sequential, 5 O'Brien-Fleming looks", size, found, fixed)
        )
        for method in ("asymptotic", "betting"):
            units = planning.units_for_rate(0.1, 0.12, share, method=method)
            mixture, bets = planned_mixture(units, share, 0.1), planned_bets(units, share, 0.1)
            for effect in (0.02, 0.04):
                rates = (0.1 + effect, 0.1)
                steps = [looks(generator, (_REPETITIONS, 50), units // 50, share, rates)]
                found = (
                    asymptotic_rejects(steps, mixture)
                    if method == "asymptotic"
                    else betting_rejects(steps, 0.1, bets=bets)
                )
                rows.append(
                    _power_row(share, f"{method} sequence, effect {effect:g}", units, found, fixed)
                )
                if effect == 0.02:
                    name = f"misses of the {method} sequence at its planned size, share {share:g}"
                    results.append(Result("experiments", name, 1 - ever(found), "fraction", 0.2))
                    ratio = average_look(found) * units / 50 / fixed
                    results.append(
                        Result("experiments", f"average units of the {method} sequence / "
                               f"fixed horizon, share {share:g}", ratio, "ratio", 1.25)
                    )  # fmt: skip
    columns = ("share", "method", "planned units", "power", "average units", "/ fixed horizon")
    _CONSOLE.print(table(columns, rows, "10 against 12 percent"))
    return results


def _until(steps: list[Looks], look: int) -> list[Looks]:
    return [
        Looks(s.n1[:, :look], s.s1[:, :look], s.n0[:, :look], s.s0[:, :look], s.share)
        for s in steps
    ]


def _power_row(share: float, name: str, units: int, found: Rejections, fixed: int) -> list[object]:
    average = average_look(found) * units / found.shape[1]
    return [share, name, units, _percent(ever(found)), round(average), f"{average / fixed:.2f}"]


def guardrail_budget() -> list[Result]:
    """Three harmless guardrails over five steps, and the requests that harm needs."""
    generator = np.random.default_rng(105)
    carried = np.zeros(_REPETITIONS, dtype=bool)
    renewed = np.zeros(_REPETITIONS, dtype=bool)
    for rate in (0.02, 0.05, 0.1):
        parts = [
            looks(generator, (_REPETITIONS, 6), 500, share, (rate, rate))
            for share in (0.05, 0.1, 0.25, 0.5, 0.5)
        ]
        log_e = betting_log_e(in_sequence(parts), rate, bets=planned_bets(15_000, 0.25, rate))
        carried |= (log_e >= math.log(3 / 0.05)).any(axis=1)
        for part in parts:
            renewed |= naive_z([part], 1.644854).any(axis=1)
    rows = [
        ["one budget, e-processes carried over steps", _percent(float(carried.mean()))],
        ["z-test, alpha renewed at each look and step", _percent(float(renewed.mean()))],
    ]
    _CONSOLE.print(table(("rule", "stopped"), rows, "Harmless ramp, three guardrails"))
    requests = []
    for known, harmful in ((0.02, 0.1), (0.01, 0.02), (0.01, 0.015)):
        both = [planning.units_for_rate(known, harmful, share, alpha=0.02) for share in (0.1, 0.5)]
        margin = planning.units_to_prove_margin(known, harmful - known, 0.1, alpha=0.05)
        requests.append([f"{100 * known:g} -> {100 * harmful:g} %",
                         planning.requests_to_prove_harm(known, harmful),
                         round(both[0] * 0.1), round(both[1] * 0.5),
                         round(margin * 0.1)])  # fmt: skip
    columns = (
        "errors", "known rate, best bet", "concurrent, share .1", "concurrent, share .5",
        "no harm of that margin at .05, share .1",
    )  # fmt: skip
    _CONSOLE.print(table(columns, requests, "Requests of the candidate that prove harm at .01"))
    return [
        Result("experiments", "harmless ramps stopped, shared budget", float(carried.mean()),
               "fraction", _bar(_REPETITIONS)),
        Result("experiments", "harmless ramps stopped, alpha renewed", float(renewed.mean()),
               "fraction"),
    ]  # fmt: skip


def sample_ratios() -> list[Result]:
    """200 first exposures an hour for 14 days, tested every hour."""
    generator = np.random.default_rng(106)
    rows, results = [], []
    for share in (0.5, 0.51, 0.55):
        counts = generator.multinomial(200, [share, 1 - share], (300, 336)).cumsum(axis=1)
        chi = np.zeros((300, 336), dtype=bool)
        sequential = np.zeros((300, 336), dtype=bool)
        for repetition, hours in enumerate(counts):
            for hour, (a, b) in enumerate(hours.tolist()):
                step = Exposures({"a": 0.5, "b": 0.5}, {"a": a, "b": b})
                log_e = sample_ratio.sample_ratio([step]).log_e
                sequential[repetition, hour] = log_e >= math.log(100)
            total = hours.sum(axis=1)
            z = np.abs(hours[:, 0] - hours[:, 1]) / np.sqrt(total)
            chi[repetition] = z >= 2.575829
        rows += [
            [f"{share:g}", name, _percent(ever(found)), round(average_look(found))]
            for name, found in (("chi-square p < .01, peeked", chi),
                                ("Dirichlet-multinomial e > 100", sequential))
        ]  # fmt: skip
        if share == 0.5:
            results += [
                Result("experiments", "false mismatch, chi-square peeked hourly", ever(chi),
                       "fraction"),
                Result("experiments", "false mismatch, sequential test", ever(sequential),
                       "fraction", _bar(300, 0.01)),
            ]  # fmt: skip
        else:
            name = f"hours until {share:g} instead of .5 is found"
            results.append(Result("experiments", name, average_look(sequential), "h"))
    columns = ("actual share", "test", "ever", "average hour")
    _CONSOLE.print(table(columns, rows, "Sample ratio .5 at alpha .01, hourly for 14 days"))
    return results


def bandits() -> list[Result]:
    """Two arms 4 points apart, base rate rising from 6 to 14 percent, 12 batches of 600."""
    generator = np.random.default_rng(107)
    regrets, naive, weighted, missed, rejected = [], [], [], 0, 0
    base = np.linspace(0.06, 0.14, 12)
    mixture = asymptotic.mixture_variance(2.5e-4, 0.05)
    for _ in range(200):
        run = run_bandit(generator, [[rate, rate + 0.04] for rate in base], 600)
        found = propensity.weighted_difference(
            bandit.weighted_steps(run.batches, "b", "a"), propensity.Model(0.1)
        )
        if found is None:
            raise RuntimeError("a bandit without units")
        regrets.append(run.regret)
        weighted.append(found.value)
        missed += asymptotic.log_e(found.value, found.variance, 0.04, mixture) >= math.log(20)
        arms = {
            arm: ArmStatistics(
                n=sum(b.statistics[arm].n for b in run.batches),
                y=sum(b.statistics[arm].y for b in run.batches),
                y2=sum(b.statistics[arm].y2 for b in run.batches),
            )
            for arm in "ab"
        }
        pooled = fixed_horizon.welch_t(arms["b"], arms["a"])
        naive.append(pooled.estimate)
        rejected += not (pooled.lower or 0) <= 0.04 <= (pooled.upper or 0)
    equal = 12 * 600 * 0.04 / 2
    rows = [
        ["regret (successes lost), equal shares", f"{equal:.0f}"],
        ["regret (successes lost), Thompson sampling", f"{np.mean(regrets):.0f}"],
        ["difference .04 as pooled means have it", f"{np.mean(naive):.4f}"],
        ["Welch's interval misses .04 (refused by the judge)", _percent(rejected / 200)],
        ["difference .04 as weights have it", f"{np.mean(weighted):.4f}"],
        ["weighted sequence misses .04", _percent(missed / 200)],
    ]
    _CONSOLE.print(table(("bandit", "figure"), rows, "Thompson sampling, floor .05"))
    return [
        Result("experiments", "bandit regret / that of equal shares",
               float(np.mean(regrets)) / equal, "ratio", 0.6),
        Result("experiments", "bandit, bias of the weighted difference",
               abs(float(np.mean(weighted)) - 0.04), "fraction", 0.005),
        Result("experiments", "bandit, bias of pooled means", abs(float(np.mean(naive)) - 0.04),
               "fraction"),
        Result("experiments", "bandit, weighted sequence misses", missed / 200, "fraction",
               _bar(200)),
    ]  # fmt: skip


def judging() -> list[Result]:
    """Time of one verdict: four steps, a goal, two guardrails."""

    def arm(successes: int, n: int) -> ArmStatistics:
        return ArmStatistics(n=n, y=successes, y2=successes)

    def metric(name: str, rate: float) -> Metric:
        return Metric(name=name, kind="binary", centre=rate, higher_is_better=name == "goal")

    plan = ExperimentPlan(
        strategy="ab_test", candidate="new", stable="old",
        goals=(Goal(metric=metric("goal", 0.1)),),
        guardrails=tuple(
            Guardrail(metric=metric(name, 0.02), margin=0.01, weight=0.5,
                      must_prove="non_inferiority")
            for name in ("errors", "slow")
        ),
    )  # fmt: skip
    steps = tuple(
        StepRecord(
            step_id=str(share), propensities={"new": share / 100, "old": 1 - share / 100},
            exposures={"new": 100 * share, "old": 10_000 - 100 * share},
            statistics={
                name: {"new": arm(100 * share // rate, 100 * share),
                       "old": arm((10_000 - 100 * share) // rate, 10_000 - 100 * share)}
                for name, rate in (("goal", 10), ("errors", 50), ("slow", 50))
            },
        )
        for share in (5, 10, 25, 50)
    )  # fmt: skip
    record = ExperimentRecord(steps=steps)
    judge(plan, record)
    started = time.perf_counter()
    for _ in range(20):
        judge(plan, record)
    each = (time.perf_counter() - started) / 20 * 1000
    _CONSOLE.print(f"One verdict of three metrics over four steps: {each:.1f} ms")
    return [Result("experiments", "one verdict, three metrics over four steps", each, "ms", 250)]


def main() -> None:
    """Print the tables and the results."""
    results: list[Result] = []
    for part in (
        false_alarms, moving_base_rate, sticky, power, guardrail_budget, sample_ratios, bandits,
        judging,
    ):  # fmt: skip
        results += part()
        _CONSOLE.print()
    finish(results)


if __name__ == "__main__":
    main()
