"""The events: AWS's as it sends them, ours as we promise them, schemas and catalogue in step."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from steward.contracts import events
from steward.contracts.events import (
    MAX_EVENT_BYTES,
    PAYLOADS,
    OutcomesRecorded,
    Payload,
    TrainingFailed,
    parse_payload,
)
from steward.contracts.incoming import (
    AWS_DETAILS,
    AlarmStateChange,
    ExecutionStatusChange,
    ModelPackageStateChange,
    ObjectCreated,
    ProcessingJobStateChange,
    RepositoryStateChange,
    Scheduled,
    TrainingJobStateChange,
)
from steward.domain.errors import MalformedEventError, RejectedError
from steward.entrypoint import parse_event
from steward_cli import schemas
from support.builders import event_of
from support.samples import SAMPLES, delivered, texts

ROOT = Path(__file__).parents[2]
INCOMING = sorted((ROOT / "events" / "incoming").glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


# --- AWS's events ------------------------------------------------------------------------


@pytest.mark.parametrize("path", INCOMING, ids=lambda path: path.stem)
def test_each_event_of_aws_is_understood(path: Path) -> None:
    event = load(path)

    received = parse_event(event)

    assert received.detail_type == event["detail-type"]
    assert received.meta is None
    assert type(received.detail) is AWS_DETAILS[event["source"], event["detail-type"]]


def test_there_is_a_real_payload_of_each_event_of_aws_that_we_take() -> None:
    present = {(event["source"], event["detail-type"]) for event in map(load, INCOMING)}

    assert present == set(AWS_DETAILS)


def test_what_we_read_of_aws_s_events_is_what_they_say() -> None:
    found = {type(parse_event(load(path)).detail): parse_event(load(path)).detail
             for path in INCOMING}  # fmt: skip

    created = found[ObjectCreated]
    assert created.bucket.name == "data"
    assert created.object.key == "deliveries/diabetes/2026-01 delivery+1.csv"
    assert created.object.version_id
    assert found[ModelPackageStateChange].model_approval_status == "Approved"
    assert found[TrainingJobStateChange].training_job_status
    assert found[ProcessingJobStateChange].processing_job_name
    alarm = found[AlarmStateChange]
    assert (alarm.previous_state.value, alarm.state.value) == ("OK", "ALARM")
    assert found[ExecutionStatusChange].status in ("FAILED", "TIMED_OUT", "ABORTED")
    assert found[RepositoryStateChange].caller_user_arn.endswith(":user/tom")
    assert found[Scheduled].project is None


@pytest.mark.parametrize("path", INCOMING, ids=lambda path: path.stem)
def test_a_field_that_aws_adds_later_does_no_harm(path: Path) -> None:
    event = load(path)

    more = {**event, "new": 1, "detail": {**event["detail"], "newer": {"x": 1}}}

    assert parse_event(more) == parse_event(event)


REQUIRED = [
    (path, name)
    for path in INCOMING
    for model in [AWS_DETAILS[load(path)["source"], load(path)["detail-type"]]]
    for name in [f.alias or n for n, f in model.model_fields.items() if f.is_required()]
]


@pytest.mark.parametrize(("path", "name"), REQUIRED, ids=lambda v: getattr(v, "stem", v))
def test_an_event_of_aws_without_a_field_that_we_need_is_malformed(path: Path, name: str) -> None:
    event = load(path)
    detail = {key: value for key, value in event["detail"].items() if key != name}

    with pytest.raises(MalformedEventError) as refused:
        parse_event({**event, "detail": detail})

    assert refused.value.field == f"detail.{name}"


# --- our events ----------------------------------------------------------------------------


def test_there_is_one_sample_of_each_event_of_ours() -> None:
    assert sorted(type(payload).__name__ for payload in SAMPLES) == sorted(PAYLOADS)


def test_every_payload_is_listed_with_the_module_that_has_it() -> None:
    assert all(issubclass(PAYLOADS[name], Payload) for name in PAYLOADS)
    for name in PAYLOADS:
        assert PAYLOADS[name].__module__.rpartition(".")[2] == PAYLOADS[name].source[8:]
    assert {payload.__name__ for payload in Payload.__subclasses__()} == set(PAYLOADS)


def test_a_name_that_is_no_payload_is_refused() -> None:
    with pytest.raises(AttributeError, match="VersionBlessed"):
        getattr(events, "VersionBlessed")  # noqa: B009 - the module answers by name
    with pytest.raises(KeyError):
        PAYLOADS["VersionBlessed"]
    assert "VersionBlessed" not in PAYLOADS


def test_modules_of_other_payloads_are_not_read() -> None:
    code = (
        "import sys; from steward.contracts.events import VersionApproved;"
        "print(sorted(m for m in sys.modules if m.startswith('steward.contracts.events.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "['steward.contracts.events.envelope', 'steward.contracts.events.registry']"
    )


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda payload: type(payload).__name__)
def test_each_sample_comes_back_as_it_was(payload: Any) -> None:
    received = parse_event(delivered(payload))

    assert received.detail == payload
    assert type(received.detail) is type(payload)
    assert received.own.schema_version == "1"


def test_the_samples_in_the_repository_are_the_built_ones() -> None:
    folder = ROOT / "events" / "samples"

    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}

    assert present == texts(), "run: PYTHONPATH=tests python -m support.samples"


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda payload: type(payload).__name__)
def test_each_sample_fits_its_schema_and_not_without_a_field(payload: Any) -> None:
    name = type(payload).__name__
    schema = load(ROOT / "events" / "schemas" / f"{name}.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    event = delivered(payload)
    assert validator.is_valid(event)
    assert not validator.is_valid({**event, "source": "steward.nobody"})

    for field in schema["$defs"][name].get("required", []):
        data = {key: value for key, value in event["detail"]["data"].items() if key != field}
        assert not validator.is_valid({**event, "detail": {**event["detail"], "data": data}})


def test_schemas_and_catalogue_are_in_step_with_the_contracts() -> None:
    assert schemas.stale(ROOT) == [], "run: python -m steward_cli.schemas"


def test_a_payload_takes_nothing_that_its_contract_does_not_name() -> None:
    with pytest.raises(ValidationError):
        parse_payload("OutcomesRecorded", {"count": 1, "uri": "s3://b/k", "more": 1})


def test_sources_are_domains_of_ours() -> None:
    domains = {
        "data", "training", "registry", "serving", "monitoring", "governance", "audit",
    }  # fmt: skip

    assert {payload.source for payload in PAYLOADS.values()} <= {f"steward.{d}" for d in domains}


def test_an_event_knows_its_type_and_source() -> None:
    event = event_of(OutcomesRecorded(count=1, uri="s3://b/k"))

    assert (event.source, event.detail_type) == ("steward.serving", "OutcomesRecorded")
    assert json.loads(event.detail_json()) == event.detail()


@given(st.integers(0, MAX_EVENT_BYTES + 2_000))
def test_an_event_has_at_most_64_kb_of_detail(length: int) -> None:
    event = event_of(OutcomesRecorded(count=1, uri="x" * length))
    size = len(json.dumps(event.detail(), separators=(",", ":")))

    if size <= MAX_EVENT_BYTES:
        assert len(event.detail_json()) == size
    else:
        with pytest.raises(RejectedError, match="bytes of detail"):
            event.detail_json()


def test_an_event_with_a_number_that_json_has_not_is_refused() -> None:
    payload = PAYLOADS["CandidateEvaluated"].model_validate(
        {"run_id": "r", "evaluation_uri": "u", "metrics": {"brier": float("nan")},
         "verdict": "pass"}
    )  # fmt: skip

    with pytest.raises(RejectedError, match="not JSON"):
        event_of(payload).detail_json()


def test_a_cause_is_cut_so_that_a_failure_can_always_be_told() -> None:
    failed = TrainingFailed(
        run_id="r", failed_state="s", error="e", cause="ü" * 32_768, execution_arn="arn"
    )

    assert len(failed.cause) <= 8_000
    assert failed.cause.endswith(" ...")
    event_of(failed).detail_json()


# --- the generator -------------------------------------------------------------------------


def test_a_stale_schema_is_found_and_mended(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "functions").symlink_to(ROOT / "functions")
    for package in ("layers", "cli"):
        (tmp_path / package).symlink_to(ROOT / package)
    (tmp_path / schemas.ACCESS).parent.mkdir()
    (tmp_path / schemas.ACCESS).write_text(
        "# Access\n\n<!-- matrix -->\n\n<!-- end of matrix -->\n"
    )
    arguments = ["--root", str(tmp_path)]

    assert schemas.main([*arguments, "--check"]) == 1
    assert schemas.main(arguments) == 0
    assert schemas.main([*arguments, "--check"]) == 0

    (tmp_path / schemas.SCHEMAS / "VersionBlessed.json").write_text("{}")
    (tmp_path / schemas.SCHEMAS / "VersionApproved.json").write_text("{}")
    capsys.readouterr()
    assert schemas.main([*arguments, "--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "stale events/schemas/VersionApproved.json",
        "stale events/schemas/VersionBlessed.json",
    ]
    assert schemas.main(arguments) == 0
    assert schemas.main([*arguments, "--check"]) == 0
