"""The parts of MiniStack's Step Functions that are replaced or used here."""

from __future__ import annotations

from steward_local.registrations import Ground

_STATES = "services.stepfunctions:"
_RUN, _PATHS = "run executions", "evaluate paths and JSONata"

GROUND: tuple[Ground, ...] = (
    *(
        Ground(f"{_STATES}{name}", ("data",), "start, stop and describe executions")
        for name in (
            "_start_execution",
            "_stop_execution",
            "_describe_execution",
            "_create_state_machine",
            "_update_state_machine",
            "_validate_state_machine_definition",
        )
    ),
    Ground(f"{_STATES}handle_request", ("method", "path", "headers", "body"), "know the caller"),
    Ground(f"{_STATES}_run_execution", ("exec_arn",), _RUN),
    Ground(
        f"{_STATES}_run_sub_machine",
        ("states", "start_at", "input_data", "execution", "ctx"),
        _RUN,
    ),
    Ground(f"{_STATES}_add_event", ("execution", "event_type", "details"), _RUN),
    Ground(f"{_STATES}_emit_execution_status_event", ("execution",), "tell the bus"),
    Ground(f"{_STATES}_scaled_sleep", ("seconds",), "wait"),
    Ground(
        f"{_STATES}_apply_state_assign",
        ("state_def", "raw_input", "ctx", "result", "error_output"),
        _PATHS,
    ),
    Ground(f"{_STATES}_execute_pass", ("state_def", "raw_input", "ctx"), _RUN),
    Ground(f"{_STATES}_execute_choice", ("state_def", "raw_input", "ctx"), _RUN),
    Ground(f"{_STATES}_execute_wait", ("state_def", "raw_input", "ctx"), _RUN),
    Ground(f"{_STATES}_execute_map", ("state_def", "raw_input", "execution", "ctx"), _RUN),
    Ground(f"{_STATES}_apply_jsonata_template", ("value", "raw_input", "ctx"), _PATHS),
    Ground(f"{_STATES}_apply_jsonata_arguments", ("state_def", "raw_input", "ctx"), _PATHS),
    Ground(f"{_STATES}_apply_jsonata_output", ("state_def", "raw_input", "ctx"), _PATHS),
    Ground(f"{_STATES}_jsonata_state_field", ("state_def", "field", "expected"), _PATHS),
    Ground(f"{_STATES}_apply_parameters", ("state_def", "data", "ctx"), _PATHS),
    Ground(f"{_STATES}_apply_input_path", ("state_def", "data", "ctx"), _PATHS),
    Ground(f"{_STATES}_apply_output_path", ("state_def", "data", "ctx"), _PATHS),
    Ground(f"{_STATES}_apply_result_path", ("state_def", "original", "result"), _PATHS),
    Ground(f"{_STATES}_apply_result_selector", ("state_def", "data"), _PATHS),
    Ground(f"{_STATES}_resolve_params_obj", ("template", "data", "ctx"), _PATHS),
    Ground(f"{_STATES}_resolve_path_or_ctx", ("path", "data", "ctx"), _PATHS),
    Ground(f"{_STATES}_state_query_language", ("state_def", "ctx"), _PATHS),
    Ground(f"{_STATES}_fail_state_error", ("state_def", "raw_input", "ctx"), _RUN),
    Ground(f"{_STATES}_next_or_end", ("state_def",), _RUN),
    Ground(
        f"{_STATES}_apply_catcher",
        ("catcher", "raw_input", "ctx", "query_language", "error_output"),
        _RUN,
    ),
    Ground(f"{_STATES}_ExecutionError", ("error", "cause"), _RUN),
    Ground(f"{_STATES}_call_lambda", ("func_ref", "event"), "invoke functions"),
    Ground(f"{_STATES}_resolve_lambda_function_ref", ("value", "optimized"), "invoke functions"),
    Ground(f"{_STATES}_extract_lambda_ref", ("resource",), "invoke functions"),
    Ground(f"{_STATES}_invoke_resource", ("resource", "input_data"), "call services"),
    Ground(f"{_STATES}_invoke_aws_sdk_integration", ("resource", "input_data"), "call services"),
    Ground(f"{_STATES}_invoke_events_put_events", ("resource", "input_data"), "call services"),
    Ground(f"{_STATES}_nested_start_execution_request", ("input_data",), "start children"),
    Ground(f"{_STATES}_resolve_state_machine_arn", ("arn",), "start executions"),
    Ground(f"{_STATES}_iso_to_epoch_ms", ("iso",), "tell the bus"),
    Ground(f"{_STATES}_finalize_response", ("response",), "answer RedriveExecution"),
    Ground(f"{_STATES}_AWS_SDK_SERVICE_MAP", (), "call SageMaker"),
    Ground(f"{_STATES}_AWS_SDK_ERROR_PREFIX", (), "call SageMaker"),
    Ground(f"{_STATES}_AWS_SDK_ERROR_CODE_OVERRIDES", (), "call SageMaker"),
    Ground(f"{_STATES}_executions", (), _RUN),
    Ground(f"{_STATES}_state_machines", (), _RUN),
    Ground(f"{_STATES}_task_tokens", (), "wait for callbacks"),
    Ground("services.cloudformation.provisioners:_RESOURCE_HANDLERS", (), "check definitions"),
    Ground(
        "app:call_service_handler_sync",
        ("handler", "method", "path", "headers", "body", "query_params", "timeout"),
        "judge SDK integrations",
    ),
)
