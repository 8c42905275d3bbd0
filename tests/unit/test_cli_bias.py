"""A version's bias on the terminal and as a page."""

from __future__ import annotations

import io
import re
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from steward.domain.bias.assessment import BiasRows, Origin, Predicted, assess
from steward.domain.bias.declaration import Bias
from steward.domain.bias.evidence import BiasEvidence
from steward.domain.bias.names import DESCRIBED, METRICS
from steward_cli.bias_page import page
from steward_cli.bias_text import draw

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def evidence(unfair: float, name: str = "f", **parts: Any) -> BiasEvidence:
    rng = np.random.default_rng(4)
    sexes = [str(one) for one in rng.choice([name, "m"], 1200)]
    labels = rng.random(1200) < 0.5
    turned = (np.array(sexes) == name) & (rng.random(1200) < unfair)
    given = (labels ^ (rng.random(1200) < 0.2)) & ~turned
    rows = BiasRows(labels, [str(int(one)) for one in labels], {"sex": sexes})
    bias = Bias.model_validate(
        {
            "attributes": [{"column": "sex", "facets": [{"values": [name]}]}],
            "metrics": [{"metric": "DI", "min": 0.8, "max": 1.25}],
            **parts,
        }
    )
    predicted = Predicted(given * 0.8 + 0.1, given, {"income": rng.normal(size=1200)})
    return assess(bias, rows, rows, predicted, Origin("loans", "r1", "0" * 64, "entity", [1]))


def terminal(found: BiasEvidence) -> str:
    out = io.StringIO()
    draw(3, found, Console(file=out, width=140, color_system=None))
    return out.getvalue()


def test_the_terminal_says_the_verdict_each_metric_and_its_interval() -> None:
    told = terminal(evidence(0.5))
    assert told.startswith("loans 3 bias:  hold")
    di = next(line for line in told.splitlines() if line.startswith("DI "))
    assert re.search(r"DI +0\.\d{3} +0\.\d{3} to 0\.\d{3} +\d+ +fail", di)
    assert "is outside 0.8 to 1.25" in told
    assert "sex f" in told


def test_what_is_undefined_says_why() -> None:
    found = evidence(0.0, attributes=[{"column": "sex", "facets": [{"values": ["x"]}]}])
    assert "no held-out row is in facet d of sex = x" in terminal(found)
    assert "no held-out row is in facet d of sex = x" in page(3, found, NOW)


def test_the_page_needs_nothing_from_elsewhere_and_defines_each_metric() -> None:
    made = page(3, evidence(0.5), NOW)
    assert not re.search(r"<script|src=|href=|@import|url\(", made)
    shown = [name for name in METRICS if name not in ("CDDL", "CDDPL")]
    for name in shown:
        assert f'<abbr title="{DESCRIBED[name].title}: ' in made, name
    assert made.count("<svg") >= 2 * (2 + 3)
    assert "(tp + fp) / (tp + fp + fn + tn)" in made


def test_a_value_of_the_data_is_text_and_nothing_else() -> None:
    made = page(3, evidence(0.0, "<script>alert(1)</script>"), NOW)
    assert "<script" not in made
    assert "&lt;script&gt;alert(1)" in made


def test_the_command_loads_no_numpy_before_it_is_asked() -> None:
    import subprocess

    code = "import sys, steward_cli.commands.bias; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_definitions_are_of_all_metrics() -> None:
    assert set(DESCRIBED) == set(METRICS)
    assert len(METRICS) == 21


@pytest.mark.parametrize("unfair", [0.0, 0.5])
def test_the_document_reads_back_as_it_was(unfair: float) -> None:
    found = evidence(unfair)
    assert BiasEvidence.model_validate_json(found.model_dump_json()) == found
