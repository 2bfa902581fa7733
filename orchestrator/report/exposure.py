"""How many forgotten examples can be told apart, beside those that would be in a retrained model by chance."""

from __future__ import annotations

from html import escape

from orchestrator.report.blocks import COVERAGE, ERROR, Context, Source, Table, code, number
from orchestrator.results.evidence import ROLE_ORDER, ROLES

FALSE_DISCOVERIES = 0.1
"""Share of the examples called told apart that may be false."""


def exposure_table(context: Context) -> Table | None:
    """Examples told apart by model, a row for each test, none chosen by what it says; None where none was run."""
    asked = {"fdr": FALSE_DISCOVERIES}
    rows = context.results.query("per_example_vulnerability", **asked).to_pylist()
    rows = [r for r in rows if r["tested"]]
    if not rows:
        return None
    places = ("architecture", "forget_set", "attack", "statistic")
    rows.sort(key=lambda r: (*(r[p] for p in places), ROLE_ORDER.index(r["role"]), r["method"], r["scope"]))
    body: list[list[str]] = []
    for r in rows:
        statistic, attack = r["statistic"], r["attack"]
        body.append(
            [
                escape(r["architecture"]),
                code(r["forget_set"]),
                escape(attack if statistic in attack else f"{attack} {statistic}"),
                escape(context.evidence.label(r["role"], r["method"], r["scope"])),
                f"{r['vulnerable']} of {r['tested']}",
                number(r["above_floor"], 3),
            ]
        )
    return Table(
        caption="Forgotten examples that are told apart, each tested by itself over shadow models (the attack "
        "<code>rank_test</code> asks whether its confidence differs at all, and fits no attacker): at most "
        f"{FALSE_DISCOVERIES:.0%} of those called so are expected to be false (none is true in the row of the "
        f"retrained model). Beside it the share of examples whose own AUC exceeds the {COVERAGE} quantile of the "
        f"retrained model's: {ERROR} where nothing is left. It has no interval: examples share their shadow "
        "models.",
        heading=["architecture", "forget set", "attack", "model", "told apart", "above the control"],
        rows=body,
        source=Source(query="per_example_vulnerability", params=asked),
        quiet=frozenset(i for i, r in enumerate(rows) if r["role"] in ROLES),
    )
