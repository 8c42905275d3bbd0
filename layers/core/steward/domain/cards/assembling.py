"""Making a card of the evidence of one version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from steward.domain.cards.card import Card, Group, Section, Source, Statement, Value, read_card
from steward.domain.cards.evidence_rows import (
    bias_groups,
    champion_group,
    comparison_group,
    explanation_group,
    finite,
    listed,
    metrics_of,
    printable,
    simple_group,
    slices_group,
    training_text,
)
from steward.domain.digests import digest_of
from steward.domain.errors import EvidenceIncompleteError

if TYPE_CHECKING:
    from steward.domain.monitoring.declaration import Labels
    from steward.domain.project import Project

RISK_RATING = {"minimal": "Low", "limited": "Medium", "high": "High"}
"""A project's tier as SageMaker's risk rating."""

DOCUMENTS = ("manifest", "evaluation", "comparison", "bias", "explanation", "smoke")


@dataclass(frozen=True)
class Document:
    """A piece of evidence that is an object.

    Attributes:
        source: Its place and digest.
        content: Its parsed JSON; None where it is not read, such as a model artifact.
    """

    source: Source
    content: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Known:
    """All that is known of a version when its card is made.

    Attributes:
        item: The version's record.
        project: Its configuration as the run pinned it.
        documents: Evidence by name: ``artifact`` and those of ``DOCUMENTS``.
    """

    item: Mapping[str, Any]
    project: Project
    documents: Mapping[str, Document]
    staging: Mapping[str, Any] = field(default_factory=dict)

    def content(self, name: str) -> Mapping[str, Any] | None:
        """Return a document's content, if the evidence has it."""
        found = self.documents.get(name)
        return found.content if found else None


def assemble(known: Known) -> Card:
    """Return the card of a version.

    Raises:
        CardInvalidError: The evidence holds a number that is not finite.
        EvidenceIncompleteError: There is no evaluation to make a card of.
    """
    if known.content("evaluation") is None:
        raise EvidenceIncompleteError(
            "a card needs the evaluation of its version", field="evaluation",
            allowed="evaluation.json of the run",
        )  # fmt: skip
    maker = _Maker(known)
    sections = [
        _overview(maker), _intended_use(maker), _business(maker), _training(maker),
        _evaluation(maker), _risk(maker), unproven_approvals(), _monitoring(maker),
    ]  # fmt: skip
    card = Card.model_construct(
        project=str(known.item["project"]),
        version=int(known.item["version"]),
        model_package_arn=str(known.item["model_package_arn"]),
        sources=maker.used(sections),
        sections=sections,
    )
    return read_card(card.model_dump())


class _Maker:
    """Statements with the sources that they name."""

    def __init__(self, known: Known) -> None:
        self.known = known
        item, project = known.item, known.project
        self.sources = {name: found.source for name, found in known.documents.items()}
        for name, key in (("configuration", "config_digest"), ("code", "code_digest")):
            if len(str(item[key])) == 64:  # an imported version may have none
                self.sources[name] = Source(name=name, sha256=str(item[key]))
        image = str(item["job_image"]).rpartition("sha256:")[2]
        if len(image) == 64:
            self.sources["job image"] = Source(
                name="job image", sha256=image, uri=str(item["job_image"])
            )
        gate = item.get("gate") or {}
        self.sources["gate"] = Source(name="gate", sha256=digest_of(dict(gate)))
        self.project = project

    def used(self, sections: Sequence[Section]) -> list[Source]:
        names = {n for section in sections for s in section.statements for n in s.sources}
        names |= {group.source for section in sections for group in section.groups}
        return [self.sources[name] for name in sorted(names)]

    def say(
        self, path: str, label: str, value: Value | None, *sources: str, missing: str = ""
    ) -> Statement:
        if value is None or value in ("", []) or not all(name in self.sources for name in sources):
            absent = [name for name in sources if name not in self.sources]
            wanted = missing or f"{' and '.join(absent or sources)} does not say it"
            return Statement(field=path, label=label, missing=wanted)
        shown: Value = value
        if isinstance(value, list):
            shown = [printable(line) for line in value]
        elif isinstance(value, str):
            shown = printable(value)
        return Statement(field=path, label=label, value=shown, sources=list(sources))

    def declared(self, path: str, label: str, value: Value | None, key: str) -> Statement:
        return self.say(
            path, label, value, "configuration", missing=f"`card.{key}` in project.yaml"
        )


def _overview(maker: _Maker) -> Section:
    item, project, card = maker.known.item, maker.project, maker.project.card
    artifact = maker.sources.get("artifact")
    author = str(item.get("author") or "")
    statements = [
        maker.say("overview.description", "Description", project.description, "configuration",
                  missing="`description` in project.yaml"),
        maker.say("overview.owner", "Owner", project.owner, "configuration"),
        maker.declared("overview.contact", "Contact", card.contact, "contact"),
        maker.say("overview.author", "Author of code and configuration",
                  None if author in ("", "unknown") else author, "code",
                  missing="a commit by a verified person"),
        maker.say("overview.problem", "Problem", "binary classification", "evaluation"),
        maker.declared("overview.algorithm", "Algorithm", card.algorithm, "algorithm"),
        maker.say("overview.artifact", "Model artifact", artifact.uri if artifact else None,
                  "artifact"),
    ]  # fmt: skip
    return Section(name="overview", title="Overview", statements=statements)


def _intended_use(maker: _Maker) -> Section:
    card = maker.project.card
    statements = [
        maker.declared("use.purpose", "Purpose", card.purpose, "purpose"),
        maker.declared("use.intended", "Intended uses", card.intended_uses, "intended_uses"),
        maker.declared("use.out_of_scope", "Out of scope", card.out_of_scope, "out_of_scope"),
        maker.declared("use.limits", "Limits", card.limits, "limits"),
        maker.declared("use.ethics", "Ethical considerations", card.ethical_considerations,
                       "ethical_considerations"),
        maker.declared("use.recommendations", "Recommendations", card.recommendations,
                       "recommendations"),
        maker.declared("use.oversight", "Human oversight", card.human_oversight,
                       "human_oversight"),
    ]  # fmt: skip
    return Section(name="use", title="Intended use", statements=statements)


def _business(maker: _Maker) -> Section:
    card = maker.project.card
    statements = [
        maker.declared("business.problem", "Business problem", card.business_problem,
                       "business_problem"),
        maker.declared("business.stakeholders", "Stakeholders", card.stakeholders, "stakeholders"),
        maker.declared("business.line", "Line of business", card.line_of_business,
                       "line_of_business"),
    ]  # fmt: skip
    return Section(name="business", title="Business details", statements=statements)


def _split_text(project: Project) -> str:
    """Return who trains and who judges."""
    split = project.split
    if split.by == "time":
        return (
            f"by time: the latest {split.horizon_days} days judge, what was asked for and known "
            f"before trains; traffic {split.traffic:g} of the entities"
        )
    return f"of entities: traffic {split.traffic:g}, held out {split.heldout:g}, the rest trains"


def _training(maker: _Maker) -> Section:
    item, project = maker.known.item, maker.project
    manifest = maker.known.content("manifest") or {}
    rows = manifest.get("rows")
    origin = [f"s3://{s['bucket']}/{s['key']}" for s in manifest.get("sources") or []]
    parameters = [f"{name} = {value}" for name, value in project.training.hyperparameters.items()]
    dataset = maker.sources.get("manifest")
    statements = [
        maker.say("training.dataset", "Dataset", dataset.uri if dataset else None, "manifest"),
        maker.say("training.rows", "Rows of the dataset",
                  None if rows is None else int(finite(rows, "manifest.rows") or 0), "manifest"),
        maker.say("training.sources", "Deliveries", listed(origin), "manifest"),
        maker.say("training.cutoff", "Known until", str(manifest.get("cutoff") or ""), "manifest"),
        maker.say("training.split", "Split", _split_text(project), "configuration"),
        maker.say("training.features", "Features",
                  listed([f"{c.name} ({c.type})" for c in project.model_features]),
                  "configuration"),
        maker.say("training.label", "Label", project.data.label.name, "configuration"),
        maker.say("training.parameters", "Hyperparameters",
                  listed(parameters, 100), "configuration",
                  missing="`training.hyperparameters` in project.yaml"),
        maker.say("training.environment", "Environment", str(item["job_image"]), "job image",
                  missing="a job image that is named by its digest"),
        maker.say("training.code", "Code", f"digest {item['code_digest']}", "code"),
        maker.say("training.run", "Run", str(item["run_id"]), "configuration", "code"),
    ]  # fmt: skip
    return Section(name="training", title="Training", statements=statements)


def _evaluation(maker: _Maker) -> Section:
    known = maker.known
    evaluation = known.content("evaluation") or {}
    comparison = known.content("comparison") or {}
    bias, explanation = known.content("bias"), known.content("explanation")
    staged, gate = known.staging, known.item.get("gate") or {}
    judged = bias_groups(bias) if bias is not None else []
    facets = [group.name.removeprefix("bias: ") for group in judged]
    heldout = str(evaluation.get("heldout_sha256") or "")
    statements = [
        maker.say("evaluation.rows", "Held-out rows", evaluation.get("rows"), "evaluation"),
        maker.say("evaluation.heldout", "Held-out file", heldout and f"digest {heldout}",
                  "evaluation"),
        maker.say("evaluation.confidence", "Level of the intervals",
                  finite(evaluation.get("confidence"), "evaluation.confidence"), "evaluation"),
        maker.say("evaluation.comparison", "Against the version in production",
                  _compared(comparison, known.item), "comparison"),
        maker.say("evaluation.gate", "Gate", gate.get("verdict"), "gate"),
        maker.say("evaluation.reasons", "Reasons of the gate",
                  listed([str(reason) for reason in gate.get("reasons") or []]), "gate"),
        maker.say("evaluation.bias", "Bias", None if bias is None else
                  f"{bias.get('verdict')}: {', '.join(listed(facets))}", "bias",
                  missing="bias.json: `bias` in project.yaml"),
        maker.say("evaluation.explanation", "Explanations", None if explanation is None else
                  f"{explanation.get('method')} on {explanation.get('rows')} rows", "explanation",
                  missing="explanation.json of the evaluation"),
        maker.say("evaluation.staging", "Answers in staging",
                  f"{staged.get('passed')} of {staged.get('checks')} checks passed"
                  if staged else None, "smoke", missing="a smoke test in staging"),
    ]  # fmt: skip
    if compared := training_text(evaluation):
        label = "Built-in model, on training rows left out"
        statements.append(maker.say("evaluation.training", label, compared, "evaluation"))
    metrics = Group(
        name="metrics", title="Metrics on held-out rows", axis="metric", source="evaluation",
        estimates=metrics_of(evaluation),
    )  # fmt: skip
    groups: list[Group | None] = [
        metrics,
        champion_group(evaluation),
        simple_group(evaluation),
        comparison_group(comparison),
        slices_group(evaluation),
        *judged,
        explanation_group(explanation) if explanation is not None else None,
    ]
    return Section(
        name="evaluation", title="Evaluation", statements=statements,
        groups=[group for group in groups if group is not None],
    )  # fmt: skip


def _compared(comparison: Mapping[str, Any], item: Mapping[str, Any]) -> str | None:
    status = comparison.get("status")
    if status == "compared":
        return f"{comparison.get('verdict')} against version {item.get('champion_version')}"
    if status == "champion_failed":
        return f"not compared: {str(comparison.get('champion_failure') or '')[:300]}"
    return "no version was in production" if status == "no_champion" else None


def _risk(maker: _Maker) -> Section:
    project = maker.project
    statements = [
        maker.say("risk.tier", "Risk tier", project.risk_tier, "configuration"),
        maker.say("risk.rating", "Risk rating", RISK_RATING[project.risk_tier], "configuration"),
        maker.declared("risk.explanation", "Why", project.card.risk_explanation,
                       "risk_explanation"),
        maker.say("risk.quorum", "Approvals needed", int(maker.known.item.get("quorum") or 1),
                  "configuration"),
    ]  # fmt: skip
    return Section(name="risk", title="Risk rating", statements=statements)


def unproven_approvals() -> Section:
    """Return the approvals of a card that nobody has decided on."""
    missing = "a decision, which is made after this card is frozen"
    return Section(
        name="approvals",
        title="Approvals",
        statements=[
            Statement(field="approvals.state", label="State", missing=missing),
            Statement(field="approvals.decisions", label="Decisions", missing=missing),
        ],
    )


def _margin(labels: Labels) -> str:
    if labels.margin is not None:
        return f"{labels.margin:g}"
    return f"{labels.relative_margin:.0%} of that of held-out rows"


def _monitoring(maker: _Maker) -> Section:
    monitoring = maker.project.monitoring
    watched = monitoring.columns or [c.name for c in maker.project.model_features]
    actions = monitoring.actions.model_dump()
    rows = maker.project.alarms
    statements = [
        maker.say("monitoring.columns", "Watched for drift", listed([*watched]), "configuration"),
        maker.say("monitoring.window", "Window", f"{monitoring.window_s} s", "configuration"),
        maker.say("monitoring.baseline", "Baseline",
                  maker.sources["baseline"].uri if "baseline" in maker.sources else None,
                  "baseline", missing="baseline.json of the evaluation"),
        maker.say("monitoring.labels", "Performance", f"{monitoring.labels.metric}, margin "
                  f"{_margin(monitoring.labels)}", "configuration"),
        maker.say("monitoring.groups", "Groups compared", listed([*monitoring.labels.groups]),
                  "configuration", missing="`monitoring.labels.groups` in project.yaml"),
        maker.say("monitoring.actions", "What follows an alarm",
                  [f"{kind}: {action}" for kind, action in actions.items()], "configuration"),
        maker.say("monitoring.alarms", "In a release", f"{rows.errors.threshold} errors in "
                  f"{rows.errors.period_s} s or p95 above {rows.latency.threshold_ms} ms",
                  "configuration"),
    ]  # fmt: skip
    return Section(name="monitoring", title="Monitoring", statements=statements)
