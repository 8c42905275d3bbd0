"""The embedded CodeCommit: bare git repositories behind its API, and its events.

`git push` goes to the path that `cloneUrlHttp` names here. What a hook of the repository saw is
read every fraction of a second and told as CodeCommit tells it.
"""

from __future__ import annotations

import json
import shutil
import sys
from types import ModuleType

from steward_local.judged_resources import Asked, judge

_EVERY_S = 0.1


def install() -> None:
    """Register CodeCommit with MiniStack; call it before MiniStack serves.

    Without git on PATH there is no CodeCommit here.
    """
    from ministack import app
    from ministack.core import iam_actions, router

    from steward_local import lifecycle
    from steward_local.codecommit import pushes, service

    if "codecommit" in app.SERVICE_REGISTRY or shutil.which("git") is None:
        return
    module = ModuleType("ministack.services.codecommit")
    module.handle_request = service.handle_request  # type: ignore[attr-defined]
    module.reset = service.reset  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    app.SERVICE_REGISTRY["codecommit"] = {"module": "codecommit"}
    app.SERVICE_HANDLERS["codecommit"] = service.handle_request
    router.SERVICE_PATTERNS["codecommit"] = {
        "target_prefixes": ["CodeCommit_20150413."],
        "host_patterns": [],
        "credential_scope": "codecommit",
    }
    iam_actions.SERVICE_TO_IAM_NAMESPACE["codecommit"] = "codecommit"
    judge("codecommit", _judged_on)
    lifecycle.every(_EVERY_S, pushes.tell, "codecommit-pushes")


def _judged_on(asked: Asked, _known: str) -> str:
    """Return the ARN of the repository that a request is about."""
    try:
        params = json.loads(asked.body or b"{}")
    except ValueError:
        return "*"
    name = params.get("repositoryName") if isinstance(params, dict) else None
    if not isinstance(name, str) or not name:
        return "*"
    return f"arn:aws:codecommit:{asked.region}:{asked.account_id}:{name}"
