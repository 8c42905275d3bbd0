"""Settings: read once, at first use; what is missing or wrong is named."""

import subprocess
import sys

import pytest

from steward.bootstrap import app
from steward.settings import Settings, SettingsError, settings


def test_variables_of_the_environment_are_read_at_first_use(scrubbed: pytest.MonkeyPatch) -> None:
    scrubbed.setenv("BUS_NAME", "steward-dev")
    scrubbed.setenv("TIME_SCALE", "20")

    assert settings().bus_name == "steward-dev"
    assert settings().time_scale == 20.0

    scrubbed.setenv("BUS_NAME", "other")
    assert settings().bus_name == "steward-dev"


def test_a_variable_that_the_template_forgot_is_named() -> None:
    with pytest.raises(SettingsError, match="OUTBOX_TABLE"):
        Settings().need("outbox_table")


def test_a_variable_of_the_wrong_type_is_named(scrubbed: pytest.MonkeyPatch) -> None:
    scrubbed.setenv("TIME_SCALE", "fast")

    with pytest.raises(SettingsError, match="TIME_SCALE"):
        settings()


def test_importing_reads_no_environment_and_no_boto3() -> None:
    program = (
        "import sys, steward.bootstrap, steward.settings, steward.entrypoint\n"
        "assert steward.settings.settings.cache_info().currsize == 0\n"
        "assert steward.bootstrap.app.cache_info().currsize == 0\n"
        "assert 'boto3' not in sys.modules, 'boto3'\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True, env={"TIME_SCALE": "fast"})


def test_adapters_are_built_once_and_only_when_asked_for(scrubbed: pytest.MonkeyPatch) -> None:
    for name in ("BUS_NAME", "JOB_IMAGE_PARAMETER", "FAILURE_QUEUE_URL", "RUNS_TABLE"):
        scrubbed.setenv(name, "x")
    scrubbed.setenv("APPROVER_TOPIC", "arn:aws:sns:us-east-1:000000000000:approver")
    root = app()
    ports = [
        "clock", "ids", "bus", "state", "objects", "workflows", "registry", "endpoints",
        "alarms", "mail", "job_image", "failure_queue", "job_records",
    ]  # fmt: skip

    assert set(vars(root)) == {"settings"}
    for port in ports:
        assert getattr(root, port) is getattr(app(), port)
    assert app() is root


def test_an_adapter_whose_variable_is_missing_names_it(scrubbed: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="BUS_NAME"):
        _ = app().bus
