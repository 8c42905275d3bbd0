"""The embedded CodePipeline: V2 pipelines whose actions do real work with their roles' rights.

Sources of S3, builds of CodeBuild (the buildspec's commands as a process), invocations of Lambda
with continuation tokens, and manual approvals. Requests are held to botocore's service model.
"""

from __future__ import annotations

import json
import sys
from types import ModuleType

from steward_local.judged_resources import Asked, judge


def install() -> None:
    """Register CodePipeline with MiniStack; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack import app
    from ministack.core import iam_actions, router

    from steward_local import lifecycle
    from steward_local.codepipeline import service
    from steward_local.registrations import Ground

    Ground("services.codebuild:_projects", (), "build with a project's buildspec").locate()
    Ground("services.codebuild:_start_build", ("data",), "record a build").locate()
    if "codepipeline" in app.SERVICE_REGISTRY:
        return
    module = ModuleType("ministack.services.codepipeline")
    module.handle_request = service.handle_request  # type: ignore[attr-defined]
    module.reset = service.reset  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    app.SERVICE_REGISTRY["codepipeline"] = {"module": "codepipeline"}
    app.SERVICE_HANDLERS["codepipeline"] = service.handle_request
    router.SERVICE_PATTERNS["codepipeline"] = {
        "target_prefixes": ["CodePipeline_20150709."],
        "host_patterns": [],
        "credential_scope": "codepipeline",
    }
    iam_actions.SERVICE_TO_IAM_NAMESPACE["codepipeline"] = "codepipeline"
    judge("codepipeline", _judged_on)
    lifecycle.on_stop(service.reset)


def _judged_on(asked: Asked, _known: str) -> str:
    """Return the ARN that IAM judges a request on; jobs have no resource level."""
    from steward_local.codepipeline import store

    try:
        params = json.loads(asked.body or b"{}")
    except ValueError:
        return "*"
    if not isinstance(params, dict):
        return "*"
    name = params.get("name") or params.get("pipelineName")
    name = name or (params.get("pipeline") or {}).get("name")
    if not isinstance(name, str):
        return "*"
    arn = store.current().arn(name)
    if asked.operation == "PutApprovalResult":
        return f"{arn}/{params.get('stageName')}/{params.get('actionName')}"
    return arn
