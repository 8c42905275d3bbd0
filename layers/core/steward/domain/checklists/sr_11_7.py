"""Model risk management of US banks: SR 11-7, and SR 26-2, which took its place."""

from __future__ import annotations

from steward.domain.checklists.lines import Checklist, Line

SR_11_7 = Checklist(
    standard="sr-11-7",
    title="SR 26-2 / SR 11-7, model risk management",
    source="Federal Reserve SR 11-7 and OCC 2011-12, 4 April 2011; superseded, with SR 21-8, by "
    "SR 26-2 and OCC Bulletin 2026-13, 17 April 2026",
    scope="Paragraphs are the sections of SR 11-7 with our own numbers within them. SR 26-2 states "
    "principles on the same subjects without such paragraphs, sets no enforceable standard and no "
    "yearly cycle, lets materiality (exposure and purpose) decide, is meant above all for banks "
    "with more than $30 billion, and leaves out generative and agentic AI, simple arithmetic and "
    "fixed rules; an examiner reads these lines under it.",
    lines=(
        Line("III.1", "Materiality, by exposure and purpose, decides how much is done",
             ("risk.tier", "risk.quorum", "use.purpose"),
             beside="the exposure: how much depends on its answers"),
        Line("IV.1", "Statement of purpose", ("use.purpose", "business.problem")),
        Line("IV.2", "Design, theory and logic",
             ("overview.algorithm", "overview.problem", "training.parameters")),
        Line("IV.3", "Data: quality, relevance, origin",
             ("training.dataset", "training.sources", "training.cutoff")),
        Line("IV.4", "Tests in development: accuracy, stability, limits",
             ("evaluation.rows", "evaluation.confidence", "use.limits")),
        Line("IV.5", "Behaviour over a range of inputs", ("evaluation.explanation",)),
        Line("IV.6", "Implementation is tested", ("evaluation.staging",)),
        Line("IV.7", "Use as intended, with judgement of people",
             ("use.intended", "use.out_of_scope", "use.oversight")),
        Line("IV.8", "Uncertainty is shown to users",
             ("evaluation.confidence", "use.recommendations")),
        Line("V.1", "Those who validate did not develop",
             ("overview.author", "approvals.decisions")),
        Line("V.2", "Conceptual soundness", ("overview.algorithm", "evaluation.explanation")),
        Line("V.3", "Ongoing monitoring", ("monitoring.columns", "monitoring.actions")),
        Line("V.4", "Benchmarking", ("evaluation.comparison",)),
        Line("V.5", "Outcomes analysis and back-testing", ("monitoring.labels",)),
        Line("V.6", "Periodic review: yearly in SR 11-7, as often as the risk asks in SR 26-2",
             ("risk.tier",), beside="`steward inventory`"),
        Line("V.7", "Parts of vendors are validated", ("training.environment",),
             beside="the vendor's own tests"),
        Line("VI.1", "Policies and procedures", ("evaluation.gate", "evaluation.reasons")),
        Line("VI.2", "Ownership and controls", ("overview.owner", "approvals.decisions")),
        Line("VI.3", "Internal audit", beside="the audit ledger and its verification"),
        Line("VI.4", "Inventory", ("overview.owner", "risk.tier"), beside="`steward inventory`"),
        Line("VI.5", "Documentation lets others understand and repeat",
             ("training.dataset", "training.code", "training.environment",
              "training.parameters")),
    ),
)  # fmt: skip
