"""Single examples that stay exposed: which, how, and what they show where that may be shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.plan.shadows import CANARY_POOL
from orchestrator.report.documents import holds_documents
from orchestrator.report.images import Examples, read_examples
from orchestrator.report.templates import number, percent
from orchestrator.results.charts.answers import Answers, Row, mean
from orchestrator.results.charts.rows_examples import CONFIDENCE
from orchestrator.results.evidence import Place
from tasks.objectives.names import BESIDE_PHI, PHI

WORST = 12
"""Examples shown for each place and each way to be exposed."""
MOST_IMAGES = 300
"""Images in a page; a dot without one has its number and class."""
ALL_EXAMPLES = 10**9
"""More than a forget set has."""
ANSWERS = ", share of unlearned models that answer right, and of retrained ones."
CANARY = "a canary need not look like the example in whose place it stands"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An example that stays exposed."""

    example: int
    notes: tuple[str, ...]
    """How it is exposed, in a few words each."""
    text: tuple[tuple[str, str], ...] = ()
    """A document in pieces: words, and the kind of fact that they state or nothing."""
    pictured: bool = True
    """Whether what the data set holds under this number is the example: of a canary it is not."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The most exposed examples of a place in one way."""

    title: str
    statistic: str
    """That of the chart `exposure`."""
    caption: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A person or author whose documents are remembered most."""

    name: str
    documents: int
    excess: float
    worst: int
    worst_excess: float


@dataclass(frozen=True, kw_only=True)
class PlaceExamples:
    """The exposed examples of a place."""

    galleries: tuple[Gallery, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True)
class Exhibits:
    """Images and names of classes of the examples of all places."""

    images: dict[int, str]
    """Data URIs."""
    classes: dict[int, str]
    """Of every example that a chart shows."""
    why_not: str
    """Why there are no images and no texts; empty where there are."""
    documents: bool
    """Whether examples are documents."""
    places: tuple[PlaceExamples, ...]
    class_names: tuple[str, ...] = ()
    """By number; empty where they are unknown or may not be shown."""


def exhibits(answers: Answers, places: Sequence[Place], dots: Iterable[Row], *, asked: bool) -> Exhibits:
    """The most exposed examples of each place.

    Args:
        answers: of the results.
        places: in order.
        dots: rows of the chart `exposure`.
        asked: whether examples are shown whatever the data set (`report.images.read_examples`).
    """
    documents = holds_documents(answers.results)
    found = [(_recognised(answers, place), _hardest(answers, place, documents)) for place in places]
    ranked = [row for lists in found for rows in lists for row in rows]
    worst = dict.fromkeys(row["example_id"] for lists in found for rows in lists for row in rows[:WORST])
    labels = {row["example"]: row["class"] for row in dots}
    told = dict.fromkeys(row["example"] for row in dots if row["told"])
    ids = list(worst | told | dict.fromkeys(labels))[:MOST_IMAGES]
    if documents:  # the groups of all of them
        ids = list(worst | dict.fromkeys(row["example_id"] for row in ranked))
    shown = read_examples(answers.results, ids, asked=asked)
    labels |= {row["example_id"]: row["label"] for row in ranked}
    return Exhibits(
        images=shown.images,
        classes={} if documents else _classes(shown, labels),
        why_not=shown.why_not,
        documents=documents,
        places=tuple(
            _of_place(place, *lists, shown, documents=documents)
            for place, lists in zip(places, found, strict=True)
        ),
        class_names=shown.class_names,
    )


def _classes(shown: Examples, labels: Mapping[int, int | None]) -> dict[int, str]:
    return {i: shown.class_name(label) for i, label in labels.items() if label is not None}


def _of_place(
    place: Place, recognised: list[Row], hardest: list[Row], shown: Examples, *, documents: bool
) -> PlaceExamples:
    galleries = []
    pictured = place.forget_set != CANARY_POOL
    if recognised:
        galleries.append(
            Gallery(
                title=f"Recognised best by {recognised[0]['by']}",
                statistic=recognised[0]["statistic"],
                caption="By the mean over audited models of the AUC of the example; beside it that after retraining, "
                "and the model that hides it worst. The highest of many noisy numbers look worse than they are."
                + ("" if pictured else f" Without images: {CANARY}."),
                shown=tuple(_shown(r, r["notes"], shown, pictured=pictured) for r in recognised[:WORST]),
            )
        )
    if hardest:
        galleries.append(
            Gallery(
                title="Farthest from what retraining makes of them",
                statistic=CONFIDENCE,
                caption=(
                    "Over all audited models: mean confidence above that of the retrained model in logits "
                    "(positive: still remembered, negative: forgotten too well)"
                    + ("." if documents else ANSWERS)
                ),
                shown=tuple(_shown(r, _far(r, documents), shown, pictured=pictured) for r in hardest[:WORST]),
            )
        )
    return PlaceExamples(galleries=tuple(galleries), groups=_groups(hardest, shown))


def _shown(row: Row, notes: Sequence[str], shown: Examples, *, pictured: bool) -> Shown:
    text = shown.documents.get(row["example_id"], ()) if pictured else ()
    return Shown(example=row["example_id"], notes=tuple(notes), text=text, pictured=pictured)


def _far(row: Row, documents: bool) -> list[str]:
    """How an example is exposed by its confidence; a document has no answer that is right or wrong as a whole."""
    above = f"{'+' if row['excess'] > 0 else ''}{number(row['excess'], 1)} logits"
    if documents:
        return [above]
    return [above, f"right: {percent(row['accuracy'])}", f"retrained: {percent(row['retrained_accuracy'])}"]


def _hardest(answers: Answers, place: Place, documents: bool) -> list[Row]:
    return answers.rows_at(place, "hardest_examples", top=ALL_EXAMPLES if documents else WORST)


def _recognised(answers: Answers, place: Place) -> list[Row]:
    """Examples by the mean of their AUC over audited models, the most exposed first."""
    rows = answers.rows_at(place, "example_auc")
    ranked = [r for r in rows if r["statistic"] in (PHI, *BESIDE_PHI)] or rows
    if not ranked:
        return []
    kind = (ranked[0]["attack"], ranked[0]["statistic"])
    groups: dict[int, list[Row]] = defaultdict(list)
    for r in ranked:
        if r["role"] == "audited" and (r["attack"], r["statistic"]) == kind:
            groups[r["example_id"]].append(r)
    found = [_example(answers, kind, group) for group in groups.values()]
    return sorted(found, key=lambda r: (-r["auc"], r["example_id"]))


def _example(answers: Answers, kind: tuple[str, str], group: list[Row]) -> Row:
    top, auc = max(group, key=lambda r: r["auc"]), mean([r["auc"] for r in group])
    control = top["retrained_auc"]
    notes = [f"AUC {auc:.2f}" + ("" if control is None else f", retrained {control:.2f}")]
    notes.append(f"worst: {answers.label(top)} {top['auc']:.2f}")
    statistic = f"{kind[0]}: {kind[1]}"
    return top | {"auc": auc, "notes": notes, "by": statistic, "statistic": statistic}


def _groups(hardest: list[Row], shown: Examples) -> tuple[Group, ...]:
    """Whose documents stay farthest; none where groups are not known or may not be named.

    Without intervals: documents of a group share their models, and few belong to one.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in hardest:
        if row["example_id"] in shown.groups:
            groups[shown.groups[row["example_id"]]].append(row)
    found = []
    for name, rows in groups.items():
        worst = max(rows, key=lambda r: (r["excess"], -r["example_id"]))
        found.append(
            Group(
                name=name,
                documents=len(rows),
                excess=mean([r["excess"] for r in rows]),
                worst=worst["example_id"],
                worst_excess=worst["excess"],
            )
        )
    return tuple(sorted(found, key=lambda group: (-group.excess, group.name)))
