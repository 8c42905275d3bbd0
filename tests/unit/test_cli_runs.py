"""Runs as people read them: steps, what was reused and saved, two runs side by side."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from steward.domain.run_comparison import compare_runs, saved_dollars
from steward_cli.run_text import reused_text, show_comparison, show_run

FIRST: dict[str, Any] = {
    "project": "diabetes", "run_id": "aaaaaaaaaaaa-1", "status": "failed", "dataset_id": "9d2f",
    "deliveries": {"uri": "s3://a/1", "sha256": "11", "count": 2},
    "config_digest": "c0", "code_digest": "k0",
    "config": {"training": {"instance_type": "ml.m5.large", "hyperparameters": {"C": 0.1}}},
    "started_at": "2026-11-29T22:00:00.000+00:00", "ended_at": "2026-11-29T22:01:30.500+00:00",
    "step_training": {
        "key": "k", "status": "ran", "seconds": 72, "dollars": 0.0023, "job": "diabetes-a-train",
        "reason": "it was deleted since run x wrote it: s3://b/m",
    },
}  # fmt: skip
SECOND: dict[str, Any] = {
    **FIRST, "run_id": "bbbbbbbbbbbb-1", "status": "succeeded", "version": 3, "verdict": "pass",
    "deliveries": {"uri": "s3://a/2", "sha256": "22", "count": 2},
    "config": {"training": {"instance_type": "ml.m5.large", "hyperparameters": {"C": 0.2}}},
    "step_training": {
        "key": "k", "status": "reused", "reused_from": "aaaaaaaaaaaa-1", "saved_s": 72,
        "saved_dollars": 0.0023, "job": "diabetes-a-train",
    },
    "step_evaluation": {"key": "e", "status": "missed", "reason": "nothing was kept"},
}  # fmt: skip
EVALUATION = {
    "metrics": [{"metric": "brier", "value": 0.17, "lower": 0.15, "upper": 0.19}],
    "simple_forecasts": [{"name": "constant", "metrics": [{"metric": "brier", "value": 0.25}]}],
}


def printed(render: Any) -> str:
    stream = io.StringIO()
    render(Console(file=stream, width=160))
    return stream.getvalue()


def test_a_run_shows_each_step_with_what_happened_and_what_it_cost() -> None:
    text = printed(lambda console: show_run(FIRST, console, "https://console/x"))
    assert "carried out: it was deleted since run x wrote it" in text
    assert "72.0" in text
    assert "$0.0023" in text
    assert "90.5 s" in text
    assert "https://console/x" in text
    assert "hyperparameters" not in text


def test_a_reused_step_names_the_run_that_carried_it_out_and_what_was_saved() -> None:
    text = printed(lambda console: show_run(SECOND, console, None))
    assert "reused from run aaaaaaaaaaaa-1" in text
    assert "saved by reuse: $0.0023" in text
    assert "not found in the cache: nothing was kept" in text
    assert reused_text(SECOND) == "training ($0.0023 saved)"
    assert reused_text(FIRST) == ""
    assert saved_dollars(FIRST) == 0


def test_two_runs_differ_where_they_differ() -> None:
    found = compare_runs(
        FIRST, SECOND, (None, EVALUATION), (0.01, None), (["d1", "d2"], ["d1", "d3"])
    )
    assert found["inputs"]["code_digest"]["same"] is True
    assert found["inputs"]["deliveries"] == {
        "a": 2, "b": 2, "same": False, "only_a": ["d2"], "only_b": ["d3"],
    }  # fmt: skip
    assert found["parameters"]["hyperparameters.C"] == {"a": 0.1, "b": 0.2, "same": False}
    assert found["parameters"]["instance_type"]["same"] is True
    assert found["metrics"]["brier"]["a"] is None
    assert found["metrics"]["brier"]["b"] == {"value": 0.17, "lower": 0.15, "upper": 0.19}
    assert found["metrics"]["constant: brier"]["b"]["value"] == 0.25
    assert found["saved_dollars"] == {"a": 0, "b": 0.0023, "same": False}
    text = printed(lambda console: show_comparison(found, console))
    assert "0.1700 (0.1500 to 0.1900)" in text
    assert "reused from aaaaaaaaaaaa-1" in text
    assert "missing" in text
