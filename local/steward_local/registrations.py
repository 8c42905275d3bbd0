"""Every change that Steward makes to MiniStack, and every part of it that Steward reads.

An upgrade of MiniStack that moves one of these is named by `verify_ground`, by a test, and
at the start of the engine, before anything behaves differently in silence.
"""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from steward_local.errors import GroundMovedError

MINISTACK_VERSION = "1.5.33"


@dataclass(frozen=True)
class Ground:
    """A part of MiniStack that something here relies on.

    Attributes:
        target: `module:attribute`, or `module:table[key][key]` for an entry of a table.
        parameters: The names of its leading parameters, when it is called or replaced.
        why: What relies on it.
    """

    target: str
    parameters: tuple[str, ...]
    why: str

    def locate(self) -> tuple[Any, str, Any]:
        """Return the attribute's owner, its name there, and its value.

        Raises:
            GroundMovedError: It is not there, or takes other parameters.
        """
        module_name, _, path = self.target.partition(":")
        name, *keys = path.rstrip("]").replace("]", "").split("[")
        try:
            owner: Any = importlib.import_module(f"ministack.{module_name}")
            value = getattr(owner, name)
            for key in keys:
                owner, name, value = value, key, value[key]
        except (ImportError, AttributeError, KeyError) as problem:
            raise GroundMovedError(self._moved(f"is gone ({problem!r})")) from problem
        if self.parameters:
            found = tuple(inspect.signature(value).parameters)[: len(self.parameters)]
            if found != self.parameters:
                raise GroundMovedError(self._moved(f"takes {found}, not {self.parameters}"))
        return owner, name, value

    def _moved(self, how: str) -> str:
        return (
            f"ministack.{self.target} {how}. Steward relies on it to {self.why}; it was written "
            f"against MiniStack {MINISTACK_VERSION}, installed is {version('ministack')}."
        )


@dataclass(frozen=True)
class Patch:
    """A replacement: `module:function` of this package makes it from the original."""

    ground: Ground
    maker: str

    def apply(self) -> None:
        """Put the replacement into MiniStack."""
        owner, name, original = self.ground.locate()
        module_name, _, function = self.maker.partition(":")
        make: Callable[[Any], Any] = getattr(
            importlib.import_module(f"steward_local.{module_name}"), function
        )
        if isinstance(owner, dict):
            owner[name] = make(original)
        else:
            setattr(owner, name, make(original))


def _patch(target: str, parameters: tuple[str, ...], maker: str, why: str) -> Patch:
    return Patch(Ground(target, parameters, why), maker)


_FUNCTION_URL_REQUEST = ("host", "path", "method", "headers", "body", "query_params", "source_ip")

PATCHES: tuple[Patch, ...] = (
    _patch(
        "core.iam_evaluator:is_root_access_key",
        ("access_key_id",),
        "credentials:only_signed_roots",
        "take one random key for the root, and an account's number for another's",
    ),
    _patch(
        "services.sts:is_root_access_key",
        ("access_key_id",),
        "credentials:only_signed_roots",
        "take one random key for the root, and an account's number for another's",
    ),
    _patch(
        "services.sts:_evict_expired_sessions",
        (),
        "credentials:forget_expired_sessions",
        "let functions take credentials at the same time",
    ),
    _patch(
        "core.iam_evaluator:_is_root_key",
        ("access_key_id",),
        "credentials:no_key_is_exempt",
        "check the signature of the root's requests",
    ),
    _patch(
        "core.iam_evaluator:_resolve_condition_key",
        ("key", "ctx"),
        "credentials:resolve_as_aws_does",
        "compare a session's aws:PrincipalArn with its role",
    ),
    _patch(
        "services.s3:_copy_object",
        ("bucket_name", "dest_key", "headers"),
        "object_copies:across_accounts",
        "copy objects of another account",
    ),
    _patch(
        "services.s3:_upload_part_copy",
        ("bucket_name", "dest_key", "query_params", "headers"),
        "object_copies:parts_across_accounts",
        "copy parts of objects, of another account too, with their checksums",
    ),
    _patch(
        "services.s3:_apply_bucket_scope",
        ("method", "bucket", "key", "headers", "query_params", "body", "internal"),
        "object_keys:asked_across_accounts",
        "ask the key of what another account's bucket encrypts",
    ),
    _patch(
        "core.iam_evaluator:enforce",
        ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"),
        "credentials:serve_unsigned_links",
        "serve the links of SNS's mail",
    ),
    _patch(
        "app:pin_request_origin",
        ("source_ip", "secure_transport"),
        "function_urls:loopback_is_secure",
        "let TLS-only bucket policies pass on loopback",
    ),
    _patch(
        "services.cloudformation.engine:_parse_template",
        ("template_body",),
        "nested_templates:expand_when_parsed",
        "apply the SAM transform to nested templates",
    ),
    _patch(
        "services.cloudformation.provisioners:_check_nested_stack_capabilities",
        ("parent_stack_name", "template"),
        "nested_templates:check_capabilities_as_sent",
        "ask for CAPABILITY_AUTO_EXPAND for nested SAM templates",
    ),
    _patch(
        "services.cloudformation.provisioners:_update_resource",
        ("resource_type", "physical_id", "old_props", "new_props", "stack_name", "logical_id"),
        "nested_templates:keep_attributes",
        "update nested stacks",
    ),
    _patch(
        "services.cloudformation.provisioners:_RESOURCE_HANDLERS",
        (),
        "resource_types:with_missing_types",
        "create resources whose type MiniStack does not know",
    ),
    _patch(
        "core.lambda_runtime:_worker_class_for",
        ("config",),
        "lambdas.worker:worker_class_for",
        "run Python functions with nothing but their layers and the runtime's packages",
    ),
    _patch(
        "services.lambda_svc:_execute_function_warm",
        ("func", "event", "request_id"),
        "lambdas.worker:execute_warm",
        "answer a function's error in Lambda's shape",
    ),
    _patch(
        "services.lambda_svc:_create_function_url_config",
        ("func_name", "data", "qualifier"),
        "function_urls:local_url",
        "give function URLs an address that resolves locally",
    ),
    _patch(
        "services.lambda_svc:_function_url_id",
        ("function_url",),
        "function_urls:url_id_of",
        "give function URLs an address that resolves locally",
    ),
    _patch(
        "app:_handle_lambda_url_request",
        _FUNCTION_URL_REQUEST,
        "function_urls:serve",
        "ask for both permissions of a function URL",
    ),
    _patch(
        "services.lambda_svc:_build_function_url_event",
        ("url_id", "account_id", "region", "method", "path", "headers", "body", "query_params"),
        "function_urls:name_the_caller",
        "tell a function who signed the request to its URL",
    ),
    _patch(
        "services.lambda_svc:_emit_lambda_logs",
        ("func", "request_id", "log_text", "error", "duration_ms", "log_source"),
        "lambdas.logs:emit",
        "write one log stream per execution environment",
    ),
    _patch(
        "services.lambda_svc:invoke_async_with_retry",
        ("func", "event"),
        "lambdas.asynchronous:invoke",
        "send Lambda's own records to destinations and dead-letter queues",
    ),
    _patch(
        "services.lambda_svc:_poll_dynamodb_streams",
        (),
        "lambdas.streams:poll",
        "retry, halve and give up batches of a stream as its mapping says",
    ),
    _patch(
        "services.cloudwatch_logs:_fanout_to_subscription_filters",
        ("group_name", "stream_name", "events"),
        "log_subscriptions:fan_out",
        "send log events to Firehose, match JSON patterns and read embedded metrics",
    ),
    _patch(
        "services.firehose:_deliver_records_to_s3",
        ("stream", "dest", "records"),
        "firehose_buffering:collect",
        "buffer a delivery stream's records",
    ),
    _patch(
        "services.cloudwatch:_stat_value",
        ("stats", "stat_name", "points"),
        "trimmed_counts:count_within_bounds",
        "count the values within bounds",
    ),
    _patch(
        "services.cloudwatch:_put_metric_data",
        ("params", "cbor_data", "is_cbor", "is_json"),
        "embedded_metrics:keep_resolution",
        "tell high-resolution metrics from others",
    ),
    _patch(
        "services.cloudwatch:_store_datum",
        ("namespace", "name", "dims", "ts", "unit", "value", "values", "counts", "stat_values"),
        "embedded_metrics:store_with_resolution",
        "tell high-resolution metrics from others",
    ),
    _patch(
        "services.lambda_svc:_emit_lambda_metrics",
        ("function_name", "duration_ms", "error", "throttle"),
        "embedded_metrics:across_all_functions",
        "count errors and throttles of all functions together",
    ),
    _patch(
        "services.eventbridge:_invoke_target",
        ("target", "event", "rule", "view"),
        "rule_targets:invoke",
        "check target roles and policies, retry, and fill dead-letter queues of rules",
    ),
    _patch(
        "services.eventbridge:_put_events",
        ("data", "allow_aws_source"),
        "put_events:limited",
        "limit PutEvents as EventBridge does",
    ),
    _patch(
        "services.eventbridge:_now_ts",
        (),
        "put_events:time_of_entry",
        "give an event the time that PutEvents was given",
    ),
    _patch(
        "services.eventbridge:handle_request",
        ("method", "path", "headers", "body", "query_params"),
        "put_events:judged",
        "judge each entry of PutEvents by its source and detail-type",
    ),
    _patch(
        "core.iam_actions:request_tag_context",
        ("service", "iam_action", "body", "params"),
        "put_events:name_entries",
        "give policies the sources and detail-types of PutEvents",
    ),
    _patch(
        "core.iam_actions:s3_service_context",
        ("iam_action", "query_params", "path", "headers"),
        "object_lock:name_conditions",
        "give policies the condition of a conditional write",
    ),
    _patch(
        "services.eventbridge:_tick_scheduled_rules",
        (),
        "schedules:silence",
        "fire scheduled rules in scaled time",
    ),
    _patch(
        "services.scheduler:_tick_schedules",
        (),
        "schedules:silence",
        "fire schedules in scaled time",
    ),
    _patch(
        "services.cloudwatch:_put_metric_alarm",
        ("params", "cbor_data", "is_cbor", "is_json"),
        "alarms:with_metric_math",
        "keep an alarm's metric math",
    ),
    _patch(
        "services.cloudformation.provisioners:_cw_metric_alarm_record",
        ("name", "props"),
        "alarms:template_with_metric_math",
        "keep a template alarm's metric math",
    ),
    _patch(
        "services.cloudwatch:_evaluate_alarm",
        ("alarm",),
        "alarms:silence",
        "evaluate alarms with dimensions, periods and missing data",
    ),
    _patch(
        "services.cloudwatch:_evaluate_all_alarms",
        (),
        "alarms:silence",
        "evaluate alarms with dimensions, periods and missing data",
    ),
    _patch(
        "services.cloudwatch:_dispatch_alarm_actions",
        ("alarm", "old_state", "new_state", "reason"),
        "alarms:act",
        "send the alarm's event and check its actions",
    ),
    _patch(
        "core.iam_actions:extract_resource_arn",
        ("service", "method", "path", "headers", "body", "query_params", "region", "account_id"),
        "judged_resources:extract",
        "judge requests on the ARNs that AWS judges them on",
    ),
    _patch(
        "services.sns:_fanout",
        ("topic_arn", "msg_id", "message", "subject", "message_structure", "message_attributes"),
        "mail:fan_out",
        "deliver mail into the mailbox",
    ),
    _patch(
        "services.sns:_subscribe",
        ("params",),
        "mail:subscribe",
        "keep mail subscriptions pending",
    ),
    _patch(
        "services.sns:_list_subscriptions",
        ("params",),
        "mail:list_pending",
        "keep mail subscriptions pending",
    ),
    _patch(
        "services.sns:_list_subscriptions_by_topic",
        ("params",),
        "mail:list_pending",
        "keep mail subscriptions pending",
    ),
    _patch(
        "services.cloudformation.provisioners:_RESOURCE_HANDLERS[AWS::SNS::Subscription][create]",
        ("logical_id", "props", "stack_name"),
        "mail:subscribe_from_template",
        "keep mail subscriptions pending",
    ),
    _patch(
        "services.cloudformation.provisioners:_RESOURCE_HANDLERS[AWS::SNS::Topic][create]",
        ("logical_id", "props", "stack_name"),
        "mail:subscribe_from_template",
        "keep mail subscriptions pending",
    ),
    _patch(
        "services.sns:publish_internal",
        ("topic_arn", "message", "subject"),
        "mail:check_subject",
        "refuse subjects that SNS refuses",
    ),
)

READS: tuple[Ground, ...] = (
    Ground(
        "services.s3:_get_object",
        ("bucket_name", "key", "headers", "query_params"),
        "read what is copied from another account",
    ),
    Ground(
        "services.s3:_put_object",
        ("bucket_name", "key", "body", "headers"),
        "write what is copied from another account",
    ),
    Ground(
        "services.s3:_upload_part",
        ("bucket_name", "key", "body", "query_params", "headers"),
        "write a part that is copied",
    ),
    Ground("services.s3:_stored_sse_headers", ("obj",), "know the key of an object"),
    Ground("services.s3:_bucket_encryption", (), "encrypt by default as a template says"),
    Ground("services.s3:_put_bucket_encryption", ("name", "body"), "encrypt by default"),
    Ground("services.kms:key_policy_for_arn", ("resource_arn",), "ask the key of an object"),
    Ground("services.s3:_bucket_owner_account", ("name",), "know whose bucket a policy speaks of"),
    Ground("services.eventbridge:_event_bus_policies", (), "admit what other accounts send"),
    Ground("services.eventbridge:_remove_permission", ("data",), "remove a bus's policy"),
    Ground("services.s3:_bucket_object_lock", (), "lock the objects of a template's bucket"),
    Ground(
        "services.s3:_put_object_lock_configuration",
        ("bucket_name", "body"),
        "lock the objects of a template's bucket",
    ),
    Ground("services.dynamodb:_put_resource_policy", ("data",), "put a table's policy"),
    Ground("app:AUTH", (), "enforce IAM"),
    Ground("app:app", ("scope", "receive", "send"), "serve"),
    Ground("app:SERVICE_REGISTRY", (), "register services"),
    Ground("app:SERVICE_HANDLERS", (), "register services"),
    Ground("app:_parse_lambda_url", ("host", "path"), "serve function URLs"),
    Ground("app:_function_url_auth_target", ("url_id",), "serve function URLs"),
    Ground(
        "app:_credential_failure",
        ("service", "iam_action", "request_id", "denied", "headers"),
        "refuse a wrong signature on a function URL",
    ),
    Ground(
        "core.iam_evaluator:evaluate_resource_policy",
        ("doc", "ctx", "service"),
        "check resource policies",
    ),
    Ground(
        "core.iam_evaluator:resolve_credential", ("access_key_id", "account_id"), "name callers"
    ),
    Ground("services.cloudformation.engine:_apply_transforms", ("template",), "apply SAM"),
    Ground("services.cloudformation.engine:_TransformFailed", (), "report a failed transform"),
    Ground("services.cloudformation:_stacks", (), "update nested stacks"),
    Ground(
        "services.cloudformation.provisioners:_physical_name",
        ("stack_name", "logical_id"),
        "name archives",
    ),
    Ground("services.eventbridge:_archives", (), "delete archives"),
    Ground("services.eventbridge:_create_archive", ("data",), "create archives"),
    Ground("services.eventbridge:_update_archive", ("data",), "update archives"),
    Ground("services.eventbridge:_delete_archive", ("data",), "delete archives"),
    Ground("services.lambda_svc:_resolve_layer_zip", ("attachment",), "unpack layers"),
    Ground("services.lambda_svc:_ensure_reaper_thread", (), "end idle environments"),
    Ground("services.lambda_svc:_xray_trace_id_for_invocation", ("config",), "set the trace id"),
    Ground("services.lambda_svc:_invoke_depth", (), "bound recursion"),
    Ground("services.lambda_svc:_function_urls", (), "serve function URLs"),
    Ground(
        "services.lambda_svc:_url_config_key", ("func_name", "qualifier"), "serve function URLs"
    ),
    Ground("services.lambda_svc:function_policy_for_arn", ("resource_arn",), "check policies"),
    Ground(
        "core.lambda_runtime:acquire_worker", ("func_name", "config", "code_zip"), "run functions"
    ),
    Ground("core.lambda_runtime:release_worker", ("worker",), "run functions"),
    Ground("core.lambda_runtime:invalidate_worker", ("func_name", "qualifier"), "run functions"),
    Ground("core.lambda_runtime:kill_workers", ("workers",), "end environments"),
    Ground("core.lambda_runtime:reset", (), "end environments"),
    Ground("core.lambda_runtime:execution_credentials", ("config",), "give a role's credentials"),
)

# Packages of this package that register themselves, in this order.
_ADDITIONS = (
    "steward_local.sagemaker",
    "steward_local.athena",
    "steward_local.codecommit",
    "steward_local.schedule_requests",
    "steward_local.log_queries",
    "steward_local.stepfunctions_additions",
    "steward_local.table_policies",
    "steward_local.codepipeline",
    "steward_local.api_calls",
)


def verify_ground() -> None:
    """Check every part of MiniStack that Steward replaces or reads.

    Raises:
        GroundMovedError: The first that has moved, with what relies on it.
    """
    for ground in (*(patch.ground for patch in PATCHES), *READS):
        ground.locate()


def install() -> None:
    """Make every change, in the server process, before it serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    verify_ground()
    from steward_local.lambdas import packages

    packages.drop_unused()
    packages.link_runtime()
    for patch in PATCHES:
        patch.apply()
    from ministack.core import lambda_runtime

    from steward_local import alarms, firehose_buffering, lifecycle, schedules

    lifecycle.on_stop(lambda_runtime.reset)
    for part in (firehose_buffering, schedules, alarms):
        part.start()
    for name in _ADDITIONS:
        if importlib.util.find_spec(name) is not None:
            addition = importlib.import_module(name)
            if hasattr(addition, "install"):
                addition.install()
