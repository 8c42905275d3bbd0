"""What AWS and the network say becomes one of our errors, and says whether to try again."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from hypothesis import given
from hypothesis import strategies as st

from steward.adapters.errors import DENIED, THROTTLED, translate, translated
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    DependencyError,
    RejectedError,
    StewardError,
    ThrottledError,
)


def answer(code: str, status: int = 400) -> ClientError:
    """Return botocore's error of an AWS answer."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": "told so"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "Operation",
    )


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, ThrottledError),
        ("TooManyRequestsException", 429, ThrottledError),
        ("SlowDown", 503, ThrottledError),
        ("TransactionConflictException", 400, ThrottledError),
        ("AccessDeniedException", 400, AccessDeniedError),
        ("AccessDenied", 403, AccessDeniedError),
        ("403", 403, AccessDeniedError),
        ("ExpiredTokenException", 400, AccessDeniedError),
        ("ConditionalCheckFailedException", 400, ConflictError),
        ("InternalServerError", 500, DependencyError),
        ("ServiceUnavailable", 503, DependencyError),
        ("ValidationException", 400, RejectedError),
        ("ResourceNotFoundException", 400, RejectedError),
        ("NoSuchBucket", 404, RejectedError),
    ],
)
def test_an_answer_is_translated_by_its_code(
    code: str, status: int, kind: type[StewardError]
) -> None:
    error = translate(answer(code, status), "read x")

    assert type(error) is kind
    assert str(error).startswith("read x: ")
    assert code in str(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url="https://x"), DependencyError),
        (ConnectTimeoutError(endpoint_url="https://x"), DependencyError),
        (ReadTimeoutError(endpoint_url="https://x"), DependencyError),
        (NoCredentialsError(), AccessDeniedError),
        (ParamValidationError(report="bad"), RejectedError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_botocore_says_is_translated_by_its_kind(
    error: Exception, kind: type[StewardError]
) -> None:
    with pytest.raises(kind, match="read x"), translated("read x"):
        raise error


def test_the_code_of_a_rejection_is_kept() -> None:
    with pytest.raises(RejectedError) as refused, translated("read x"):
        raise answer("ParameterNotFound")

    assert refused.value.value == "ParameterNotFound"


def test_errors_of_ours_and_of_the_program_pass_untouched() -> None:
    for error in (ConflictError("mine"), KeyError("theirs")):
        with pytest.raises(type(error)) as raised, translated("read x"):
            raise error
        assert raised.value is error


@given(code=st.text(max_size=30), status=st.integers(400, 599))
def test_every_answer_has_a_translation(code: str, status: int) -> None:
    error = translate(answer(code, status), "read x")

    if status >= 500 and code not in THROTTLED | DENIED:
        assert isinstance(error, DependencyError | ConflictError)
    assert isinstance(error, StewardError)


def test_no_code_is_both_throttled_and_denied() -> None:
    assert not THROTTLED & DENIED
