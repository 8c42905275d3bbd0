"""The forecasting template as a person plays it, on sales whose generator is known."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from steward_cli.function_urls import call
from support.forecast_scene import Sales, made_sales
from support.laboratory_stack import Laboratory, eventually
from support.rendered import plain_templates

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAME = "shops"
DAYS, LATER = 300, 14


def _put(lab: Laboratory, folder: Path, name: str, rows: list[dict[str, Any]], *more: str) -> str:
    path = folder / f"{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lab.steward("data", "put", str(path), "--project", NAME, *more)
    return name


def _materialised(lab: Laboratory, count: int) -> None:
    def read() -> bool:
        found = lab.state.features(NAME, "materialisation#")
        return len(found) == count and {item["status"] for item in found} == {"done"}

    eventually(read, f"{count} materialisations")


def _deliver(lab: Laboratory, folder: Path, sales: Sales, first: int, last: int, n: int) -> None:
    _put(lab, folder, f"sales-{n}", sales.sales(first, last), "--table", "sales")
    _materialised(lab, n)
    _put(lab, folder, f"examples-{n}", sales.examples(first, last))


def _values(evaluation: dict[str, Any]) -> dict[str, float]:
    return {metric["metric"]: metric["value"] for metric in evaluation["metrics"]}


def _oracle(sales: Sales, first: int, last: int) -> float:
    """Mean absolute error of whoever knows the generator and all that was before a day."""
    cells = [(shop, day) for day in sales.days[first:last] for shop in sales.shops]
    return sum(abs(sales.sold[cell] - sales.expected[cell]) for cell in cells) / len(cells)


def test_a_forecast_is_trained_released_asked_and_judged_by_later_days(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("steward_cli.commands.project_new.repository_root", plain_templates)
    sales = made_sales(datetime.now(UTC).date(), shops=12, days=DAYS + LATER + 1, seed=7)
    lab.steward("project", "new", NAME, "--template", "forecasting")
    lab.steward("project", "check", NAME)
    lab.steward("project", "add", NAME)
    _deliver(lab, tmp_path, sales, 0, DAYS, 1)
    item = lab.version(NAME, 1, "pending")
    evaluation = json.loads(lab.read(item["evaluation_uri"]))
    simple = {one["name"]: _values(one)["mae"] for one in evaluation["simple_forecasts"]}
    mae = _values(evaluation)["mae"]
    assert _oracle(sales, DAYS - 28, DAYS) < mae < 0.85 * simple["seasonal_naive"]
    assert simple["seasonal_naive"] < 0.6 * simple["constant"]

    lab.steward("approve", NAME, "1", "--comment", "reads the figures, agrees", person="ana")
    lab.version(NAME, 1, "production")
    _deliver(lab, tmp_path, sales, DAYS, DAYS + LATER, 2)
    second = lab.version(NAME, 2, "pending")
    comparison = json.loads(lab.read(second["comparison_uri"]))
    assert (comparison["status"], comparison["champion_seen_rows"]) == ("compared", 0)
    assert (comparison["days"], comparison["block_days"], comparison["rows"]) == (28, 4, 28 * 12)
    borders = [
        json.loads(lab.read(version["manifest_uri"]))["split"]["border"][:10]
        for version in (item, second)
    ]
    assert borders == [str(sales.days[DAYS - 29]), str(sales.days[DAYS + LATER - 29])]

    url = f"{lab.target.output('GatewayUrl').rstrip('/')}/{NAME}"
    today = sales.days[-1]
    asked = {"weekday": today.weekday(), "holiday": False}

    def answer(shop: str) -> Any:
        reply = call(lab.ward, url, body={"entity_id": shop, "features": asked})
        return reply.body if reply.status == 200 else None

    # What was sold of late is read where the gateway answers: both callers send the same.
    by_level = sorted(sales.shops, key=lambda shop: sales.expected[shop, today])
    small, large = (
        eventually(partial(answer, shop), "an answer") for shop in (by_level[0], by_level[-1])
    )
    assert {small["version"], large["version"]} == {1}
    ratio = sales.expected[by_level[-1], today] / sales.expected[by_level[0], today]
    assert large["prediction"]["value"] > ratio / 2 * small["prediction"]["value"] > 0

    # No series need lie in a first share: the template moves all of them at once.
    lab.steward("approve", NAME, "2", "--comment", "as good, and newer", person="ana")
    lab.version(NAME, 2, "production")
