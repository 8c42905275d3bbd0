"""Upper tails of the normal and of chi-square for whole arrays, to 1e-9 relative.

``distributions`` has them for single numbers without numpy; named after scipy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# log(erfc(z) exp(z^2) / t) as a Chebyshev series in 2t - 1, t = 2 / (2 + z), for z >= 0.
_ERFC = (
    -0.651326859890855, 0.6419697923564899, 0.019476473204185763, -0.009561514786808606,
    -0.00094659534448206, 0.0003668394978527303, 4.252332480697737e-05, -2.0278578112471568e-05,
    -1.6242900048590098e-06, 1.3036558354893973e-06, 1.56264415989913e-08, -8.523809589691237e-08,
    6.529054226336511e-09, 5.059343538974566e-09, -9.913642286111658e-10, -2.2736521221652348e-10,
    9.646796265382045e-11, 2.3939691433361906e-12, -6.8861156911579474e-12, 8.941255901593264e-13,
    3.1318167699214585e-13, -1.1277226281613186e-13,
)  # fmt: skip
_FAR = 5_000.0
_FEW = 16
"""Numbers up to which one after the other is faster than all at once."""


def erfc_positive(z: ArrayLike) -> Floats:
    """Return the complementary error function where z >= 0."""
    z = np.asarray(z, dtype=np.float64)
    if z.size <= _FEW:
        return np.array([math.erfc(value) for value in z.flat]).reshape(z.shape)
    t = 2 / (2 + z)
    twice = 4 * t - 2
    # Clenshaw's recurrence.
    one, two = np.zeros_like(t), np.zeros_like(t)
    for coefficient in _ERFC[:0:-1]:
        one, two = twice * one - two + coefficient, one
    with np.errstate(under="ignore"):
        return np.asarray(t * np.exp(-z * z + 0.5 * twice * one - two + _ERFC[0]))


def two_sided_p(z: ArrayLike) -> Floats:
    """Return P(|Z| >= |z|) of the standard normal."""
    far = np.abs(np.asarray(z, dtype=np.float64)) / math.sqrt(2)
    return np.minimum(erfc_positive(far), 1.0)


def chi2_sf(x: ArrayLike, df: ArrayLike) -> Floats:
    """Return P(X > x) of chi-square with 0 to 400 whole degrees of freedom; with none it is 1.

    Finite sums: exp(-h) times the sum of h^i / i!, and for odd degrees erfc(sqrt h) plus exp(-h)
    times the sum of h^(i - 1/2) / Gamma(i + 1/2), with h = x / 2.
    """
    x, df = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(df, dtype=np.int64))
    if df.size and (df.min() < 0 or df.max() > 400):
        raise ValueError("chi2_sf needs 0 to 400 degrees of freedom")
    half = np.clip(x / 2, 0.0, _FAR)
    odd = df % 2 == 1
    root = np.sqrt(half)
    term = np.where(odd, root * (2 / math.sqrt(math.pi)), 1.0)
    total = np.zeros_like(half)
    for step in range(int(df.max()) // 2 if df.size else 0):
        total += np.where(step < df // 2, term, 0.0)
        term = term * half / (step + np.where(odd, 1.5, 1.0))
    with np.errstate(divide="ignore", under="ignore"):
        tail = np.exp(np.log(total) - half)
    tail = tail + np.where(odd, erfc_positive(root), 0.0)
    found: NDArray[Any] = np.where((df == 0) | (x <= 0), 1.0, np.minimum(tail, 1.0))
    return found
