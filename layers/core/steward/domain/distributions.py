"""Distribution functions that the tests need, named after scipy's and accurate to 1e-9 relative.

Only the standard library: control functions may import this. ``cdf`` is P(X <= x), ``sf`` is
P(X > x) without cancellation, ``ppf`` inverts ``cdf`` and ``isf`` inverts ``sf``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

_STANDARD = NormalDist()
_SMALLEST = 1e-300
_STEPS = 100_000


def norm_cdf(z: float) -> float:
    """Return P(Z <= z) of the standard normal: erfc(-z / sqrt 2) / 2."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def norm_sf(z: float) -> float:
    """Return P(Z > z) of the standard normal."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def norm_pdf(z: float) -> float:
    """Return the density of the standard normal."""
    return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def norm_logcdf(z: float) -> float:
    """Return log P(Z <= z), finite where ``norm_cdf`` underflows.

    Below -30 the asymptotic series of Mills' ratio (Abramowitz & Stegun 26.2.12) holds to 1e-12.
    """
    if z > 0:
        return math.log1p(-norm_sf(z))
    if z > -30:
        return math.log(norm_cdf(z))
    square = z * z
    series = 1 - 1 / square + 3 / square**2 - 15 / square**3 + 105 / square**4
    return -0.5 * square - math.log(-z) - 0.5 * math.log(2 * math.pi) + math.log(series)


def norm_ppf(p: float) -> float:
    """Return the z with P(Z <= z) = p (Wichura 1988, AS 241).

    Raises:
        ValueError: ``p`` is not between 0 and 1.
    """
    _between(p, "p")
    return _STANDARD.inv_cdf(p)


def norm_isf(p: float) -> float:
    """Return the z with P(Z > z) = p."""
    return -norm_ppf(p)


def betaln(a: float, b: float) -> float:
    """Return log B(a, b), a and b > 0.

    Large arguments make the three lgammas cancel; there Stirling's series is used, with its
    leading terms already subtracted from each other.
    """
    small, large = (a, b) if a <= b else (b, a)
    if large < 20:
        return math.lgamma(small) + math.lgamma(large) - math.lgamma(small + large)
    total = small + large
    if small < 20:
        leading = -(large - 0.5) * math.log1p(small / large) - small * math.log(total) + small
        return math.lgamma(small) + leading + _stirling(large) - _stirling(total)
    return (
        0.5 * math.log(2 * math.pi)
        - 0.5 * math.log(small)
        - small * math.log1p(large / small)
        - (large - 0.5) * math.log1p(small / large)
        + _stirling(small)
        + _stirling(large)
        - _stirling(total)
    )


def _stirling(x: float) -> float:
    """Return lgamma(x) minus its leading terms (x - 1/2) log x - x + log(2 pi) / 2, x >= 20."""
    inverse, square = 1 / x, 1 / (x * x)
    return inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    )


def betainc(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), a and b > 0.

    Continued fraction by Lentz's method (DLMF 8.17.22), from the side that converges.

    Raises:
        ValueError: ``a`` or ``b`` is not positive, or ``x`` is outside [0, 1].
    """
    return _betainc(a, b, x, 1 - x)


def _betainc(a: float, b: float, x: float, y: float) -> float:
    """Return I_x(a, b) where y = 1 - x is known without cancellation."""
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise ValueError(f"betainc needs a > 0, b > 0 and 0 <= x <= 1, not {a!r}, {b!r}, {x!r}")
    if x == 0 or y == 0:
        return float(y == 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_tail(b, a, y, x)
    return _beta_tail(a, b, x, y)


def _beta_tail(a: float, b: float, x: float, y: float) -> float:
    front = math.exp(a * math.log(x) + b * math.log(y) - betaln(a, b)) / a
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _STEPS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + numerator * d)
            c = _away_from_zero(1 + numerator / c)
            fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return front * fraction


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return P(X <= x) for X ~ Beta(a, b)."""
    return betainc(a, b, min(1.0, max(0.0, x)))


def beta_sf(x: float, a: float, b: float) -> float:
    """Return P(X > x) for X ~ Beta(a, b)."""
    x = min(1.0, max(0.0, x))
    return _betainc(b, a, 1 - x, x)


def beta_ppf(p: float, a: float, b: float) -> float:
    """Return the x with P(X <= x) = p for X ~ Beta(a, b), by bisection.

    Raises:
        ValueError: ``p`` is not between 0 and 1.
    """
    _between(p, "p")
    return bisect(lambda x: beta_cdf(x, a, b) - p, 0.0, 1.0)


def t_sf(t: float, df: float) -> float:
    """Return P(T > t) of Student's t: I_x(df/2, 1/2) / 2 with x = df / (df + t^2)."""
    square = t * t
    tail = 0.5 * _betainc(df / 2, 0.5, df / (df + square), square / (df + square))
    return tail if t >= 0 else 1 - tail


def t_cdf(t: float, df: float) -> float:
    """Return P(T <= t) of Student's t."""
    return t_sf(-t, df)


def t_isf(p: float, df: float) -> float:
    """Return the t with P(T > t) = p, by bisection.

    Raises:
        ValueError: ``p`` is not between 0 and 1.
    """
    _between(p, "p")
    if p > 0.5:
        return -t_isf(1 - p, df)
    high = 1.0
    while t_sf(high, df) > p:
        high *= 2
    return bisect(lambda t: p - t_sf(t, df), 0.0, high)


def chi2_sf(x: float, df: float) -> float:
    """Return P(X > x) of chi-square: the regularised upper incomplete gamma Q(df/2, x/2)."""
    return 1.0 if x <= 0 else gammaincc(df / 2, x / 2)


def gammaincc(a: float, x: float) -> float:
    """Return Q(a, x), a > 0: series below x = a + 1, Lentz's continued fraction above.

    Raises:
        ValueError: ``a`` is not positive or ``x`` is negative.
    """
    if not (a > 0 and x >= 0):
        raise ValueError(f"gammaincc needs a > 0 and x >= 0, not {a!r}, {x!r}")
    if x == 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for n in range(1, _STEPS):
            term *= x / (a + n)
            total += term
            if term < total * 1e-17:
                break
        return 1 - front * total
    b = x + 1 - a
    c, d = 1 / _SMALLEST, 1 / b
    fraction = d
    for n in range(1, _STEPS):
        numerator = -n * (n - a)
        b += 2
        d = 1 / _away_from_zero(numerator * d + b)
        c = _away_from_zero(b + numerator / c)
        fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return front * fraction


def kstwobign_sf(x: float) -> float:
    """Return P(sqrt(n) D > x) of Kolmogorov's limit distribution.

    Above 1.18 the alternating series 2 sum (-1)^(k-1) exp(-2 k^2 x^2); below it its theta
    transform, 1 - sqrt(2 pi) / x sum exp(-(2k - 1)^2 pi^2 / (8 x^2)), which converges there.
    """
    if x <= 0:
        return 1.0
    if x > 1.18:
        return 2 * math.fsum((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 8))
    parts = (math.exp(-(((2 * k - 1) * math.pi / x) ** 2) / 8) for k in range(1, 8))
    return 1 - math.sqrt(2 * math.pi) / x * math.fsum(parts)


def binom_sf(k: int, n: int, p: float) -> float:
    """Return P(X > k) for X ~ Binomial(n, p): I_p(k + 1, n - k)."""
    if k < 0:
        return 1.0
    return 0.0 if k >= n else betainc(k + 1, n - k, p)


def bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where an increasing function changes sign, to the last bit of a double.

    ``function(low) <= 0 <= function(high)`` is taken for granted; otherwise the nearer end is
    returned.
    """
    for _ in range(2_000):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _between(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")
