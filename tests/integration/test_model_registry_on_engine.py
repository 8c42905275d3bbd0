"""The model registry's contract, kept by its adapter on the embedded AWS."""

from __future__ import annotations

import contextlib

import pytest
from botocore.exceptions import ClientError

from contracts import test_registry_contract as suite
from contracts.test_registry_contract import GROUP
from steward.adapters.registry import SageMakerModelRegistry
from support.embedded import Account
from support.suites import cases_of

globals().update(cases_of(suite))
_OTHER = "steward-local-other"


@pytest.fixture
def registry(account: Account) -> SageMakerModelRegistry:
    """The registry with two empty groups."""
    sagemaker = account.client("sagemaker")
    for group in (GROUP, _OTHER):
        with contextlib.suppress(ClientError):
            found = sagemaker.list_model_packages(ModelPackageGroupName=group)
            for package in found["ModelPackageSummaryList"]:
                sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
            sagemaker.delete_model_package_group(ModelPackageGroupName=group)
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    return SageMakerModelRegistry(sagemaker)
