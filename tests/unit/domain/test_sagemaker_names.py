"""Names of what SageMaker has: they fit, tell whose they are, and are of one environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain import names
from steward.domain.batch_runs import batch_model, transform_job

ENVIRONMENTS = ("local", "dev", "staging", "prod")
LONGEST = "a" * 20
RUN = "3f9a1c0b7d2e-99"
NOW = 1_900_000_000  # 2030

environments = st.sampled_from(ENVIRONMENTS)
projects = st.one_of(
    st.from_regex(names.PROJECT_PATTERN, fullmatch=True).filter(
        lambda name: not name.endswith("-") and "--" not in name
    ),
    st.sampled_from(["prod", "dev-prod", "a-v1", "v1-prod", "staging-v2", "ab-variants"]),
)
versions = st.integers(1, 10**6)
stages = st.sampled_from(["staging", "prod"])
kinds = st.sampled_from(["train", "eval", "test", "rehearse", "batch"])


@given(environments, environments, projects, versions, stages)
def test_an_endpoint_tells_its_stage_in_its_environment_alone(
    ours: str, other: str, project: str, version: int, stage: str
) -> None:
    name = names.endpoint_name(ours, project, version, stage)
    assert names.stage_of(ours, name) == (project, version, stage)
    assert names.project_of_endpoint(ours, name) == (project if stage == "prod" else None)
    if other != ours:
        assert names.stage_of(other, name) is None
        assert names.project_of_endpoint(other, name) is None


@given(environments, environments, projects)
def test_the_endpoint_of_all_versions_tells_its_project_in_its_environment_alone(
    ours: str, other: str, project: str
) -> None:
    name = names.variants_endpoint(ours, project)
    assert names.project_of_variants_endpoint(ours, name) == project
    assert names.project_of_endpoint(ours, name) == project
    assert names.stage_of(ours, name) is None
    if other != ours:
        assert names.project_of_endpoint(other, name) is None


@given(environments, environments, projects, kinds, st.integers(0, 9))
def test_a_job_tells_its_run_in_its_environment_alone(
    ours: str, other: str, project: str, kind: str, retry: int
) -> None:
    name = names.job_name(ours, project, RUN, kind, retry)
    assert names.job_of(ours, name) == (project, RUN, kind)
    if other != ours:
        assert names.job_of(other, name) is None


@given(environments, environments, projects, projects, versions, versions, stages)
def test_two_environments_never_give_one_name(
    ours: str, other: str, one: str, two: str, this: int, that: int, stage: str
) -> None:
    if ours != other:
        a, b = (names.endpoint_name(ours, one, this, stage),
                names.endpoint_name(other, two, that, stage))  # fmt: skip
        assert a != b
        assert names.job_name(ours, one, RUN, "train") != names.job_name(other, two, RUN, "train")
        assert names.tuning_job(ours, RUN) != names.tuning_job(other, RUN)


@pytest.mark.parametrize(
    "name",
    [
        "somebody-elses",
        "dev-diabetes-vx-prod",
        "dev-diabetes-prod",
        "diabetes-v1-prod",
        "dev-diabetes-v0-prod",
        "dev--v1-prod",
        "",
    ],
)
def test_other_names_are_of_no_project(name: str) -> None:
    assert names.stage_of("dev", name) is None
    assert names.project_of_endpoint("dev", name) is None


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_longest_names_fit(environment: str) -> None:
    for stage in ("staging", "prod"):
        model = names.model_name(environment, LONGEST, 999, stage, "99")
        assert len(names.remade(model, "r", NOW)) <= 63
    model = names.model_name(environment, LONGEST, 99_999, "prod", "00000099")
    assert len(names.remade(model, "z", NOW)) <= 63
    assert len(batch_model(environment, LONGEST, 99_999, RUN)) <= 63
    assert len(names.job_name(environment, LONGEST, RUN, "rehearse", 99)) <= 63
    assert len(transform_job(environment, LONGEST, RUN)) <= 63 - len("-r99")
    assert len(names.variants_config(environment, LONGEST, "99999-00000099")) <= 63
    assert len(names.tuning_job(environment, RUN)) <= 32 - len("-r99")
    card = names.sagemaker_name(environment, LONGEST, RUN, "card", "0" * 8, 9)
    assert names.job_of(environment, card) == (LONGEST, RUN, "card")


def test_what_is_made_anew_keeps_no_mark_of_before() -> None:
    first = names.remade("dev-diabetes-v3-prod-00000003", "r", NOW)
    again = names.remade(first, "z", NOW + 60)
    assert first == "dev-diabetes-v3-prod-00000003-rvf7lds"
    assert again.startswith("dev-diabetes-v3-prod-00000003-z")
    assert again.count("-") == first.count("-")
    assert names.remade(again, "z", NOW + 120) != again


@pytest.mark.parametrize("suffix", ["00000003", "1", "99"])
def test_a_deployment_is_no_mark(suffix: str) -> None:
    name = names.model_name("dev", "diabetes", 3, "prod", suffix)
    assert names.remade(name, "r", NOW).startswith(f"{name}-r")
