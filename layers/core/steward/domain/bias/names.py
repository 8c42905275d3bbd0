"""The metrics of SageMaker Clarify by its names: what each says, where it lies, where it is fair.

Formulae in symbols stand in :mod:`steward.domain.bias.two_facets`, which computes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log
from typing import Literal

Mode = Literal["exact", "clarify_compatible"]


@dataclass(frozen=True)
class Described:
    """A metric for people.

    Attributes:
        title: Its whole name in AWS's guide.
        meaning: One sentence.
        low: Smallest possible value.
        high: Largest possible value.
        fair: Value without any difference between the facets.
    """

    title: str
    meaning: str
    low: float
    high: float
    fair: float = 0.0


DESCRIBED: Mapping[str, Described] = {
    "CI": Described("class imbalance",
        "Rows of a less rows of d, over all rows; above 0: d is the smaller facet.", -1, 1),
    "DPL": Described("difference in proportions of labels",
        "Share of favourable labels in a less that in d; above 0: fewer in d.", -1, 1),
    "KL": Described("Kullback-Leibler divergence",
        "How far the labels of a are from those of d, in nats; 0: alike.", -inf, inf),
    "JS": Described("Jensen-Shannon divergence",
        "How far the labels of both facets are from their mean, in nats; 0: alike.", 0, log(2)),
    "LP": Described("Lp-norm",
        "Euclidean distance of the shares of each label value; 0: alike.", 0, 2**0.5),
    "TVD": Described("total variation distance",
        "Half the sum of the differences in the share of each label value; 0: alike.", 0, 1),
    "KS": Described("Kolmogorov-Smirnov",
        "Largest difference in the share of any label value; 0: alike.", 0, 1),
    "CDDL": Described("conditional demographic disparity in labels",
        "Share of d among unfavourable labels less that among favourable ones, averaged over"
        " strata; above 0: d is disadvantaged within strata.", -1, 1),
    "DPPL": Described("difference in positive proportions in predicted labels",
        "Share predicted favourable in a less that in d; above 0: fewer in d.", -1, 1),
    "DI": Described("disparate impact",
        "Share predicted favourable in d over that in a; below 1: fewer in d.", 0, inf, 1),
    "DCAcc": Described("difference in conditional acceptance",
        "Favourable labels per favourable prediction, a less d; above 0: a is predicted"
        " favourable less often than its labels, compared with d.", -inf, inf),
    "DCR": Described("difference in conditional rejection",
        "Unfavourable labels per unfavourable prediction, d less a.", -inf, inf),
    "SD": Described("specificity difference",
        "True negative rate of d less that of a.", -1, 1),
    "RD": Described("recall difference",
        "True positive rate of a less that of d; above 0: d's favourable cases are missed more"
        " often. Equal opportunity.", -1, 1),
    "DAR": Described("difference in acceptance rates",
        "Precision of a less that of d.", -1, 1),
    "DRR": Described("difference in rejection rates",
        "Share of unfavourable predictions that are right, d less a.", -1, 1),
    "AD": Described("accuracy difference",
        "Accuracy of a less that of d; above 0: d is predicted worse.", -1, 1),
    "CDDPL": Described("conditional demographic disparity in predicted labels",
        "CDDL of the predictions.", -1, 1),
    "TE": Described("treatment equality",
        "False positives per false negative; exact: a less d, clarify_compatible: false negatives"
        " per false positive, d less a.", -inf, inf),
    "FT": Described("counterfactual flip test",
        "Rows of d whose five nearest rows of a are mostly answered otherwise: share that would"
        " be better off less share that would be worse off (clarify_compatible: the opposite"
        " sign). Over numeric and boolean features.", -1, 1),
    "GE": Described("generalised entropy",
        "Inequality of the benefits prediction - label + 1 over all rows, alpha 2; 0: all alike.",
        0, inf),
}  # fmt: skip

PRE_TRAINING = ("CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL")
POST_TRAINING = (
    "DPPL", "DI", "DCAcc", "DCR", "SD", "RD", "DAR", "DRR", "AD", "CDDPL", "TE", "FT", "GE",
)  # fmt: skip
METRICS = PRE_TRAINING + POST_TRAINING
