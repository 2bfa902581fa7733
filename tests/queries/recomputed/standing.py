"""The views that shipped queries rest on, recomputed in plain Python from the rows as the store reads them."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from functools import cached_property
from typing import Any

from orchestrator.results.connection import SHIPPED, Results
from tests.queries.recomputed.arithmetic import Row, gathered, known, less, mean, over, t_975, total

MEASURE = ("metric", "split", "variant", "label", "param", "game")
OF_THE_METHOD = re.compile(r"(method|unlearning)\.|scope$|shadows\.trajectories$")
AT = ("dataset", "architecture", "forget_set")
MODEL = ("method", "scope", "seed", "role")


def measure(row: Row) -> tuple[Any, ...]:
    """What tells the rows of one cell apart."""
    return tuple(row[key] for key in MEASURE)


class Standing:
    """What an answer rests on.

    Args:
        results: whose store is read; its views `verdicts` and `model_verdicts` are asked for, which have tests of
            their own.
        run: the run that the answer rests on, or "all".
    """

    def __init__(self, results: Results, run: str) -> None:
        self.results, self.run = results, run
        self._rows: dict[str, list[Row]] = {}

    def table(self, name: str) -> list[Row]:
        """Rows of a table of the store, or of one that ships."""
        if name not in self._rows:
            found = SHIPPED[name]() if name in SHIPPED else self.results.store.read(name)
            self._rows[name] = found.to_pylist()
        return self._rows[name]

    def view(self, name: str) -> list[Row]:
        """Rows of a view that SQL makes."""
        if name not in self._rows:
            self._rows[name] = self.results.table(name).to_pylist()
        return self._rows[name]

    @cached_property
    def models_by_id(self) -> dict[str, Row]:
        """Every row of `models`."""
        return {row["model_id"]: row for row in self.table("models")}

    @cached_property
    def entries(self) -> dict[str, dict[str, str]]:
        """Entries of each setting."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for row in self.table("settings"):
            found[row["setting"]][row["key"]] = row["value"]
        return found

    @cached_property
    def places_of_runs(self) -> dict[str, tuple[int, str]]:
        """Of each cell the last run that asked for it, with its ordinal."""
        ordinals = {row["run_id"]: row["ordinal"] for row in self.table("runs")}
        found: dict[str, tuple[int, str]] = {}
        for row in self.table("plans"):
            place = (ordinals[row["run_id"]], row["run_id"])
            found[row["cell_id"]] = max(found.get(row["cell_id"], place), place)
        return found

    @cached_property
    def superseded(self) -> list[tuple[Row, Row]]:
        """Cells that a later run replaced, each with the latest of those that stand in its place."""
        unversioned = {row["setting"]: row["unversioned"] for row in self.table("settings")}
        axes = ("dataset", "architecture", "method", "scope", "attack", "forget_set", "forget_digest", "seed")
        found = []
        for _, rows in gathered(self.table("cells"), *axes, lambda row: unversioned[row["setting"]]):
            for older in rows:
                newer = [
                    row
                    for row in rows
                    if row["setting"] != older["setting"] and self.asked_at(row) > self.asked_at(older)
                ]
                if newer:
                    found.append((older, min(newer, key=lambda row: (-self.asked_at(row), row["cell_id"]))))
        return found

    def asked_at(self, cell: Row) -> int:
        """Ordinal of the last run that asked for a cell; 0 where none did."""
        return self.places_of_runs.get(cell["cell_id"], (0, ""))[0]

    @cached_property
    def asked(self) -> list[Row]:
        """Cells that were asked for, finished or failed; a name of several choices of examples tells them apart."""
        if self.run == "all":
            gone = {older["cell_id"] for older, _ in self.superseded}
            chosen = [row for row in self.table("cells") if row["cell_id"] not in gone]
        else:
            planned = {row["cell_id"] for row in self.table("plans") if row["run_id"] == self.run}
            chosen = [row for row in self.table("cells") if row["cell_id"] in planned]
        digests = defaultdict(set)
        for row in chosen:
            digests[row["dataset"], row["forget_set"]].add(row["forget_digest"])
        return [
            row
            if len(digests[row["dataset"], row["forget_set"]]) == 1
            else row | {"forget_set": f"{row['forget_set']} ({row['forget_digest'][:6]})"}
            for row in chosen
        ]

    @cached_property
    def cells(self) -> dict[str, Row]:
        """Those that have finished, by id, each with `surroundings`, `method_part` and `label_of_setting`."""
        return {
            row["cell_id"]: row
            | {
                "surroundings": self.surroundings(row["setting"]),
                "method_part": self.method_part(row["setting"]) if row["role"] == "audited" else None,
                "setting_label": self.labels.get(row["setting"]),
            }
            for row in self.asked
            if row["status"] == "finished"
        }

    def surroundings(self, setting: str) -> tuple[Any, ...]:
        """Entries about data, architecture, recipe and evaluation."""
        apart = re.compile(
            r"(method|unlearning|attack|reference|shadows|canaries)\.|scope$|architecture\.name$"
        )
        return tuple(sorted((k, v) for k, v in self.entries[setting].items() if not apart.match(k)))

    def unscoped(self, setting: str, trials: int | None) -> tuple[Any, ...]:
        """Entries that two scopes of a method share; of a tuned one those of [unlearning] alone."""
        of_both = re.compile(r"unlearning\." if trials is not None else r"(method|unlearning)\.")
        apart = {"method.kind", "method.text"}
        return tuple(
            sorted((k, v) for k, v in self.entries[setting].items() if of_both.match(k) and k not in apart)
        )

    def method_part(self, setting: str) -> tuple[Any, ...]:
        """Entries about the method."""
        of_method = re.compile(r"(method|unlearning)\.|scope$")
        words = ("method.kind", "method.text")
        entries = self.entries[setting].items()
        return tuple(sorted((k, v) for k, v in entries if of_method.match(k) and k not in words))

    @cached_property
    def references(self) -> dict[str, str]:
        """Of each finished cell that of the model it is compared with."""
        shared = ("conditions", "forget_set", "seed")
        standing: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for row in self.cells.values():
            if row["role"] == "reference":
                subject = row["model_id"] or row["group_id"]
                standing[subject, *(row[key] for key in shared)].append(row["cell_id"])
        found = {}
        for cell in self.cells.values():
            same = standing.get((cell["reference_id"], *(cell[key] for key in shared)))
            if same:
                found[cell["cell_id"]] = min(same)
        return found

    @cached_property
    def metrics(self) -> dict[str, list[Row]]:
        """Rows of `metrics` by cell."""
        return {key["cell_id"]: rows for key, rows in gathered(self.table("metrics"), "cell_id")}

    @cached_property
    def leaderboard(self) -> list[Row]:
        """The view of that name, with all columns of the cell besides."""
        rows = []
        for cell in self.cells.values():
            beside = self.references.get(cell["cell_id"])
            theirs = {measure(row): row for row in self.metrics.get(beside, [])} if beside else {}
            for row in self.metrics.get(cell["cell_id"], []):
                rows.append(
                    cell | row | self._compared(row, theirs.get(measure(row)), beside == cell["cell_id"])
                )
        noise: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for row in rows:
            if row["role"] == "noise_floor" and row["retrained"] is not None:
                beside = self.references[row["cell_id"]]
                noise[beside, measure(row)].append(abs(row["value"] - row["retrained"]))
        for row in rows:
            row["noise_floor"] = mean(noise.get((self.references.get(row["cell_id"]), measure(row)), []))
        return rows

    def _compared(self, row: Row, other: Row | None, itself: bool) -> Row:
        other = other or dict.fromkeys(("value", "ci_low", "ci_high"))
        found = {
            "retrained": other["value"],
            "retrained_low": other["ci_low"],
            "retrained_high": other["ci_high"],
        }
        difference = less(row["value"], other["value"]) if row["difference"] is None else row["difference"]
        low = high = None
        if itself:
            low = high = 0.0
        elif row["difference"] is not None:
            half = t_975(row["difference_df"]) * row["difference_error"]
            low, high = row["difference"] - half, row["difference"] + half
        else:
            low, high = self.of_difference(row, other)
        return found | {"difference": difference, "difference_low": low, "difference_high": high}

    @staticmethod
    def of_difference(row: Row, other: Row) -> tuple[float | None, float | None]:
        """Interval of a difference of two values from the interval of each."""
        if None in (row["value"], row["ci_low"], other["value"], other["ci_low"]):
            return None, None
        apart = row["value"] - other["value"]
        low = math.hypot(row["value"] - row["ci_low"], other["ci_high"] - other["value"])
        high = math.hypot(row["ci_high"] - row["value"], other["value"] - other["ci_low"])
        return apart - low, apart + high

    @cached_property
    def labels(self) -> dict[str, str]:
        """What tells apart the settings, or conditions, that stand at one place."""
        entries = dict(self.entries)
        places: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        for cell in self.asked:
            at = (cell["dataset"], cell["architecture"])
            model = (cell["method"], cell["scope"])
            places["setting", *at, *model, cell["attack"]].add(cell["setting"])
            places["conditions", *at, cell["attack"]].add(cell["conditions"])
        for row in self.models:
            at = (row["kind"], row["dataset"], row["architecture"])
            places[*at, row["method"], row["scope"], None].add(row["setting"])
        for row in self.table("settings"):
            if not OF_THE_METHOD.match(row["key"]):
                entries.setdefault(row["conditions"], {})[row["key"]] = row["value"]
        shown: dict[str, set[str]] = {setting: set() for there in places.values() for setting in there}
        for there in places.values():
            for key in {key for setting in there for key in entries[setting]}:
                if len({entries[setting].get(key) for setting in there}) > 1:
                    for setting in there:
                        if key in entries[setting]:
                            shown[setting].add(key)
        return {
            setting: ", ".join(
                f"{key.removeprefix('method.')}={_short(entries[setting][key])}" for key in sorted(keys)
            )
            for setting, keys in shown.items()
        }

    @cached_property
    def shadow_sets(self) -> set[str]:
        """That the cells rest on."""
        return set(known(row["shadow_set"] for row in self.asked))

    @cached_property
    def models(self) -> list[Row]:
        """Rows of `models` behind the cells."""
        measured = {row["model_id"] or row["group_id"] for row in self.asked}
        measured |= {row["reference_id"] for row in self.asked}
        originals = {self.models_by_id[key]["parent_id"] for key in measured if key in self.models_by_id}
        rows = []
        for row in self.table("models"):
            if row["kind"] != "shadow":
                behind = row["model_id"] in measured | originals
            elif row["method"] == "none":
                behind = row["shadow_set"] in self.shadow_sets
            else:
                behind = row["parent_id"] in measured
            if behind:
                rows.append(row)
        return rows

    @cached_property
    def shadow_stages(self) -> dict[str, Row]:
        """Work on shadow models, by id."""
        return {row["model_id"]: row for row in self.models if row["kind"] == "shadow"}

    @cached_property
    def failures(self) -> list[Row]:
        """The view of that name."""
        axes = (
            "dataset",
            "architecture",
            "method",
            "scope",
            "forget_set",
            "seed",
            "error_type",
            "error",
            "finished_at",
        )
        cells = [
            {key: row[key] for key in (*axes, "run_id", "attack")} | {"what": "cell", "id": row["cell_id"]}
            for row in self.asked
            if row["status"] == "failed"
        ]
        models = [
            {key: row[key] for key in axes}
            | {"what": "model", "id": row["model_id"], "run_id": None, "attack": None}
            for row in self.models
            if row["status"] == "failed"
        ]
        return cells + models

    @cached_property
    def costs(self) -> list[Row]:
        """Rows of `costs` behind the cells, and of shadow models, with what was worked on."""
        models = {row["model_id"]: row for row in self.models}
        cells = {row["cell_id"]: row for row in self.asked}
        rows = []
        shadows = [
            row | {"stage": "shadow", "stage_id": None}
            for row in self.models
            if row["kind"] == "shadow" and row["seconds"] is not None
        ]
        for row in [*self.table("costs"), *shadows]:
            model, cell = models.get(row["model_id"], {}), cells.get(row["stage_id"], {})
            if model or cell:
                axes = {
                    key: model.get(key) if model.get(key) is not None else cell.get(key)
                    for key in ("dataset", "architecture", "method", "scope")
                }
                rows.append(
                    row
                    | axes
                    | {"attack": cell.get("attack"), "setting": cell.get("setting") or model.get("setting")}
                )
        return rows

    @cached_property
    def cost_of(self) -> dict[str, Row]:
        """The view `model_costs`, by id."""
        by_stage = {row["stage_id"]: row for row in self.table("costs")}
        found = {}
        for model in self.models:
            if model["status"] != "finished" or model["kind"] == "shadow":
                continue
            shared = [by_stage[key] for key in json.loads(model["rests_on_json"])]
            same = all(row["device"] == model["device"] for row in shared)
            row = {
                key: model[key] for key in ("model_id", "device", "num_parameters", "trainable_parameters")
            }
            row["shared_stages"] = len(shared)
            for key in ("seconds", "device_seconds", "samples", "forward_samples"):
                row[f"own_{key}"] = _paid(model) if key == "device_seconds" else model[key]
                paid = [_paid(some) if key == "device_seconds" else some[key] for some in shared]
                added = same or "samples" in key
                row[f"shared_{key}"] = (total(paid) or 0) if added else None
                row[key] = row[f"own_{key}"] + row[f"shared_{key}"] if added else None
            row["peak_bytes"] = max(known(some["peak_bytes"] for some in (model, *shared)))
            found[model["model_id"]] = row
        for key, row in found.items():
            other = found.get(self.models_by_id[key]["retrained_id"])
            same = other is not None and other["device"] == row["device"]
            row["retrained_device_seconds"] = other["device_seconds"] if other and same else None
            row["ratio"] = over(row["device_seconds"], row["retrained_device_seconds"])
        return found

    def examples_of(self, cell_id: str | None) -> list[Row]:
        """Rows of `examples` of a cell."""
        return self._examples.get(cell_id or "", [])

    @cached_property
    def _examples(self) -> dict[str, list[Row]]:
        return {key["cell_id"]: rows for key, rows in gathered(self.table("examples"), "cell_id")}

    @cached_property
    def layers(self) -> dict[str, list[Row]]:
        """Rows of `layers` over all classes, by cell."""
        whole = [row for row in self.table("layers") if row["label"] is None]
        return {key["cell_id"]: rows for key, rows in gathered(whole, "cell_id")}


def _paid(row: Row) -> Any:
    return row["seconds"] if row["device_seconds"] is None else row["device_seconds"]


def _short(value: str) -> str:
    return re.sub(r"^([0-9a-f]{6})[0-9a-f]{14,}$", r"\1", value.strip('"'))
