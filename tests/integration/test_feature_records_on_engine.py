"""The contract of feature records, kept by SageMaker's adapter on the embedded AWS."""

from __future__ import annotations

import pytest

from contracts import test_feature_records_contract as suite
from steward.adapters.clients import Clients
from steward.adapters.feature_store import SageMakerFeatureRecords
from support.embedded import Account
from support.laboratory import Laboratory
from support.suites import cases_of

pytestmark = pytest.mark.integration
globals().update(cases_of(suite))


@pytest.fixture(scope="module")
def group(account: Account) -> str:
    """The suite's feature group, online only."""
    lab = Laboratory(account)
    lab.sagemaker.create_feature_group(
        FeatureGroupName=suite.GROUP, RecordIdentifierFeatureName="entity",
        EventTimeFeatureName="written_at", OnlineStoreConfig={"EnableOnlineStore": True},
        FeatureDefinitions=[
            {"FeatureName": name, "FeatureType": "String"}
            for name in ("entity", "written_at", "value")
        ],
    )  # fmt: skip
    lab.feature_group_settled(suite.GROUP)
    return suite.GROUP


@pytest.fixture
def records(
    group: str, account: Account, monkeypatch: pytest.MonkeyPatch
) -> SageMakerFeatureRecords:
    clients = Clients("us-east-1")
    monkeypatch.setattr(clients, "get", lambda service, **_: account.client(service))
    return SageMakerFeatureRecords(clients, sleep=lambda _: None)
