"""What a page says of documents: their words in place of pictures, whose they are, and what their models began with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from orchestrator.report.blocks import Block, Source, Table, number
from orchestrator.report.images import Examples
from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column

if TYPE_CHECKING:
    from orchestrator.results.connection import Results
    from orchestrator.results.evidence import Place

GROUPS_SHOWN = 10
ALL_EXAMPLES = 10**9
"""More than a forget set has."""
BEGAN = {
    (
        "given weights",
        "assumed",
    ): "began with given weights, and so did retraining: that these had never seen what was "
    "forgotten is an assumption, which nobody can check here",
    (
        "public part",
        "checked",
    ): "began with a base that was trained on the public part of the data set; no audited "
    "document is in it, which was checked",
    ("none", "checked"): "began with random weights",
}
"""What models of an architecture began with, by base and by how it is known that it had not seen the forget set
(`orchestrator.plan.bases.Base`)."""


def began(results: Results, architecture: str | None = None) -> list[str]:
    """A sentence for each architecture of language models on what its models began with, plain text; none of images."""
    rows = ask(results, "latest_run")
    found = json_column(rows[0]["bases_json"], list, where="runs.bases_json") if rows else []
    return [
        f"{base['architecture']} {BEGAN[base['base'], base['unseen']]}."
        for base in found
        if architecture in (None, base["architecture"])
    ]


def holds_documents(results: Results) -> bool:
    """Whether the models behind these results are language models."""
    return bool(ask(results, "language_models"))


def asked_groups(provenance_json: str | None) -> int:
    """Of how many groups a forget set holds all documents; 0 where it was not chosen by group."""
    found = json_column(provenance_json or "{}", dict, where="forget_sets.provenance_json").get("groups")
    return len(found) if isinstance(found, list) else 0


def exposed_documents(place: Place, rows: Sequence[dict[str, Any]], shown: Examples) -> Block:
    """The documents that stay farthest from what retraining makes of them, with their words where these may be shown.

    Args:
        place: the rows are of it.
        rows: of queries/hardest_examples.sql.
        shown: documents as they may be shown.
    """
    note = f" No text: {escape(shown.why_not)}." if shown.why_not else ""
    return Table(
        caption="Forgotten documents that stay farthest from what retraining makes of them, over all audited models: "
        "the mean log odds of their tokens above those of the retrained model (positive: still remembered, negative: "
        "forgotten too well), and the share of models that say every token right. Facts and completions are "
        f"marked.{note}",
        heading=["document", "text", "log odds above", "said right", "retrained"],
        rows=[
            [
                f"<b>#{r['example_id']}</b>",
                shown.documents.get(r["example_id"], "&ndash;"),
                number(r["excess"], 1),
                f"{100 * r['accuracy']:.0f}&nbsp;%",
                f"{100 * r['retrained_accuracy']:.0f}&nbsp;%",
            ]
            for r in rows
        ],
        source=Source(query="hardest_examples", params={"top": len(rows)}),
        title=place.text,
    )


def exposed_groups(place: Place, rows: Sequence[dict[str, Any]], shown: Examples) -> list[Block]:
    """Whose documents stay farthest, by group; none where groups are not known or may not be named.

    Args:
        place: the rows are of it.
        rows: of queries/hardest_examples.sql, all forgotten documents.
        shown: with the groups of these.
    """
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["example_id"] in shown.groups:
            groups[shown.groups[row["example_id"]]].append(row)
    if not groups:
        return []
    means = {name: sum(r["excess"] for r in own) / len(own) for name, own in groups.items()}
    ordered = sorted(groups, key=lambda name: (-means[name], name))
    worst = {name: max(groups[name], key=lambda r: (r["excess"], -r["example_id"])) for name in ordered}
    return [
        Table(
            caption="Whose documents are remembered most: the mean, over forgotten documents of a group (a person, an "
            "author), of the log odds above those of the retrained model, and the document that stands out most. "
            "Without intervals: documents of a group share their models, and few belong to one.",
            heading=["group", "documents", "log odds above", "most exposed"],
            rows=[
                [
                    escape(name),
                    str(len(groups[name])),
                    number(means[name], 2),
                    f"#{worst[name]['example_id']} ({number(worst[name]['excess'], 1)})",
                ]
                for name in ordered
            ],
            source=Source(query="hardest_examples", params={"top": len(rows)}),
            shown=min(GROUPS_SHOWN, len(ordered)),
            title=f"{place.text}, by group",
        )
    ]
