"""Tags by which AWS's cost reports tell stacks, environments and projects apart."""

from __future__ import annotations

from dataclasses import dataclass

from steward.domain.names import hosted_of


@dataclass(frozen=True)
class CostTags:
    """What every resource of a stack bears.

    Attributes:
        stack: Name of the root stack.
        environment: Such as ``prod``.
    """

    stack: str
    environment: str

    def of(self, name: str) -> list[dict[str, str]]:
        """Return the tags of a model, endpoint or configuration, as SageMaker takes them.

        Its project is in its name; a name of another form gets none.
        """
        tags = {"steward:stack": self.stack, "steward:environment": self.environment}
        if hosted := hosted_of(self.environment, name):
            tags["steward:project"] = hosted[0]
        return [{"Key": key, "Value": value} for key, value in tags.items()]
