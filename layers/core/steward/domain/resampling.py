"""The bootstrap over entities: draws in chunks, so memory stays flat however many rows there are.

B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979).
Rows of one entity are drawn together (A. C. Davison and D. V. Hinkley, "Bootstrap Methods and
their Application", 1997, section 3.8), since the entity is what the split randomised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

CHUNK_CELLS = 1 << 17
"""Draws held at once; 1 MB an array of eight-byte cells, which fits a cache."""


def codes_of(entities: Sequence[str]) -> Codes:
    """Return for each row the number of its entity, 0-based in order of first appearance."""
    seen: dict[str, int] = {}
    return np.fromiter(
        (seen.setdefault(entity, len(seen)) for entity in entities), np.intp, len(entities)
    )


def bootstrap_means(values: Floats, codes: Codes, *, samples: int, seed: int) -> Floats:
    """Return ``samples`` bootstrap replicates of the mean over rows.

    A replicate draws as many entities as there are, with replacement, and divides the sum of
    their values by the number of their rows.

    Args:
        values: One value per row.
        codes: The number of each row's entity, as :func:`codes_of` returns.
        samples: Number of replicates.
        seed: Seed of the PCG-64 generator; same seed and data, same replicates, whatever the
            chunk size.
    """
    sums = np.bincount(codes, weights=values)
    sizes = np.bincount(codes)
    entities = sums.size
    one_row_each = bool((sizes == 1).all())
    means = np.empty(samples)
    for start, stop, drawn in _draws(entities, samples=samples, seed=seed):
        totals = sums.take(drawn).sum(axis=1)
        rows = entities if one_row_each else sizes.take(drawn).sum(axis=1)
        means[start:stop] = totals / rows
    return means


def bootstrap_weights(codes: Codes, *, samples: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Yield chunks of replicates as row weights: how often each row was drawn.

    Where every entity has one row the draws are of rows, whatever the codes: that is the same
    bootstrap and spares a gather.

    Yields:
        The replicates that the chunk holds, and a matrix (replicates, rows).
    """
    entities = int(codes.max()) + 1
    one_row_each = entities == codes.size
    cells = max(entities, codes.size)
    for start, stop, drawn in _draws(entities, samples=samples, seed=seed, cells=cells):
        replicates = stop - start
        offsets = np.arange(replicates)[:, None] * entities
        counts = np.bincount((drawn + offsets).ravel(), minlength=replicates * entities)
        weights: NDArray[np.intp] = counts.reshape(replicates, entities)
        if not one_row_each:
            weights = weights.take(codes, axis=1)
        yield slice(start, stop), weights.astype(np.float64)


def _draws(
    entities: int, *, samples: int, seed: int, cells: int | None = None
) -> Iterator[tuple[int, int, Codes]]:
    generator = np.random.default_rng(seed)
    step = max(1, CHUNK_CELLS // (cells or entities))
    for start in range(0, samples, step):
        stop = min(start + step, samples)
        yield start, stop, generator.integers(0, entities, (stop - start, entities))
