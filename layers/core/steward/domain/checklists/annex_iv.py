"""EU AI Act, Annex IV: the technical documentation of a high-risk system (Article 11(1))."""

from __future__ import annotations

from steward.domain.checklists.lines import Checklist, Line

ANNEX_IV = Checklist(
    standard="annex-iv",
    title="EU AI Act, Annex IV",
    source="Regulation (EU) 2024/1689, Annex IV, OJ L, 12.7.2024",
    scope="All points of Annex IV. A card describes one version of a model; what concerns the "
    "product around it must be shown beside it.",
    lines=(
        Line("1(a)", "Intended purpose, provider, version",
             ("use.purpose", "use.intended", "overview.owner")),
        Line("1(b)", "Hardware and software that it works with", beside="the product's own file"),
        Line("1(c)", "Versions of software, and what an update requires",
             ("training.environment", "training.code")),
        Line("1(d)", "Forms in which it is put on the market", beside="the product's own file"),
        Line("1(e)", "Hardware on which it is meant to run", ("training.environment",),
             beside="instance types of the endpoint, in project.yaml"),
        Line("1(f)", "Where it is part of a product: pictures and layout",
             beside="the product's own file"),
        Line("1(g)", "User interface of the deployer", beside="the product's own file"),
        Line("1(h)", "Instructions for use",
             ("use.intended", "use.out_of_scope", "use.recommendations")),
        Line("2(a)", "Methods and steps of development, ready-made parts",
             ("overview.algorithm", "training.run", "training.code")),
        Line("2(b)", "Logic, design choices and assumptions, for whom, what is optimised",
             ("overview.algorithm", "overview.problem", "training.parameters",
              "evaluation.explanation")),
        Line("2(c)", "Architecture and computing used", ("training.environment",),
             beside="docs/architecture.md and the run's cost"),
        Line("2(d)", "Training data: origin, scope, selection, labels, cleaning",
             ("training.dataset", "training.sources", "training.label", "training.split")),
        Line("2(e)", "Human oversight that is needed (Article 14)", ("use.oversight",)),
        Line("2(f)", "Changes that are determined in advance", ("monitoring.actions",)),
        Line("2(g)", "Tests: data, metrics of accuracy and robustness, discrimination, logs",
             ("evaluation.rows", "evaluation.heldout", "evaluation.gate", "evaluation.bias",
              "evaluation.staging")),
        Line("2(h)", "Cybersecurity measures", beside="the stack's own checks and access rules"),
        Line("3", "Capabilities and limits, accuracy by group, unintended outcomes, input data",
             ("use.limits", "use.ethics", "evaluation.bias", "training.features")),
        Line("4", "Why the metrics are fit for the purpose", ("evaluation.comparison",),
             beside="a person's reasons for the loss and its margin"),
        Line("5", "Risk management system (Article 9)", ("risk.tier", "risk.explanation")),
        Line("6", "Changes through the life of the system",
             ("training.code", "approvals.decisions")),
        Line("7", "Harmonised standards that were applied", beside="the list of standards"),
        Line("8", "EU declaration of conformity (Article 47)", beside="the signed declaration"),
        Line("9", "Watching after it is on the market (Article 72)",
             ("monitoring.columns", "monitoring.labels", "monitoring.actions")),
    ),
)  # fmt: skip
