"""What a million requests cost, part by part, against sums made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steward.domain.prices import (
    TRAFFIC_US_EAST_1,
    RequestUse,
    million_requests_dollars,
)

PLAIN = RequestUse(seconds=0.02, memory_mb=1024, log_bytes=2048, capture_bytes=900)


def test_a_million_plain_requests() -> None:
    dollars = million_requests_dollars(PLAIN)
    assert dollars["function"] == pytest.approx(0.02 * 1e6 * 0.0000166667 + 0.20)
    assert dollars["logs"] == pytest.approx(1e6 * 2048 / 2**30 * 0.50)
    assert dollars["stream"] == pytest.approx(1e6 * 5120 / 2**30 * 0.03225)  # in steps of 5 KB
    assert dollars["tables"] == pytest.approx(0.125)
    assert dollars["mirror"] == 0
    parts = sum(amount for name, amount in dollars.items() if name != "total")
    assert dollars["total"] == pytest.approx(parts)


def test_a_mirrored_request_pays_queue_function_and_a_line_of_its_own() -> None:
    use = replace(
        PLAIN, mirrored=0.5, shadow_seconds=0.03, shadow_memory_mb=512, copies_per_batch=5
    )
    plain, dollars = million_requests_dollars(PLAIN), million_requests_dollars(use)
    queue = 1e6 * (1 + 2 / 5) * 0.40e-6
    function = 1e6 * (0.5 * 0.03 * 0.0000166667 + 0.20e-6 / 5)
    line = plain["logs"] + plain["stream"] + plain["storage"]
    assert dollars["mirror"] == pytest.approx(0.5 * (queue + function + line))
    assert {n: a for n, a in dollars.items() if n not in ("mirror", "total")} == {
        n: a for n, a in plain.items() if n not in ("mirror", "total")
    }


def test_an_assignment_that_is_kept_is_a_read_and_a_transaction() -> None:
    more = million_requests_dollars(replace(PLAIN, kept=0.1))["tables"]
    assert more - 0.125 == pytest.approx(0.1 * (0.125 + 2 * 0.625))


def test_a_long_exposure_takes_another_step() -> None:
    long = million_requests_dollars(replace(PLAIN, capture_bytes=5121))["stream"]
    assert long == pytest.approx(2 * million_requests_dollars(PLAIN)["stream"])


def test_the_prices_say_where_and_when() -> None:
    assert TRAFFIC_US_EAST_1.label() == f"us-east-1 list prices of {TRAFFIC_US_EAST_1.as_of}"
    assert all(
        url.startswith("https://aws.amazon.com/") for url in TRAFFIC_US_EAST_1.sources.values()
    )
