"""The demo's screen says which steps of a run were found done."""

from __future__ import annotations

import io

from rich.console import Console

from steward_cli.demo.facts import Facts
from steward_cli.demo.summary import print_summary


def screen(facts: Facts) -> str:
    written = io.StringIO()
    print_summary(facts, Console(file=written, width=500))
    return written.getvalue()


def test_a_reused_step_names_the_run_that_carried_it_out_and_what_that_saved() -> None:
    ran = {"status": "ran", "key": "k", "dollars": 0.002}
    reused = {"status": "reused", "reused_from": "aaa-1", "saved_dollars": 0.0015}
    first = {"run_id": "aaa-1", "started_at": "2026-01-01", "step_training": ran}
    second = {
        "run_id": "bbb-1", "started_at": "2026-01-02", "step_training": reused,
        "step_dataset": {"status": "reused", "reused_from": "aaa-1"},
    }  # fmt: skip

    shown = screen(Facts(runs=[second, first]))

    assert "run bbb-1 took dataset of aaa-1, training of aaa-1 ($0.0015 saved)" in shown
    assert "run aaa-1 took" not in shown


def test_where_nothing_was_reused_nothing_is_said() -> None:
    assert "Reused" not in screen(Facts())
