"""The dated price table, written again from the AWS Price List API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import steward.domain.prices
from steward_cli.console import CommandError, Exit

TABLE = Path(steward.domain.prices.__file__).parent / "price_table.json"
Product = Mapping[str, Any]


def refreshed(client: Any, region: str, path: Path = TABLE) -> tuple[Product, dict[str, Any]]:
    """Return the table of a file and what it becomes; nothing is written.

    A price is the highest of its tiers, so that a sum stays an upper limit. ``as_of`` is the
    newest publication date among the answers, not the day of asking.

    Args:
        client: ``pricing``, of us-east-1, eu-central-1 or ap-south-1.
        region: Whose prices.
        path: The file of the table.

    Raises:
        CommandError: A price is missing in the answers.
    """
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    training = list(_products(client, "AmazonSageMaker", region, productFamily="ML Instance"))
    states = list(_products(client, "AmazonStates", region))
    functions = list(_products(client, "AWSLambda", region))
    athena = list(_products(client, "AmazonAthena", region))
    found: dict[str, Any] = {
        "instance_hour": _instance_hours(training),
        "transition": _highest(states, _of_usage("StateTransition")),
        "gb_second": _highest(functions, _of_group("AWS-Lambda-Duration")),
        "request": _highest(functions, _of_group("AWS-Lambda-Requests")),
        "scanned_tb": _highest(athena, _of_usage("DataScannedInTB")),
    }
    if missing := [name for name, price in found.items() if not price]:
        raise CommandError(
            f"the Price List API has no {', '.join(missing)} for {region}; nothing was written",
            Exit.NOT_FOUND, "is the region right? `aws pricing get-products` shows what there is",
        )  # fmt: skip
    dates = [str(p["publicationDate"])[:10] for p in (*training, *states, *functions, *athena)]
    compute = {**before["compute"], "as_of": max(dates), **found}
    # The answers have all instances of the region: none is needed from elsewhere any more.
    kept = {name: part for name, part in before.items() if name != "further_instances"}
    return before, {**kept, "region": region, "compute": compute}


def written(table: Mapping[str, Any], path: Path = TABLE) -> bool:
    """Write the table; return whether that changed the file."""
    text = json.dumps(table, indent=2) + "\n"
    if path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def _products(client: Any, service: str, region: str, **fields: str) -> Iterator[dict[str, Any]]:
    filters = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value}
        for name, value in {"regionCode": region, **fields}.items()
    ]
    pages = client.get_paginator("get_products").paginate(
        ServiceCode=service, Filters=filters, FormatVersion="aws_v1"
    )
    for page in pages:
        yield from map(json.loads, page["PriceList"])


def _instance_hours(products: list[dict[str, Any]]) -> dict[str, float]:
    """Return the hourly price of each instance in training, sorted by name."""
    prices: dict[str, float] = {}
    for product in products:
        attributes = product["product"]["attributes"]
        kind = attributes.get("component") or attributes.get("platoinstancetype")
        name = attributes.get("instanceName", "")
        price = _price(product)
        if kind == "Training" and name.startswith("ml.") and price:
            prices[name] = max(price, prices.get(name, 0.0))
    return dict(sorted(prices.items()))


def _of_usage(ending: str) -> Callable[[Product], bool]:
    return lambda attributes: str(attributes.get("usagetype", "")).endswith(ending)


def _of_group(group: str) -> Callable[[Product], bool]:
    return lambda attributes: attributes.get("group") == group


def _highest(products: list[dict[str, Any]], wanted: Callable[[Product], bool]) -> float:
    found = [_price(p) for p in products if wanted(p["product"]["attributes"])]
    return max(found, default=0.0)


def _price(product: Product) -> float:
    """Return the highest on-demand price among a product's tiers, 0 where it has none."""
    dimensions = [
        dimension
        for term in product["terms"].get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
    ]
    return max((float(d["pricePerUnit"].get("USD", 0)) for d in dimensions), default=0.0)
