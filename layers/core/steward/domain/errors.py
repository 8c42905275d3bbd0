"""The one error tree. A class name is what Step Functions sees in ``ErrorEquals``."""

from __future__ import annotations


class StewardError(Exception):
    """Base of all errors that Steward raises on purpose."""


class RetryableError(StewardError):
    """Trying again later may succeed: throttling, a dependency not ready yet."""


class RejectedError(StewardError):
    """The request can never succeed as it is; retrying is pointless.

    Args:
        message: A sentence for a person: what is wrong.
        field: Path of the value at fault, such as ``release.steps[0]``.
        value: The value at fault.
        allowed: What would be accepted.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: object = None,
        allowed: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.value = value
        self.allowed = allowed

    def as_dict(self) -> dict[str, object]:
        """Return the parts that are known, for an answer or a log line."""
        parts = {"field": self.field, "value": self.value, "allowed": self.allowed}
        known = {name: part for name, part in parts.items() if part is not None}
        return {"error": type(self).__name__, "message": self.message, **known}


WHOLE = "$"
"""The field of a fault that is of a document as a whole, in answers and logs."""


def placed(field: str, told: str) -> str:
    """Return what is wrong with its place before it; a whole document is no place for people."""
    return told if field in (WHOLE, "") else f"{field}: {told}"


class ConflictError(StewardError):
    """Somebody else changed the state first: a lost race, not a fault."""


class MalformedEventError(RejectedError):
    """An event or task input does not have the shape of its contract."""


class InvalidProjectError(RejectedError):
    """``project.yaml`` is not valid; ``field`` is the path of the key."""


class InvalidPolicyError(RejectedError):
    """``policy.yaml`` is not valid or contradicts itself; ``field`` is the path of the key."""


class WaiverNotFoundError(RejectedError):
    """The project has no such waiver."""


class RunNotFoundError(RejectedError):
    """The project has no such run."""


class InvalidWaiverError(RejectedError):
    """A waiver is not possible: its rule, its time or its scope."""


class ProjectNotFoundError(RejectedError):
    """No project of that name is configured."""


class JobImageMissingError(RejectedError):
    """No job image digest is known yet: ``steward image build`` has not run."""


class CommitNotFoundError(RejectedError):
    """The repository has no such commit, or not on the branch that is integrated."""


class ArchiveRefusedError(RejectedError):
    """A source archive holds what is never unpacked; ``field`` is the member's name."""


class SourceRefusedError(RejectedError):
    """The files of a commit cannot be had: a host, a redirect, a size or an answer."""


class ProjectTestsFailedError(RejectedError):
    """The project's own tests failed; the message names them."""


class RehearsalFailedError(RejectedError):
    """The code trains no model on the sample, or that model breaks its contract."""


class CommitSupersededError(ConflictError):
    """A later commit of the branch came before this one could become the project's."""


class UnreadableFileError(RejectedError):
    """A delivered file is not of the declared format."""


class DeliveryNotFoundError(RejectedError):
    """The project has no such delivery."""


class BatchNotFoundError(RejectedError):
    """The project has no such batch."""


class DatasetRejectedError(RejectedError):
    """Every delivery of a run broke a rule; nothing is left to train on."""


class NothingToTrainOnError(RejectedError):
    """No delivery of a run is new and usable, and it is not this run that rejected them."""


class DatasetTooSmallError(RejectedError):
    """A split holds fewer rows than the project demands."""


class EvidenceIncompleteError(RejectedError):
    """An artifact that the evidence needs is missing or differs from its digest."""


class VersionNotFoundError(RejectedError):
    """The project has no such version."""


class IllegalTransitionError(RejectedError):
    """The registry does not allow this change of a version's state."""


class ApprovalRefusedError(RejectedError):
    """The decision is refused: author, digest, expiry or state does not allow it."""


class NotAuthorizedError(RejectedError):
    """The verified caller may not do this."""


class StagingFailedError(RejectedError):
    """The staged version failed its smoke test."""


class EndpointFailedError(RejectedError):
    """SageMaker reports the endpoint as Failed, or it did not come into service in time."""


class ReleaseNotAllowedError(RejectedError):
    """The release plan is not possible, or the version is not approved."""


class FeatureGroupNotFoundError(RejectedError):
    """The project has no such version of a feature group, or SageMaker has none for it."""


class FeatureRecordRefusedError(RejectedError):
    """A streamed row broke a rule of its source; it is kept in quarantine."""


class FeatureWindowError(RejectedError):
    """The window of an entity has more rows than the aggregate declares."""


class BudgetExceededError(RejectedError):
    """A run may cost more than the project's budget allows."""


class UnknownPriceError(RejectedError):
    """The price table does not list what was used."""


class ReleaseWithdrawnError(RejectedError):
    """A first version proved harmful, and there is none before it to go back to."""


class InvalidStatisticsError(RejectedError):
    """Frozen statistics of an experiment that no data can have: NaN, negative, contradictory."""


class MethodRefusedError(RejectedError):
    """A statistical method is not valid for the design, such as a z-test on a bandit."""


class NoStableVersionError(RejectedError):
    """The project has no version in production that could score a batch."""


class BatchInputRefusedError(RejectedError):
    """The input of a batch is missing, unreadable, empty or breaks the rules of requests."""


class ScoresRejectedError(RejectedError):
    """What a transform job left is no whole and possible result; nothing of it is delivered."""


class ReleaseEndedError(ConflictError):
    """The release was ended by somebody else, for instance by a rollback."""


class RouteConflictError(ConflictError):
    """The route changed between reading and writing it."""


class LockHeldError(ConflictError):
    """Another run or release of the project holds the lease."""


class ThrottledError(RetryableError):
    """An AWS service asked to slow down."""


class DependencyError(RetryableError):
    """An AWS service failed in a way that may pass."""


class FeaturesPendingError(RetryableError):
    """An accepted delivery is still being made into the features that a dataset joins."""


class AccessDeniedError(StewardError):
    """An AWS service refused the role; retrying does not help, a policy must change."""


class CardInvalidError(RejectedError):
    """A model card breaks a limit of its schema, or states something that no evidence can."""
