"""Mails about decisions: asked for, taken, missed and made around Steward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.mails.layout import (
    Letter,
    Where,
    bullets,
    commands,
    facts,
    letter,
    moment,
    number,
    object_link,
    paragraph,
    percent,
    shortened,
    signed,
    table,
)
from steward.domain.mails.training import REUSED
from steward.domain.model_summary import MetricValue, ModelSummary, SliceValue

_VERDICTS = {
    "proved_worse": "PROVED WORSE",
    "not_proved_worse": "not proved worse",
    "not_judged": "too few rows to judge",
}


class MovedBy(BaseModel):
    """A feature with its share of what moves the answers."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    name: str
    share: float


class ToldSummary(ModelSummary):
    """What ``ApprovalRequested`` carries for its readers."""

    description: str = ""
    owner: str
    risk_tier: str = ""
    author: str
    run_id: str
    gate: list[str] = Field(default_factory=list)
    bias: list[str] = Field(default_factory=list)
    escalated: list[str] = Field(default_factory=list)
    waivers: list[str] = Field(default_factory=list)
    policy: str | None = None
    staging: dict[str, Any] = Field(default_factory=dict)
    moved_by: list[MovedBy] = Field(default_factory=list)


def approval_requested(
    where: Where,
    version: int,
    told: ToldSummary,
    *,
    evidence_digest: str,
    evidence_uri: str,
    expires_at: str,
    quorum: int,
    reused: Sequence[str] = (),
) -> Letter:
    """Ask for a decision, with everything that it needs."""
    name = f"{where.project} {version}"
    approve = "1 person" if quorum == 1 else f"{quorum} people"
    approve += " other than its author " + ("approves" if quorum == 1 else "approve")
    return letter(
        where,
        f"{name} waits for approval until {moment(expires_at)[:16]} UTC",
        paragraph(
            f"Version {version} of {where.project} is trained, evaluated and tested in staging. "
            f"It goes into production when {approve} exactly this evidence."
        ),
        facts(
            "What it is",
            [
                ("Project", _described(where.project, told.description)),
                ("Owner", told.owner),
                ("Author", told.author),
                ("Risk tier", told.risk_tier),
                ("Training run", told.run_id),
                *_moved(told.moved_by),
                (
                    "In production",
                    f"version {told.champion_version}" if told.champion_version else "nothing yet",
                ),
            ],
        ),
        bullets(REUSED, reused),
        _metrics(version, told),
        _comparison(told),
        _slices(told),
        bullets("Bias, by facet", told.bias),
        _gate(told),
        _staging(told.staging),
        facts(
            "Evidence",
            [
                ("Digest", evidence_digest),
                ("Open until", moment(expires_at)),
                ("Approvals", f"{quorum} needed"),
            ],
        ),
        commands(
            "To read it and to decide",
            f"steward card open {where.project} {version}",
            f"steward report open {evidence_uri}",
            f"steward approve {where.project} {version}",
            f'steward reject {where.project} {version} -m "why"',
        ),
        commands("In the console", object_link(where, evidence_uri)),
    )


def _moved(features: list[MovedBy]) -> list[tuple[str, str]]:
    told = ", ".join(f"{one.name} {one.share * 100:.0f} %" for one in features)
    return [("Moved most by", told)] if told else []


def _gate(told: ToldSummary) -> str:
    """Name verdicts first: what needs a second person, and what passed by a waiver."""
    said = bullets("What the gate said", told.gate)
    notes = [f"asks for a second person: {rule}" for rule in told.escalated]
    notes += [f"let through by waiver {waiver}" for waiver in told.waivers]
    if told.policy:
        notes.append(f"judged by policy {told.policy}")
    return said + "\n" + "\n".join(f"  {note}" for note in notes) if notes else said


def _described(project: str, description: str) -> str:
    return f"{project}: {description}" if description else project


def _interval(metric: MetricValue, room: int = 40) -> str:
    if metric.value is None:
        return shortened(metric.undefined_because or "", room)
    if metric.lower is None or metric.upper is None:
        return "none" if metric.undefined_because else ""
    return f"{number(metric.lower)} to {number(metric.upper)}"


def _metrics(version: int, told: ToldSummary) -> str:
    champion = {metric.metric: metric for metric in told.champion_metrics}
    header = ["", f"version {version}", "interval"]
    if champion:
        header += [f"version {told.champion_version}", "interval"]
    rows = []
    for metric in told.metrics:
        row = [metric.metric, number(metric.value), _interval(metric, 18 if champion else 40)]
        if champion:
            beside = champion.get(metric.metric)
            row += [number(beside.value), _interval(beside, 18)] if beside else ["", ""]
        rows.append(row)
    title = f"On {told.rows} held-out rows ({percent(told.confidence)} bootstrap intervals)"
    without = dict.fromkeys(
        metric.undefined_because
        for metric in told.metrics
        if metric.value is not None and metric.lower is None and metric.undefined_because
    )
    notes = [paragraph(f"No interval: {why}", "  ") for why in without]
    return "\n".join([table(title, header, rows), *notes])


def _comparison(told: ToldSummary) -> str:
    found = told.comparison
    if found is None:
        why = (
            "No version is in production to compare with."
            if told.champion_version is None
            else f"There is no comparison with version {told.champion_version}: "
            f"{shortened(told.champion_failure or 'no answer', 300)}"
        )
        return f"Against the version in production\n{paragraph(why, '  ')}"
    better = " It is proved better." if found.superior else ""
    sentences = {
        "pass": f"Not worse than version {told.champion_version} within the margin.{better}",
        "worse": f"Proved worse than version {told.champion_version}.",
        "inconclusive": "Too little data to prove that it is not worse.",
    }
    return facts(
        f"Against version {told.champion_version}, row by row (smaller {found.loss} is better)",
        [
            ("Verdict", f"{found.verdict}: {sentences[found.verdict]}"),
            (f"Mean {found.loss}", f"{number(found.candidate_loss)} against "
             f"{number(found.champion_loss)} on the same {found.rows} rows"),
            ("Difference", f"{signed(found.difference)} ({signed(found.lower)} to "
             f"{signed(found.upper)}, one-sided {percent(found.confidence)} limits)"),
            ("Margin", f"{found.margin:g}: a candidate may lose less than this"),
        ],
    )  # fmt: skip


def _slices(told: ToldSummary) -> str:
    if not told.slices:
        return ""
    compared = told.comparison is not None
    metric = next((part.metric.metric for part in told.slices if part.metric), "metric")
    header = ["slice", "rows", "difference" if compared else metric, "verdict"]
    if not compared:
        header[3] = "interval"
    rows = [_slice_row(part, compared) for part in told.slices]
    text = table("Slices, worst first" if compared else "Slices", header, rows)
    if told.slices_left_out:
        text += f"\n  and {told.slices_left_out} more in the evidence"
    return text


def _slice_row(part: SliceValue, compared: bool) -> list[str]:
    name = shortened(f"{part.column}: {part.value}", 30)
    if compared:
        return [name, str(part.rows), signed(part.difference), _VERDICTS[part.verdict or ""]]
    shown = _interval(part.metric) if part.metric else ""
    if part.verdict == "not_judged":
        shown = _VERDICTS["not_judged"]
    return [name, str(part.rows), number(part.metric.value if part.metric else None), shown]


def _staging(staging: dict[str, Any]) -> str:
    pairs: list[tuple[str, object]] = []
    if "checks" in staging:
        checks = f"{staging.get('passed')} of {staging['checks']} passed"
        pairs.append(("Smoke test", f"{checks}, against recorded examples and bad input"))
    if staging.get("latency_ms_p95") is not None:
        pairs.append(("Latency", f"p95 {staging['latency_ms_p95']:.0f} ms"))
    known = {"checks", "passed", "latency_ms_p95"}
    pairs += [(key, value) for key, value in sorted(staging.items()) if key not in known]
    return facts("In staging", pairs)


def approved(where: Where, version: int, approvers: Sequence[str], digest: str) -> Letter:
    """Tell the owner that a version may go into production."""
    return letter(
        where,
        f"{where.project} {version} is approved",
        paragraph(
            f"Version {version} of {where.project} is approved; its release starts by itself, "
            "or waits behind the one that is running."
        ),
        facts("Decision", [("Approved by", ", ".join(approvers)), ("Evidence", digest)]),
        commands("To follow it", f"steward release show {where.project}"),
    )


def rejected(where: Where, version: int, by: str, comment: str, digest: str) -> Letter:
    """Tell the owner that a version will not go into production, and why."""
    return letter(
        where,
        f"{where.project} {version} is rejected",
        paragraph(
            f"Version {version} of {where.project} is rejected and will not be released. What "
            "answers in production stays as it is."
        ),
        facts(
            "Decision",
            [
                ("Rejected by", by),
                ("Why", shortened(comment) or "no comment was left"),
                ("Evidence", digest),
            ],
        ),
        commands(
            "To see what was decided on, and to train another",
            f"steward versions show {where.project} {version}",
            "steward project add FOLDER",
        ),
    )


def promotion_refused(
    where: Where, version: int, *, environment: str, by: str, error: str, message: str
) -> Letter:
    """Tell the owner that the next environment refused a version, and why."""
    return letter(
        where,
        f"{environment} refused {where.project} {version}",
        paragraph(
            f"Version {version} of {where.project} was offered to {environment} and refused there. "
            "Nothing of it is registered there, and nothing changes here."
        ),
        facts("Refusal", [("Asked for by", by), ("Error", error), ("Why", shortened(message))]),
        commands(
            "To offer it again when that is mended",
            f"steward versions promote {where.project} {version} --to {environment}",
        ),
    )


def expired(where: Where, version: int, expired_at: str) -> Letter:
    """Tell the owner that nobody decided in time."""
    return letter(
        where,
        f"approval of {where.project} {version} has expired",
        paragraph(
            f"Version {version} of {where.project} was not decided on before "
            f"{moment(expired_at)}. It will not be released, and its evidence cannot be approved "
            "any more. The next run that passes the gate asks again; the time that a request "
            "stays open is approval.lifetime_s in project.yaml."
        ),
        commands("To see it", f"steward versions show {where.project} {version}"),
    )


def superseded(where: Where, version: int, newer: int) -> Letter:
    """Tell the owner that a newer version made a request void."""
    return letter(
        where,
        f"approval of {where.project} {version} is void: version {newer} was approved",
        paragraph(
            f"Version {version} of {where.project} was judged against what version {newer}, "
            "approved meanwhile, replaces. It can no longer be approved. The next run that "
            "passes the gate asks again."
        ),
        commands("To see both", f"steward versions list {where.project}"),
    )


def reminder(where: Where, version: int, *, expires_at: str, missing: int, digest: str) -> Letter:
    """Remind approvers of a request before it expires."""
    people = "1 approval" if missing == 1 else f"{missing} approvals"
    return letter(
        where,
        f"reminder: {where.project} {version} waits for approval until "
        f"{moment(expires_at)[:16]} UTC",
        paragraph(
            f"Version {version} of {where.project} still needs {people}. After "
            f"{moment(expires_at)} the request expires, and only a new run asks again."
        ),
        facts("Evidence", [("Digest", digest), ("Open until", moment(expires_at))]),
        commands(
            "To read it and to decide",
            f"steward card open {where.project} {version}",
            f"steward approve {where.project} {version}",
            f'steward reject {where.project} {version} -m "why"',
        ),
    )


def bypassed(
    where: Where, version: int, *, arn: str, found: str, restored: str, actor: str
) -> Letter:
    """Tell approvers and on-call that somebody set a status around Steward."""
    return letter(
        where,
        f"approval of {where.project} {version} was made around Steward",
        paragraph(
            f"Version {version} of {where.project} was set to {found} in SageMaker Model "
            "Registry without an approval on record. It has been set back, and no release was "
            "started: only a decision through Steward starts one."
        ),
        facts(
            "What happened",
            [
                ("Model package", arn),
                ("Found", found),
                ("Set back to", restored),
                (
                    "Set by",
                    actor
                    if actor not in ("steward", "unknown")
                    else "not told by SageMaker; CloudTrail's UpdateModelPackage knows",
                ),
            ],
        ),
        bullets(
            "What to do",
            [
                "Ask whoever did it to decide with `steward approve`, if it was meant well.",
                "Take sagemaker:UpdateModelPackage from people: apply_decision alone needs it.",
            ],
        ),
        commands("To see the record", f"steward versions show {where.project} {version}"),
    )


def review_due(
    where: Where, *, tier: str, owner: str, production: int | None, last_review: str | None,
    due: str,
) -> Letter:  # fmt: skip
    """Ask for the review that a model's tier demands."""
    return letter(
        where,
        f"{where.project} is due for review since {moment(due)[:10]}",
        paragraph(
            f"A model of tier {tier} is reviewed again and again as long as it is kept. Nothing "
            "stops by itself: a person looks at the card, the checklists and what monitoring "
            "says, and records it."
        ),
        facts(
            "What it is",
            [
                ("Project", where.project),
                ("Owner", owner),
                ("In production", f"version {production}" if production else "nothing yet"),
                ("Last review", moment(last_review) if last_review else "none"),
                ("Due", moment(due)),
            ],
        ),
        commands(
            "To look and to record it",
            *([f"steward card open {where.project} {production}"] if production else []),
            "steward inventory list",
            f'steward inventory review {where.project} --note "what you found"',
        ),
    )
