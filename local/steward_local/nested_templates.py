"""SAM in nested templates: the transform that MiniStack applies to root templates only."""

from collections.abc import Callable
from typing import Any

Template = dict[str, Any]


class ExpandedTemplate(Template):
    """A template after its transforms; remembers what it declared for the capability check."""

    declared: Any = None


def expand_when_parsed(original: Callable[[str], Template]) -> Callable[[str], Template]:
    """Apply the template's transforms where it is parsed.

    `AWS::CloudFormation::Stack` looks the parser up at call time, so it gets this one; the
    operations on root templates took the original when they were imported, and apply the
    transforms themselves with the parameters at hand.
    """
    from ministack.services.cloudformation import engine

    def parse_template(template_body: str) -> Template:
        template = original(template_body)
        declared = template.get("Transform")
        if declared is None:
            return template
        expanded = engine._apply_transforms(template)
        if isinstance(expanded, engine._TransformFailed):
            raise ValueError(f"Transform of the nested template failed: {expanded.error}")
        result = ExpandedTemplate(expanded)
        result.declared = declared
        return result

    return parse_template


def check_capabilities_as_sent(
    original: Callable[[str, Template], None],
) -> Callable[[str, Template], None]:
    """Ask the parent for CAPABILITY_AUTO_EXPAND although the expanded template has no macro."""

    def check(parent_stack_name: str, template: Template) -> None:
        if isinstance(template, ExpandedTemplate):
            template = {**template, "Transform": template.declared}
        original(parent_stack_name, template)

    return check


def keep_attributes(original: Callable[..., tuple[str, Template]]) -> Callable[..., Any]:
    """Let an unchanged resource of a nested stack keep its attributes through an update.

    The update of a nested stack does not hand them over, so a resource that changed could no
    longer refer to one that did not.
    """
    from ministack.services import cloudformation

    def update_resource(
        resource_type: str,
        physical_id: str,
        old_props: Template,
        new_props: Template,
        stack_name: str,
        logical_id: str | None = None,
        old_attrs: Template | None = None,
    ) -> tuple[str, Template]:
        if old_attrs is None:
            stack = cloudformation._stacks.get(stack_name) or {}
            record = stack.get("_resources", {}).get(logical_id or physical_id) or {}
            old_attrs = record.get("Attributes") or {}
        new_id, attrs = original(
            resource_type, physical_id, old_props, new_props, stack_name, logical_id, old_attrs
        )
        return new_id, {**old_attrs, **attrs} if new_id == physical_id else attrs

    return update_resource
