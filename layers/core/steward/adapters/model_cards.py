"""SageMaker Model Cards."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from steward.adapters.errors import code_of, translated
from steward.domain.errors import ConflictError
from steward.ports import StoredCard


class SageMakerModelCards:
    """Model cards by name.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelCard.html
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, name: str) -> StoredCard | None:
        """Return a card's newest version, None where there is none."""
        with translated(f"describe the card {name}"):
            try:
                found = self._client.describe_model_card(ModelCardName=name)
            except ClientError as error:
                if code_of(error) in ("ResourceNotFound", "ResourceNotFoundException"):
                    return None
                raise
        return StoredCard(
            found["Content"], found["ModelCardStatus"], int(found["ModelCardVersion"])
        )

    def create(self, name: str, content: str, status: str) -> None:
        """Create a card; AWS calls a name that is taken a conflict."""
        with translated(f"create the card {name}"):
            try:
                self._client.create_model_card(
                    ModelCardName=name, Content=content, ModelCardStatus=status
                )
            except ClientError as error:
                if code_of(error) == "ConflictException":
                    raise ConflictError(f"there is a card {name}") from None
                raise

    def set_content(self, name: str, content: str) -> None:
        """Make a new version; content and status cannot change in one call."""
        with translated(f"write the card {name}"):
            try:
                self._client.update_model_card(ModelCardName=name, Content=content)
            except ClientError as error:
                if code_of(error) == "ConflictException":
                    raise ConflictError(f"{name} cannot be written now") from None
                raise

    def set_status(self, name: str, status: str) -> None:
        """Set the status of the newest version."""
        with translated(f"set the card {name} to {status}"):
            self._client.update_model_card(ModelCardName=name, ModelCardStatus=status)
