"""Features as a linear model needs them: standardised, with squares, products and missingness."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRODUCTS_UP_TO = 20
"""Features up to which all pairs are multiplied; beyond, squares alone."""
_MOST_DEVIATIONS = 4.0
"""Standardised values are clipped here: one outlier is no evidence of a distribution."""


@dataclass(frozen=True)
class Expansion:
    """How rows become columns of a linear model, learnt from reference rows.

    Attributes:
        centre: Median of each feature.
        scale: Of each feature, from the middle half; 0 where it is constant.
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]

    def standardised(self, rows: Floats) -> Floats:
        """Return (x - centre) / scale, clipped to +-4, 0 where x is missing.

        Raises:
            ValueError: The rows have another number of features.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.centre):
            raise ValueError(f"rows must have {len(self.centre)} features, not {rows.shape}")
        scale = np.array(self.scale)
        # A constant that moved is clipped too: any difference from it is a whole step.
        shifted = (rows - np.array(self.centre)) / np.where(scale > 0, scale, 1e-12)
        found: Floats = np.clip(
            np.nan_to_num(shifted, nan=0.0, posinf=_MOST_DEVIATIONS, neginf=-_MOST_DEVIATIONS),
            -_MOST_DEVIATIONS,
            _MOST_DEVIATIONS,
        )
        return found

    def columns(self, rows: Floats) -> Floats:
        """Return standardised features, their squares, products of pairs, and what is missing."""
        z = self.standardised(rows)
        parts = [z, z**2]
        if z.shape[1] <= PRODUCTS_UP_TO:
            parts += [
                (z[:, i] * z[:, j])[:, None]
                for i, j in itertools.combinations(range(z.shape[1]), 2)
            ]
        parts.append(np.isnan(rows).astype(np.float64))
        return np.concatenate(parts, axis=1)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"centre": list(self.centre), "scale": list(self.scale)}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave."""
        return cls(tuple(kept["centre"]), tuple(kept["scale"]))


def expansion_of(rows: Floats) -> Expansion:
    """Learn an expansion; missing values are NaN, categories are numbers of their levels.

    Raises:
        ValueError: There are no rows or no features.
    """
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"rows and features are needed, not {rows.shape}")
    finite = np.where(np.isfinite(rows), rows, np.nan)
    empty = np.isnan(finite).all(axis=0)
    finite[:, empty] = 0.0
    low, centre, high = np.nanquantile(finite, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.349
    # Where the middle half is one value the deviation of all of them stands in.
    scale = np.where(scale > 0, scale, np.nanstd(finite, axis=0))
    return Expansion(tuple(centre.tolist()), tuple(scale.tolist()))
