"""The parts of MiniStack that the embedded SageMaker and the check of roles rely on."""

from __future__ import annotations

from steward_local.registrations import Ground

_SERVE, _JUDGE = "serve SageMaker", "judge what a role may do"

GROUND: tuple[Ground, ...] = (
    Ground("app:SERVICE_REGISTRY", (), _SERVE),
    Ground("app:SERVICE_HANDLERS", (), _SERVE),
    Ground("core.router:SERVICE_PATTERNS", (), _SERVE),
    Ground("core.router:extract_access_key_id", ("headers", "query_params"), _JUDGE),
    Ground("core.responses:_service_model", ("service",), "check requests by their model"),
    Ground("core.iam_actions:SERVICE_TO_IAM_NAMESPACE", (), _JUDGE),
    Ground("core.iam_actions:_BOTOCORE_SERVICE_MAP", (), _JUDGE),
    Ground(
        "core.iam_actions:extract_resource_arn",
        ("service", "method", "path", "headers", "body", "query_params", "region", "account_id"),
        _JUDGE,
    ),
    Ground("core.iam_evaluator:evaluate", ("ctx", "policies"), _JUDGE),
    Ground("core.iam_evaluator:EvalContext", ("principal_arn", "principal_type"), _JUDGE),
    Ground("core.iam_evaluator:resolve_principal", ("access_key_id", "account_id"), _JUDGE),
    Ground("core.iam_evaluator:combine_resource_policy", ("identity", "ctx"), _JUDGE),
    Ground("core.iam_evaluator:_resource_policy", ("service", "resource_arn"), _JUDGE),
    Ground("core.iam_evaluator:_service_principal_matches", ("principal", "service"), _JUDGE),
    Ground("core.iam_evaluator:_action_matches", ("request_action", "actions"), _JUDGE),
    Ground("core.iam_evaluator:_conditions_met", ("conditions", "ctx"), _JUDGE),
    Ground("services.sts:register_session", ("access_key", "session"), "give roles to jobs"),
    Ground("services.iam:_roles", (), _JUDGE),
    Ground(
        "services.cloudformation.provisioners:_delete_predecessor",
        ("delete_fn",),
        "replace feature groups",
    ),
    Ground("services.s3:_buckets", (), "find the bucket of an offline store"),
    Ground(
        "services.s3:_put_object", ("bucket_name", "key", "body", "headers"), "export model cards"
    ),
    Ground("services.glue:_databases", (), "know an offline store's table"),
    Ground("services.glue:_tables", (), "know an offline store's table"),
    Ground("services.glue:_create_database", ("data",), "make an offline store's table"),
    Ground("services.glue:_create_table", ("data",), "make an offline store's table"),
    Ground("services.glue:_arn", ("resource_type", "name"), "judge the role of an offline store"),
    Ground("services.eventbridge:_put_events", (), "tell the bus"),
    Ground("services.cloudwatch:_store_datum", (), "count"),
    Ground("services.cloudwatch_logs:_log_groups", (), "keep container logs"),
    Ground("services.cloudwatch_logs:_create_log_group", (), "keep container logs"),
    Ground("services.cloudwatch_logs:_create_log_stream", (), "keep container logs"),
    Ground("services.cloudwatch_logs:_put_log_events", (), "keep container logs"),
)
