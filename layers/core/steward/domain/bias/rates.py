"""Rates of a group, and which metrics of SageMaker Clarify compare one of them in two facets.

The one place where these are defined: the evaluation job, the report by group and monitoring all
read it. Cells are ``tp``, ``fp``, ``fn`` and ``tn``, with the favourable outcome as positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Cell = Literal["tp", "fp", "fn", "tn"]
Rate = Literal[
    "base_rate", "selection_rate", "accuracy", "true_positive_rate", "true_negative_rate",
    "false_positive_rate", "false_negative_rate", "precision", "negative_predictive_value",
]  # fmt: skip

_ALL: tuple[Cell, ...] = ("tp", "fp", "fn", "tn")

RATES: Mapping[Rate, tuple[tuple[Cell, ...], tuple[Cell, ...]]] = {
    "base_rate": (("tp", "fn"), _ALL),
    "selection_rate": (("tp", "fp"), _ALL),
    "accuracy": (("tp", "tn"), _ALL),
    "true_positive_rate": (("tp",), ("tp", "fn")),
    "true_negative_rate": (("tn",), ("tn", "fp")),
    "false_positive_rate": (("fp",), ("tn", "fp")),
    "false_negative_rate": (("fn",), ("tp", "fn")),
    "precision": (("tp",), ("tp", "fp")),
    "negative_predictive_value": (("tn",), ("tn", "fn")),
}
"""By name the cells that count and the cells that they are a share of."""


@dataclass(frozen=True)
class Comparison:
    """A metric that compares one rate of the facets a and d.

    Attributes:
        rate: Which.
        kind: ``difference``: first less second. ``ratio``: first over second.
        first: The facet that is named first.
    """

    rate: Rate
    kind: Literal["difference", "ratio"] = "difference"
    first: Literal["a", "d"] = "a"


COMPARISONS: Mapping[str, Comparison] = {
    "DPL": Comparison("base_rate"),
    "DPPL": Comparison("selection_rate"),
    "DI": Comparison("selection_rate", "ratio", "d"),
    "SD": Comparison("true_negative_rate", first="d"),
    "RD": Comparison("true_positive_rate"),
    "DAR": Comparison("precision"),
    "DRR": Comparison("negative_predictive_value", first="d"),
    "AD": Comparison("accuracy"),
}
"""By Clarify's names; every other metric needs more than one rate of each facet."""
