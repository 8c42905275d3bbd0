"""What to do about a quota of the account that stopped a job or an endpoint."""

from __future__ import annotations

import re

_LIMIT = re.compile(
    r"service limit '(?P<name>[^']+)' is (?P<value>[\d.]+)[^,]*"
    r"(?:, with current utilization of (?P<used>[\d.]+))?"
)


def quota_advice(error: str, cause: str) -> str | None:
    """Return a sentence for who got the failure, None where no quota was its reason.

    Args:
        error: As Step Functions names it, such as ``SageMaker.ResourceLimitExceededException``.
        cause: SageMaker's own words.
    """
    if "ResourceLimitExceeded" not in error and "ResourceLimitExceeded" not in cause:
        return None
    again = "`steward doctor` shows quotas and how to ask for more"
    found = _LIMIT.search(cause)
    if found is None:
        return f"a quota of the account is used up; {again}"
    used = f", of which {found['used']} are used" if found["used"] else ""
    kind = found["name"].partition(" ")[0]
    other = f", or choose another instance than {kind}" if kind.startswith("ml.") else ""
    return f"the account's quota for {found['name']} is {found['value']}{used}; {again}{other}"
