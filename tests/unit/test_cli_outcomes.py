"""``steward outcomes send``: bad rows are named by line before anything is sent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steward.domain.outcome_files import kind_of, rows_of
from steward_cli.commands import outcomes
from steward_cli.function_urls import Reply

AT = "2026-01-05T08:00:00Z"


def test_good_rows_are_sent_in_batches_and_bad_ones_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"i-{number},1,{AT}" for number in range(5)]
    rows[1:1] = ["i-x,nan," + AT, "i-y,1,2026-01-05T08:00:00", "short"]
    file = tmp_path / "a.csv"
    file.write_text("inference_id,outcome,observed_at\n" + "\n".join(rows) + "\n")
    sent: list[tuple[str, list[Any]]] = []

    def call(_target: object, url: str, method: str, body: list[Any]) -> Reply:
        assert method == "POST"
        sent.append((url, body))
        duplicates = [1] if len(sent) == 1 else []
        recorded = len(body) - len(duplicates)
        answer = {"recorded": recorded, "duplicates": duplicates, "refused": [], "uri": "s3://b/k"}
        return Reply(200, answer)

    monkeypatch.setattr(outcomes, "call", call)
    monkeypatch.setattr(outcomes, "BATCH", 2)
    target = SimpleNamespace(output=lambda _name: "https://outcomes/")
    kind, packed = kind_of(file.name)
    answer = outcomes.send_rows(target, "diabetes", rows_of(file, kind, packed=packed))  # type: ignore[arg-type]
    assert [len(body) for _, body in sent] == [2, 2, 1]
    assert {url for url, _ in sent} == {"https://outcomes/diabetes"}
    assert (answer["recorded"], answer["duplicates"]) == (4, [5])
    assert [(r["row"], r["line"], r["field"]) for r in answer["refused"]] == [
        (2, 3, "outcome"), (3, 4, "observed_at"), (4, 5, "$"),
    ]  # fmt: skip
    assert all(refused["allowed"] for refused in answer["refused"])
