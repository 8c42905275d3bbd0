"""The gate before the registry: a pure function of findings and policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steward.domain.digests import digest_of
from steward.domain.policy.findings import (
    ChampionFailed,
    Findings,
    Judgement,
    MetricFinding,
    RuleJudgement,
    RuleVerdict,
    SliceFinding,
    VersusChampion,
)
from steward.domain.policy.further_rules import (
    judge_bias,
    judge_data,
    judge_documentation,
    judge_evidence,
    judge_explanation,
    judge_stability,
)
from steward.domain.policy.requirements import Escalation, MetricGate, Requirements
from steward.domain.policy.ruling import Ruled, ruled

QUORUM_WHEN_INCONCLUSIVE = 2


def judge_policy(findings: Findings, requirements: Requirements) -> Judgement:
    """Judge a candidate by every rule, so that a report names everything.

    Rules, in this order:

    1. ``evidence.<part>``: each part that is required is there.
    2. ``gate.<metric>``: each bound, on the point estimate over all held-out rows. A metric that
       is undefined there holds.
    3. ``champion``: non-inferior within the margin passes, proved worse holds, and too little
       data to tell does what the tier says; letting it through needs an estimated difference
       below the margin. Not being better than the champion is no fault (STATISTICS 2 and 5). A
       champion that may have trained on held-out rows is not compared, and a second person must
       approve, or the candidate holds where the tier says so.
    4. ``slice``: a slice holds only when it is proved worse (STATISTICS 3).
    5. ``bias.<facet>.<metric>``: the whole interval inside the bound passes, the whole interval
       outside holds, and all else is inconclusive, as are fewer rows of the metric's own
       denominator than the policy's minimum (STATISTICS 33).
    6. ``stability``, ``explanation``, ``data``, ``documentation``.

    A rule that holds passes where a waiver in force names it, and says so.

    Args:
        findings: Of the candidate, with the waivers in force.
        requirements: The policy in force for the project, its own bounds merged in.
    """
    found: list[Ruled] = [
        *judge_evidence(findings, requirements),
        *_bounds(findings, requirements),
        *_champion(findings, requirements),
        *judge_bias(findings, requirements.bias),
        *judge_stability(findings, requirements.stability),
        *judge_explanation(findings, requirements.explanation),
        *judge_data(findings, requirements.data),
        *judge_documentation(findings, requirements.documentation),
    ]
    return _judgement(found, findings, requirements)


def judge_imported(findings: Findings, requirements: Requirements) -> Judgement:
    """Judge what came with an import, of a model that no job here has evaluated.

    ``bias`` and ``explanation`` are judged as a candidate's; where the tier requires one that did
    not come, a second person must approve. Performance is not judged: it was measured elsewhere,
    on rows of its own, and never compared with the version in production.

    Args:
        findings: Of what was brought, with the waivers in force.
        requirements: The policy in force for the project.
    """
    found: list[Ruled] = [
        rule if rule.verdict == "pass" else ruled(
            rule.rule, "inconclusive", f"{rule.message}: it did not come with the import", "quorum"
        )
        for rule in judge_evidence(findings, requirements)
        if rule.rule in ("evidence.bias", "evidence.explanation")
    ]  # fmt: skip
    found += judge_bias(findings, requirements.bias)
    found += judge_explanation(findings, requirements.explanation)
    return _judgement(found, findings, requirements)


def _judgement(found: Sequence[Ruled], findings: Findings, requirements: Requirements) -> Judgement:
    """Let waivers pass what they name, and conclude."""
    waivers = {waiver.rule: waiver for waiver in reversed(findings.waivers)}
    rules = []
    for rule in found:
        waiver = waivers.get(rule.rule)
        if rule.effect == "pass" or waiver is None:
            rules.append(
                RuleJudgement(
                    rule=rule.rule, verdict=rule.verdict, effect=rule.effect, message=rule.message
                )
            )
            continue
        told = (
            f"{rule.message}; waived by {waiver.by} until {waiver.expires_at}: {waiver.reason} "
            f"({waiver.waiver_id})"
        )
        rules.append(
            RuleJudgement(
                rule=rule.rule, verdict=rule.verdict, effect="pass", message=told,
                waived_by=waiver.waiver_id,
            )
        )  # fmt: skip
    effects = {rule.effect for rule in rules}
    quorum = requirements.quorum or 1
    if "quorum" in effects:
        quorum = max(quorum, QUORUM_WHEN_INCONCLUSIVE)
    verdict: RuleVerdict = "pass"
    if effects & {"quorum", "hold"}:
        verdict = "hold" if "hold" in effects else "inconclusive"
    return Judgement(
        verdict=verdict, rules=rules, quorum=quorum,
        inputs_digest=digest_of(
            {
                "findings": findings.model_dump(mode="json"),
                "requirements": requirements.model_dump(mode="json"),
            }
        ),
    )  # fmt: skip


def _bounds(findings: Findings, requirements: Requirements) -> Iterator[Ruled]:
    for bound in requirements.performance.bounds or ():
        yield _bound(bound, findings.metrics.get(bound.metric))


def _bound(gate: MetricGate, found: MetricFinding | None) -> Ruled:
    rule = f"gate.{gate.metric}"
    if found is None or found.value is None:
        why = (found.undefined_because if found else None) or "it was not measured"
        return ruled(rule, "hold", f"{gate.metric} is undefined: {why}")
    interval = ""
    if found.lower is not None and found.upper is not None:
        interval = f" (interval {found.lower:.4f} to {found.upper:.4f})"
    elif found.undefined_because:
        interval = f" (no interval: {found.undefined_because})"
    value = f"{gate.metric} {found.value:.4f}{interval}"
    if gate.min is not None and found.value < gate.min:
        return ruled(rule, "hold", f"{value} is below the minimum {gate.min:g}")
    if gate.max is not None and found.value > gate.max:
        return ruled(rule, "hold", f"{value} is above the maximum {gate.max:g}")
    return ruled(rule, "pass", f"{value} keeps its bound")


def _champion(findings: Findings, requirements: Requirements) -> Iterator[Ruled]:
    rules, found = requirements.performance, findings.champion
    if found is None:
        told = "no version is in production: the absolute gates alone decide"
        yield ruled("champion", "pass", told)
    elif isinstance(found, ChampionFailed) and found.saw_rows:
        # It answers, and by rows that it knows: nothing passes unseen where nothing was compared.
        seen_by = "quorum" if rules.champion_failed == "pass" else rules.champion_failed
        told = f"the held-out rows cannot judge the champion: {found.reason}"
        yield ruled("champion", "inconclusive", told, seen_by)
    elif isinstance(found, ChampionFailed):
        told = f"the champion does not answer the held-out rows: {found.reason}"
        yield ruled("champion", "inconclusive", told, rules.champion_failed)
    else:
        yield _versus(found, rules.inconclusive)
        yield from _slices(found.slices, requirements.slices.not_judged)


def _versus(found: VersusChampion, escalation: Escalation | None) -> Ruled:
    numbers = (
        f"difference in loss {found.difference:+.4f}, limits {found.lower:+.4f} to "
        f"{found.upper:+.4f}, margin {found.margin:g}, {found.rows} held-out rows"
    )
    if found.verdict == "pass":
        return ruled("champion", "pass", f"not worse than the champion: {numbers}")
    if found.verdict == "worse":
        return ruled("champion", "hold", f"proved worse than the champion: {numbers}")
    if escalation in ("pass", "quorum") and found.difference < found.margin:
        through = "let through" if escalation == "pass" else "let through to two people"
        told = f"not proved non-inferior, {through} by the tier: {numbers}"
        if found.undecided_because:
            told += f" ({found.undecided_because})"
        return ruled("champion", "inconclusive", told, escalation)
    told = f"too little data to prove it is not worse than the champion: {numbers}"
    if found.undecided_because:
        told += f" ({found.undecided_because})"
    return ruled("champion", "inconclusive", told, "hold")


def _slices(slices: Sequence[SliceFinding], not_judged: Escalation | None) -> Iterator[Ruled]:
    for found in slices:
        if found.verdict == "proved_worse":
            told = (
                f"{found.column} {found.value}: proved worse on {found.rows} rows, "
                f"difference in loss {found.difference:+.4f}"
            )
            yield ruled(f"slice.{found.column}", "hold", told)
        elif found.verdict == "not_judged" and not_judged in ("quorum", "hold"):
            told = f"{found.column} {found.value}: {found.rows} rows are too few to judge"
            yield ruled(f"slice.{found.column}", "inconclusive", told, not_judged)
    worse = any(found.verdict == "proved_worse" for found in slices)
    if slices and not worse:
        judged = sum(found.verdict == "not_proved_worse" for found in slices)
        thin = len(slices) - judged
        told = f"no slice is proved worse: {judged} judged, {thin} too thin to judge"
        yield ruled("slice", "pass", told)
