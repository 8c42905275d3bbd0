"""cfn-lint with its rules and the schemas that they read loaded once in a process."""

from __future__ import annotations

from functools import cache

from cfnlint import api
from cfnlint.config import ConfigMixIn, ManualArgs
from cfnlint.rules import Rules
from cfnlint.runner import Runner

_REGIONS = ["us-east-1"]


@cache
def _rules() -> Rules:
    return Runner(ConfigMixIn(regions=_REGIONS)).rules


def findings(text: str) -> list[str]:
    """Return what cfn-lint finds in a template, as its command would for several files."""
    found = api.lint(text, rules=_rules(), config=ManualArgs(regions=_REGIONS))
    return [f"{match.rule.id} {match.message} at {match.path_string}" for match in found]
