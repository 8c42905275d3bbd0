"""The parts of MiniStack that the embedded Athena relies on."""

from __future__ import annotations

from steward_local.registrations import Ground

_RUN, _CATALOG = "run queries", "read tables"

GROUND: tuple[Ground, ...] = (
    Ground("services.athena:handle_request", ("method", "path", "headers", "body"), _RUN),
    Ground("services.athena:_start_query_execution", ("data",), _RUN),
    Ground("services.athena:_stop_query_execution", ("data",), _RUN),
    Ground("services.athena:_get_query_execution", ("data",), "answer Step Functions"),
    Ground("services.athena:_get_query_results", ("data",), "answer Step Functions"),
    Ground("services.athena:_execution_out", ("ex",), "answer Step Functions"),
    Ground("services.athena:_executions", (), _RUN),
    Ground("services.athena:_workgroups", (), _RUN),
    Ground("services.athena:_ensure_default_workgroup", (), _RUN),
    Ground("services.athena:_parse_ddl", ("query",), "make tables"),
    Ground("services.athena:_run_ddl", ("ddl", "database"), "make tables"),
    Ground("services.athena:_CreateTable", (), "make tables"),
    Ground("services.athena:_detect_statement_type", ("query",), _RUN),
    Ground("services.athena:_table_relation", ("table_data", "files"), _CATALOG),
    Ground("services.athena:_empty_relation", ("table_data",), _CATALOG),
    Ground("services.athena:_data_format", ("table_data",), _CATALOG),
    Ground("services.athena:_hidden", ("relative_key",), _CATALOG),
    Ground("services.athena:_hive_options", ("partitions",), _CATALOG),
    Ground("services.athena:_path_partition_keys", ("table_data", "files"), _CATALOG),
    Ground("services.glue:_tables", (), _CATALOG),
    Ground("services.glue:_arn", ("resource_type", "name"), _CATALOG),
    Ground("services.s3:_buckets", (), _CATALOG),
    Ground("services.s3:_get_object_data", ("bucket_name", "key"), _CATALOG),
    Ground("services.s3:_put_object", ("bucket_name", "key", "body", "headers"), "write results"),
    Ground("core.iam_actions:_safe_json_field", ("body", "field"), "judge requests"),
)
