"""The embedded SageMaker: its API on MiniStack, real jobs and real inference processes."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from urllib.parse import unquote

from steward_local.judged_resources import Asked, judge


def install() -> None:
    """Register SageMaker with MiniStack; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack import app
    from ministack.core import iam_actions, router

    from steward_local import lifecycle
    from steward_local.sagemaker import service
    from steward_local.sagemaker.feature_store import groups
    from steward_local.sagemaker.ground import GROUND

    for ground in GROUND:
        ground.locate()
    if "sagemaker" in app.SERVICE_REGISTRY:
        return
    module = ModuleType("ministack.services.sagemaker")
    module.handle_request = service.handle_request  # type: ignore[attr-defined]
    module.reset = service.reset  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    app.SERVICE_REGISTRY["sagemaker"] = {"module": "sagemaker"}
    app.SERVICE_HANDLERS["sagemaker"] = service.handle_request
    router.SERVICE_PATTERNS["sagemaker"] = {
        "target_prefixes": ["SageMaker."],
        "host_patterns": [],
        "credential_scope": "sagemaker",
    }
    iam_actions.SERVICE_TO_IAM_NAMESPACE["sagemaker"] = "sagemaker"
    iam_actions._BOTOCORE_SERVICE_MAP["sagemaker"] = [
        "sagemaker-runtime",
        "sagemaker-featurestore-runtime",
    ]
    judge("sagemaker", _judged_on)
    lifecycle.on_stop(service.reset)
    lifecycle.every(0.2, groups.write_offline, "offline-store")


def _judged_on(asked: Asked, _known: str) -> str:
    """Return the ARN that a SageMaker request is about."""
    from steward_local.sagemaker import service, store
    from steward_local.sagemaker.feature_store import runtime

    if asked.path.startswith("/endpoints/"):
        return store.current().arn("endpoint", unquote(asked.path.split("/")[2]))
    on_records = runtime.call_of(asked.method, asked.path)
    if on_records is not None:
        return runtime.resource_of(on_records, asked.body)
    try:
        params = json.loads(asked.body or b"{}")
    except ValueError:
        return "*"
    return service.resource_of(asked.operation, params) if isinstance(params, dict) else "*"
