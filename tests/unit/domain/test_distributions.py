"""Own distribution functions against scipy, to 1e-9 relative."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from scipy import special, stats

from steward.domain import distributions as own

SHAPES = [(0.5, 0.5), (1, 1), (2, 30), (0.01, 5), (37.5, 12.25), (1e3, 2e3), (0.5, 1e5), (4e4, 5e4)]
POINTS = [1e-6, 0.001, 0.05, 0.3, 0.5, 0.7, 0.97, 0.9999]


def close(found: float, expected: float) -> bool:
    """Whether two numbers agree to 1e-9; what is below 1e-290 counts as zero."""
    return math.isclose(found, float(expected), rel_tol=1e-9, abs_tol=1e-290)


@pytest.mark.parametrize("z", [-37.0, -8.3, -1.96, -0.1, 0.0, 0.5, 3.04, 9.0, 36.0])
def test_the_normal_agrees_with_scipy(z: float) -> None:
    assert close(own.norm_cdf(z), stats.norm.cdf(z))
    assert close(own.norm_sf(z), stats.norm.sf(z))
    assert close(own.norm_pdf(z), stats.norm.pdf(z))
    assert close(own.norm_logcdf(z), stats.norm.logcdf(z))


@pytest.mark.parametrize("z", [-29.9, -30.1, -50.0, -1e3])
def test_the_logarithm_of_the_normal_is_finite_far_out(z: float) -> None:
    assert close(own.norm_logcdf(z), stats.norm.logcdf(z))


@pytest.mark.parametrize("p", [1e-200, 1e-12, 1e-3, 0.025, 0.4, 0.6, 0.975, 1 - 1e-10])
def test_the_normal_quantiles_agree_with_scipy(p: float) -> None:
    assert close(own.norm_ppf(p), stats.norm.ppf(p))
    assert close(own.norm_isf(p), stats.norm.isf(p))


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_the_beta_agrees_with_scipy(a: float, b: float) -> None:
    assert close(own.betaln(a, b), special.betaln(a, b))
    for x in [*POINTS, a / (a + b)]:
        assert close(own.beta_cdf(x, a, b), stats.beta.cdf(x, a, b))
        assert close(own.beta_sf(x, a, b), stats.beta.sf(x, a, b))
    for p in (1e-4, 0.025, 0.5, 0.975):
        assert close(own.beta_ppf(p, a, b), stats.beta.ppf(p, a, b))


@pytest.mark.parametrize("df", [1, 2.5, 10, 300, 1e5])
def test_students_t_agrees_with_scipy(df: float) -> None:
    for t in (-40.0, -2.0, -0.01, 0.0, 0.3, 1.96, 12.0):
        assert close(own.t_sf(t, df), stats.t.sf(t, df))
        assert close(own.t_cdf(t, df), stats.t.cdf(t, df))
    for p in (1e-6, 0.025, 0.2, 0.9):
        assert close(own.t_isf(p, df), stats.t.isf(p, df))


@pytest.mark.parametrize("df", [1, 2, 7, 40, 999])
def test_chi_square_agrees_with_scipy(df: float) -> None:
    for x in (0.0, 1e-3, 1.0, 3.84, df - 0.5, df + 20, 5.0 * df + 30):
        assert close(own.chi2_sf(x, df), stats.chi2.sf(x, df))


@pytest.mark.parametrize(("k", "n", "p"), [(-1, 5, 0.3), (0, 5, 0.3), (5, 5, 0.3), (7, 90, 0.02)])
def test_the_binomial_tail_agrees_with_scipy(k: int, n: int, p: float) -> None:
    assert close(own.binom_sf(k, n, p), stats.binom.sf(k, n, p))


@pytest.mark.parametrize(
    "call",
    [
        lambda: own.norm_ppf(0),
        lambda: own.beta_ppf(1, 2, 2),
        lambda: own.t_isf(math.nan, 3),
        lambda: own.betainc(0, 1, 0.5),
        lambda: own.betainc(1, 1, 1.5),
        lambda: own.gammaincc(-1, 1),
    ],
)
def test_impossible_arguments_are_named(call: Callable[[], float]) -> None:
    with pytest.raises(ValueError, match=r"(must lie|needs)"):
        call()


@pytest.mark.parametrize("x", [-1.0, 0.0, 0.01, 0.2, 0.6, 1.0, 1.17, 1.19, 1.5, 3.0, 9.0, 18.0])
def test_kolmogorovs_limit_agrees_with_scipy(x: float) -> None:
    assert close(own.kstwobign_sf(x), special.kolmogorov(max(x, 0.0)))
