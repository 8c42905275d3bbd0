"""A quota that stopped a run is told in plain words, with what to do."""

from __future__ import annotations

from steward.domain.mails.layout import Where
from steward.domain.mails.training import training_failed
from steward.domain.quotas import quota_advice

ERROR = "SageMaker.ResourceLimitExceededException"
INSTANCES = (
    "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, with "
    "current utilization of 0 Instances and a request delta of 1 Instances. Please use AWS Service "
    "Quotas to request an increase for this quota."
)
SERVERLESS = (
    "The account-level service limit 'Maximum total concurrency that can be allocated across all "
    "serverless endpoints' is 10, with current utilization of 10 and a request delta of 5."
)


def test_an_instance_quota_names_itself_its_value_and_two_ways_out() -> None:
    advice = quota_advice(ERROR, INSTANCES)

    assert advice == (
        "the account's quota for ml.g5.xlarge for training job usage is 0, of which 0 are used; "
        "`steward doctor` shows quotas and how to ask for more, or choose another instance than "
        "ml.g5.xlarge"
    )


def test_a_quota_of_endpoints_has_no_other_instance() -> None:
    advice = quota_advice("ResourceLimitExceeded", SERVERLESS) or ""

    assert "serverless endpoints is 10, of which 10 are used" in advice
    assert "instance" not in advice


def test_unknown_words_are_still_a_quota_and_other_errors_are_none() -> None:
    assert "`steward doctor`" in (quota_advice(ERROR, "no more") or "")
    assert quota_advice("SageMaker.AmazonSageMakerException", "no more") is None


def test_the_mail_of_a_run_that_a_quota_stopped_says_what_to_do() -> None:
    where = Where(project="churn", environment="dev", region="us-east-1")

    letter = training_failed(
        where, run_id="3f9a1c0b7d2e-1", failed_state="TrainCandidate", error=ERROR,
        cause=INSTANCES, execution_arn="",
    )  # fmt: skip

    assert "What to do" in letter.body
    assert "steward doctor" in " ".join(letter.body.split())
