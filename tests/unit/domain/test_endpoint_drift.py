"""What differs between a wanted endpoint and one that SageMaker describes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.endpoint_drift import (
    MOVING,
    REPAIRABLE,
    STUCK_AFTER,
    Drift,
    DriftKind,
    FoundEndpoint,
    Moving,
    Variant,
    compare,
    differences,
    found_endpoint,
    wanted_endpoint,
)

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ENDPOINT, CONFIG = "dev-diabetes-v2-prod", "dev-diabetes-v2-prod-1"
IMAGE = "jobs@sha256:1"
MODEL = {"ModelName": CONFIG, "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://a/m"}}
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}


def config(name: str = CONFIG, **serverless: Any) -> dict[str, Any]:
    variant = {
        "VariantName": "AllTraffic", "ModelName": CONFIG,
        "ServerlessConfig": {**SERVERLESS, **serverless},
    }  # fmt: skip
    return {"EndpointConfigName": name, "ProductionVariants": [variant]}


def described(status: str = "InService", name: str = CONFIG, **changes: Any) -> dict[str, Any]:
    variant = {
        "VariantName": "AllTraffic", "CurrentWeight": 1.0, "CurrentServerlessConfig": SERVERLESS,
        "DeployedImages": [{"SpecifiedImage": IMAGE, "ResolvedImage": "x"}],
    }  # fmt: skip
    return {
        "EndpointName": ENDPOINT, "EndpointConfigName": name, "EndpointStatus": status,
        "ProductionVariants": [variant], "LastModifiedTime": NOW - timedelta(minutes=3), **changes,
    }  # fmt: skip


WANTED = wanted_endpoint(ENDPOINT, config(), [MODEL])


def drift_of(found: FoundEndpoint | None, now: datetime = NOW) -> Drift:
    result = compare(WANTED, found, now)
    assert isinstance(result, Drift), result
    return result


def test_an_endpoint_as_it_was_made_has_no_drift() -> None:
    assert compare(WANTED, found_endpoint(described(), config()), NOW) is None


def test_an_endpoint_of_which_nothing_is_recorded_only_has_to_serve() -> None:
    unknown = wanted_endpoint(ENDPOINT, None)
    anything = found_endpoint(described(name="whatever"), None)
    assert compare(unknown, anything, NOW) is None
    assert isinstance(compare(unknown, None, NOW), Drift)


@pytest.mark.parametrize(
    ("found", "kind", "says"),
    [
        (None, DriftKind.MISSING, "no such endpoint"),
        (found_endpoint(described("Deleting"), config()), DriftKind.MISSING, "Deleting"),
        (found_endpoint(described("Failed", FailureReason="no capacity"), config()),
         DriftKind.FAILED, "no capacity"),
        (found_endpoint(described("OutOfService"), config()), DriftKind.OUT_OF_SERVICE, "OutOf"),
        (found_endpoint(described("UpdateRollbackFailed"), config()), DriftKind.OUT_OF_SERVICE,
         "UpdateRollbackFailed"),
        (found_endpoint(described("SomethingNew"), config()), DriftKind.OUT_OF_SERVICE, "New"),
        (found_endpoint(described(name="hotfix-7"), config("hotfix-7")), DriftKind.OTHER_CONFIG,
         "hotfix-7"),
        (found_endpoint(described(), None), DriftKind.CONFIG_GONE, "deleted"),
        (found_endpoint(described(), config(MemorySizeInMB=1024)), DriftKind.CONFIG_REMADE,
         "MemorySizeInMB 1024, not 2048"),
        (found_endpoint(described(), config(ProvisionedConcurrency=2)), DriftKind.CONFIG_REMADE,
         "ProvisionedConcurrency 2, not None"),
    ],
)  # fmt: skip
def test_each_way_to_drift_is_told_by_its_kind(
    found: FoundEndpoint | None, kind: DriftKind, says: str
) -> None:
    drift = drift_of(found)
    assert drift.kind is kind
    assert says in drift.found
    assert CONFIG in drift.wanted
    assert drift.repairable is (kind in REPAIRABLE)


def test_live_settings_and_images_are_compared_with_what_was_declared() -> None:
    told = described()
    told["ProductionVariants"][0] |= {
        "CurrentServerlessConfig": {**SERVERLESS, "MaxConcurrency": 1},
        "DeployedImages": [{"SpecifiedImage": "jobs@sha256:2"}],
    }
    drift = drift_of(found_endpoint(told, config()))
    assert drift.kind is DriftKind.SETTINGS
    assert "MaxConcurrency 1, not 5" in drift.found
    assert "image jobs@sha256:2, not jobs@sha256:1" in drift.found


@pytest.mark.parametrize("status", sorted(MOVING))
def test_an_endpoint_that_moves_is_left_alone_until_it_is_stuck(status: str) -> None:
    found = found_endpoint(described(status, name="hotfix-7"), None)
    changed = found.changed_at
    assert changed is not None
    assert compare(WANTED, found, NOW) == Moving(status)
    stuck = drift_of(found, changed + STUCK_AFTER)
    assert (stuck.kind, stuck.repairable, stuck.since) == (DriftKind.STUCK, False, changed)


def test_a_drift_says_since_when_where_sagemaker_does() -> None:
    found = found_endpoint(described(name="hotfix-7"), None)
    assert drift_of(found).since == NOW - timedelta(minutes=3)
    assert drift_of(None).since is None


def test_the_same_drift_has_the_same_digest_whenever_it_is_looked_at() -> None:
    early = found_endpoint(described(name="hotfix-7"), None)
    late = found_endpoint(described(name="hotfix-7", LastModifiedTime=NOW), None)
    other = found_endpoint(described(name="hotfix-8"), None)
    later = NOW + timedelta(hours=2)
    assert drift_of(early).digest == drift_of(late, later).digest
    assert drift_of(early).digest != drift_of(other).digest
    deleting = found_endpoint(described("Deleting"), config())
    assert drift_of(deleting).digest == drift_of(None).digest


def test_a_variant_too_many_and_one_too_few_are_told() -> None:
    two = [Variant("A", weight=1.0), Variant("B", weight=3.0)]
    assert differences(two, two) == []
    assert differences(two, two[:1]) == ["variant B is not there"]
    assert differences(two[:1], two) == ["variant B is not wanted"]
    shadow = [two[0], Variant("B", weight=3.0, shadow=True)]
    assert differences(two, shadow)[0] == "variant B: it answers copies alone"


def test_weights_count_by_their_share() -> None:
    wanted = [Variant("A", weight=90.0), Variant("B", weight=10.0)]
    assert differences(wanted, [Variant("A", weight=0.9), Variant("B", weight=0.1)]) == []
    moved = differences(wanted, [Variant("A", weight=0.5), Variant("B", weight=0.5)])
    assert moved == [
        "variant A: 50 % of requests, not 90 %", "variant B: 50 % of requests, not 10 %",
    ]  # fmt: skip
    silent = differences(wanted, [Variant("A", weight=0.0), Variant("B", weight=0.0)])
    assert silent == ["no variant has a weight"]
    unwatched = [Variant("A"), Variant("B")]
    assert differences(unwatched, [Variant("A", weight=0.5), Variant("B", weight=0.5)]) == []


_settings = st.none() | st.dictionaries(
    st.sampled_from(["MemorySizeInMB", "MaxConcurrency"]), st.integers(1, 9), min_size=1
)
_variants = st.lists(
    st.builds(
        Variant, st.sampled_from("ABC"), st.none() | st.sampled_from("mn"),
        st.none() | st.floats(0.01, 100), _settings, st.none() | st.sampled_from("ij"),
    ),
    unique_by=lambda variant: variant.name, max_size=3,
)  # fmt: skip


@given(_variants)
def test_nothing_differs_from_itself(variants: list[Variant]) -> None:
    assert differences(variants, variants) == []


@given(_variants, _variants)
def test_whether_two_differ_does_not_depend_on_the_side(
    left: list[Variant], right: list[Variant]
) -> None:
    weighted = [v for v in (*left, *right) if v.weight is not None]
    if len(weighted) in (0, len(left) + len(right)):
        assert bool(differences(left, right)) == bool(differences(right, left))


@given(_variants, st.floats(0.01, 1000))
def test_weights_may_be_scaled(variants: list[Variant], by: float) -> None:
    scaled = [
        Variant(v.name, v.model, v.weight and v.weight * by, v.settings, v.image, shadow=v.shadow)
        for v in variants
    ]
    assert differences(variants, scaled) == []
