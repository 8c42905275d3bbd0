"""Several hypotheses at once: e-BH for goals, a shared family-wise budget for guardrails.

Both work on e-values at any common stopping time and under any dependence between metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def e_benjamini_hochberg(log_e: Mapping[str, float], alpha: float) -> list[str]:
    """Return the rejected hypotheses of e-BH, by name (Wang & Ramdas 2022, JRSS B 84).

    With m hypotheses, the k largest are rejected for the largest k whose k-th largest e-value is
    at least m / (k alpha): the false discovery rate is at most alpha.

    Raises:
        ValueError: A value is NaN.
    """
    ranked = sorted(log_e, key=lambda name: (-_number(name, log_e[name]), name))
    m, rejected = len(ranked), 0
    for k, name in enumerate(ranked, start=1):
        if log_e[name] >= math.log(m / (k * alpha)) - 1e-12:
            rejected = k
    return sorted(ranked[:rejected])


def family_wise(
    log_e: Mapping[str, float], weights: Mapping[str, float], budget: float
) -> list[str]:
    """Return the hypotheses whose e-value is at least 1 / (weight budget), by name.

    The chance that any true null is ever rejected, over all guardrails, steps and looks, is at
    most the budget (Ville's inequality and a union bound): e-processes are carried over steps,
    the budget is not renewed.

    Raises:
        ValueError: A weight is missing or not positive, weights sum to more than 1, or a value
            is NaN.
    """
    total = math.fsum(weights.values())
    if total > 1 + 1e-9:
        raise ValueError(f"weights must sum to at most 1, not {total!r}")
    found = []
    for name in sorted(log_e):
        weight = weights.get(name, 0.0)
        if not weight > 0:
            raise ValueError(f"weights[{name}] must be positive, not {weight!r}")
        if _number(name, log_e[name]) >= -math.log(weight * budget):
            found.append(name)
    return found


def _number(name: str, value: float) -> float:
    if math.isnan(value):
        raise ValueError(f"log_e[{name}] must be a number, not nan")
    return value
