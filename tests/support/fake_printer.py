"""Who prints cards, in memory: jobs by name, ended by the test."""

from __future__ import annotations

from dataclasses import dataclass, field

from steward.ports import Printing, PrintRequest
from support.fakes import FakeObjects


@dataclass
class FakeCardPrinter:
    """Keeps what was asked of it; ``refusal`` is raised at the next start."""

    objects: FakeObjects
    jobs: dict[str, Printing] = field(default_factory=dict)
    started: list[PrintRequest] = field(default_factory=list)
    refusal: Exception | None = None

    def find(self, request: PrintRequest) -> Printing | None:
        return self.jobs.get(request.name)

    def start(self, request: PrintRequest) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(request)
        self.jobs.setdefault(request.name, Printing("InProgress"))

    def finish(self, content: bytes = b"%PDF-1.4") -> str:
        """End the last job well and return where its PDF lies."""
        request = self.started[-1]
        uri = f"{request.target_uri}/card.pdf"
        self.objects.write(uri, content, "application/pdf")
        self.jobs[request.name] = Printing("Completed", uri)
        return uri

    def fail(self, reason: str) -> None:
        """End the last job badly."""
        self.jobs[self.started[-1].name] = Printing("Failed", reason=reason)
