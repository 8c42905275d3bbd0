"""The online store's contract, kept by its adapter on the embedded AWS."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from contracts import test_online_features_contract as suite
from contracts.test_online_features_contract import OnlineSubject
from steward.adapters.clients import Clients
from steward.adapters.online_features import SageMakerOnlineFeatures
from steward.ports import RecordKey
from support.embedded import Account
from support.laboratory import Laboratory
from support.suites import cases_of

globals().update(cases_of(suite))


@pytest.fixture(scope="module")
def groups(account: Account) -> tuple[str, str]:
    lab = Laboratory(account)
    return lab.feature_group(OfflineStoreConfig=None), lab.feature_group(OfflineStoreConfig=None)


@pytest.fixture
def adapter(account: Account, monkeypatch: pytest.MonkeyPatch) -> SageMakerOnlineFeatures:
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.engine.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.root.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.root.secret_key)
    return SageMakerOnlineFeatures(Clients(account.engine.region))


@pytest.fixture
def online(
    account: Account, groups: tuple[str, str], adapter: SageMakerOnlineFeatures
) -> OnlineSubject:
    runtime = account.client("sagemaker-featurestore-runtime")

    def put(key: RecordKey, record: Mapping[str, str]) -> None:
        runtime.put_record(
            FeatureGroupName=key.group,
            Record=[
                {"FeatureName": name, "ValueAsString": value} for name, value in record.items()
            ],
        )

    return OnlineSubject(adapter, groups, put)


def test_a_deleted_record_is_left_out(
    account: Account, online: OnlineSubject, adapter: SageMakerOnlineFeatures
) -> None:
    key = RecordKey(online.groups[0], "deleted")
    online.record(key, age="4")
    account.client("sagemaker-featurestore-runtime").delete_record(
        FeatureGroupName=key.group,
        RecordIdentifierValueAsString=key.entity,
        EventTime="2026-01-03T00:00:00.000Z",
    )
    assert adapter.read([key]) == {}
