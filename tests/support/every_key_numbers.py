"""Numbers of the results of every key: drawn, so that no two of one kind are equal."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

DEVICES = ("cpu", "cuda")
OF_STATISTICS = ("", "min_k_pp")
"""Variants of rows that are named after a statistic alone; empty: phi."""
EPS = (0.0, 0.1, 0.2)
OTHER_EPS = (0.0, 0.1, 0.3)
"""Of the attack apgd."""
EXAMPLES = 6
LAYERS = ("stem", "head")
DEFINITIONS = ("norm_sigma", "group_hinge")


class Numbers:
    """What cells, models and searches hold.

    Args:
        generator: of every draw.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._counter = itertools.count(1000)

    def value(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number that no other draw gives."""
        return float(self._generator.uniform(low, high))

    def count(self) -> int:
        """A whole number that no other count is."""
        return next(self._counter)

    def often(self) -> bool:
        """True four times of five."""
        return self.value() < 0.8

    def device(self) -> str:
        """One of two kinds."""
        return DEVICES[int(self.value() < 0.3)]

    def metrics(self, attack: str, family: str) -> list[dict[str, Any]]:
        """Rows of `metrics` of a cell."""
        rows: list[dict[str, Any]] = []
        for place in _measures(attack, family):
            value = self.value(0.0, 0.3 if attack == "ddn" else 1.0)
            value = round(8 * value) / 8 if attack == "fab" else value  # so that ranks have ties
            ends = {"ci_low": value - self.value(0, 0.1), "ci_high": value + self.value(0, 0.1)}
            row = {"variant": "", "higher_is": "better", "value": value, "n": self.count(), **place}
            row |= ends if place["metric"] != "js_to_retrained" else {}
            if family == "per_example" and self.often():
                df = float(self._generator.integers(2, 60))
                row |= {
                    "difference": self.value(-1, 1),
                    "difference_error": self.value(),
                    "difference_df": df,
                }
            rows.append(row)
        return rows

    def layers(self) -> list[dict[str, Any]]:
        """Rows of `layers` of a cell without attack."""
        return [
            {
                "layer": layer,
                "layer_index": number,
                "kind": "conv",
                "definition": definition,
                "label": label,
                "gap": self._gap(definition),
                "ci_low": self.value(),
                "ci_high": self.value(),
                "relative_gap": self.value(),
                "n": self.count(),
            }
            for number, layer in enumerate(LAYERS)
            for definition in DEFINITIONS
            for label in (None, 0, 1)
        ]

    def _gap(self, definition: str) -> float:
        """Of one definition with ties, of the other without a value where a layer is dead."""
        gap = self.value()
        return round(gap, 1) if definition == "group_hinge" else gap if self.often() else float("inf")

    def examples(self, attack: str, family: str) -> list[dict[str, Any]]:
        """Rows of `examples` of a cell; none under an adversarial attack."""
        if family == "none":
            rows = [
                {
                    "example_id": number,
                    "split": split,
                    "label": number % 3,
                    "phi": self.value(-3, 3) if number else None if self.often() else float("inf"),
                    "correct": self.often(),
                }
                for split in ("forget", "retain", "test")
                for number in range(EXAMPLES)
            ]
            return [row | {"predicted": self._answered(row)} for row in rows]
        if family == "population":
            return [
                {
                    "example_id": number + 10 * (split == "test"),
                    "split": split,
                    "statistic": statistic,
                    "member": split == "forget",
                    "score": None if number == 5 else 0.5 if constant else round(self.value(), 1),
                    "phi": self.value(-3, 3),
                    "correct": self.often(),
                }
                for statistic, constant in (("loss", False), ("confidence", attack == "quantile"))
                for split in ("forget", "test")
                for number in (*range(EXAMPLES), 1)
            ]
        return list(self._exposed()) if family == "per_example" and attack != "before_after" else []

    @staticmethod
    def _answered(row: dict[str, Any]) -> int | None:
        """The class that a model answers: the label where it is right; of one example none, as of a document."""
        if row["example_id"] == EXAMPLES - 1:
            return None
        return row["label"] if row["correct"] else (row["label"] + 1) % 3

    def _exposed(self) -> Iterator[dict[str, Any]]:
        """Of two statistics on two splits: scores in runs, and what each example's runs amount to.

        p and q of the first example are 1/8, which single precision holds.
        """
        grid = itertools.product(("one", "other"), ("forget", "retain"), range(EXAMPLES))
        for statistic, split, number in grid:
            axes = {"example_id": number, "split": split, "label": number % 3}
            for member in (True, False):
                yield axes | {"statistic": statistic, "member": member, "score": self.value()}
            for kind in ("auc", "accuracy", "p_value", "q_value"):
                is_test = kind.endswith("_value")
                score = self.value(0, 0.2 if is_test else 1) if number or not is_test else 0.125
                ends = {"score_low": score - self.value(0, 0.2), "score_high": score + self.value(0, 0.2)}
                row = axes | {"statistic": f"{statistic}:{kind}", "score": score}
                yield row | ({} if is_test else ends)

    def cost(self, stage: str, device: str) -> dict[str, Any]:
        """A row of `costs` without its model."""
        seconds = self.value(1, 100)
        return {
            "stage": stage,
            "device": device,
            "seconds": seconds,
            "device_seconds": seconds * self.value(0.5, 0.9),
            "peak_bytes": self.count(),
            "samples": self.count(),
            "forward_samples": self.count(),
            "trainable_parameters": self.count(),
        }

    def trial(self, trial: int, *, chosen: bool) -> dict[str, Any]:
        """A row of `tuning` without its place; the last trial failed."""
        value = self.value()
        measured = {"value": value, "ci_low": value - self.value(), "ci_high": value + self.value()}
        return {
            "trial": trial,
            "params_json": f'{{"lr": {self.value()}}}',
            "metric": "average_gap",
            **(measured if trial < 3 else {"error": f"loss is nan at step {self.count()}"}),
            "seconds": self.value(),
            "chosen": chosen,
            "budget": self.count(),
            "forget_size": self.count(),
        }

    def copies(self, number: int) -> dict[str, Any]:
        """What was found in the retain set for the example of a forget set: of each kind one, or nothing."""
        known = {"provenance_json": json.dumps({"retained_copies": {"near": 0.03}})}
        if number == 0:
            return known
        distance = 0.0 if number == 1 else self.value(0.005, 0.025) if number < 4 else self.value(0.04, 0.9)
        found = {"retained_exact": int(number == 1), "retained_nearest": self.count()}
        return known | found | {"retained_distance": distance}


def _measures(attack: str, family: str) -> list[dict[str, Any]]:
    """Metric, split, and where there are any label, variant, param and game, of each row of a cell."""
    if family == "none":
        accuracy = itertools.product(("forget", "retain", "test"), (None, 0, 1))
        return [
            *({"metric": "accuracy", "split": split, "label": label} for split, label in accuracy),
            {"metric": "average_gap", "split": ""},
            *(
                {"metric": metric, "split": "forget", "label": label}
                for metric in ("ua", "auc")
                for label in (None, 0)
            ),
            *({"metric": "js_to_retrained", "split": split} for split in ("forget", "test")),
            *(
                {"metric": "mia_efficacy", "split": "forget", "variant": v}
                for v in ("svc_confidence", "svc_loss")
            ),
        ]
    if family == "adversarial":
        grid = itertools.product(("test", "forget"), OTHER_EPS if attack == "apgd" else EPS)
        places = [{"split": split, "param": eps} for split, eps in grid]
        accuracy = [
            place | {"metric": "robust_accuracy", "label": label} for place in places for label in (None, 0)
        ]
        blind = [place | {"metric": "zero_gradient_share"} for place in places if attack == "pgd"]
        return accuracy + blind
    if attack == "before_after":
        return [
            {"metric": f"{kind}_worse_than_before", "split": split, "variant": variant}
            | ({"param": 0.1} if kind == "examples" else {})
            for kind in ("examples", "share")
            for split in ("forget", "retain")
            for variant in OF_STATISTICS
        ]
    if attack == "retain_harm":
        return [
            {"metric": metric, "split": "retain", "game": "G3", "label": label, "variant": variant}
            for metric in ("retain_harm_auc_change", "retain_harm_other")
            for label in (None, 0)
            for variant in OF_STATISTICS
        ]
    variants = ("confidence_threshold", "loss_threshold")
    if family == "per_example":
        variants = ("all:pooled", "one:example_mean", "other:example_mean")
    games = ("G1", "G2") if family == "per_example" else (None,)
    places = [
        {"split": split, "variant": variant, "game": game}
        for split in ("forget", "retain")
        for variant in variants
        for game in games
    ]
    rates = [place | {"metric": "tpr_at_fpr", "param": fpr} for place in places[:4] for fpr in (0.01, 0.1)]
    return rates + [place | {"metric": "auc", "label": label} for label in (0, None) for place in places]
