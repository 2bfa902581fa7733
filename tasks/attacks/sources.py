"""Where views have what they show from: whoever runs an attack offers one of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tasks.shadows.observations import Observations

if TYPE_CHECKING:
    from torch import nn

    from tasks.shadows.canaries import Canaries
    from tasks.text.alternatives import Alternatives
    from tasks.training.resident import Subset
    from tasks.training.scoring import Outputs


class ModelSource(Protocol):
    """Where a `ModelView` has a model from; every attribute may be computed when it is asked for."""

    @property
    def model(self) -> nn.Module | None:
        """The model of the cell, resident; None where only its outputs are known."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """True labels of the data set, by example id."""
        ...

    @property
    def groups(self) -> np.ndarray | None:
        """Of whom each example is, by id; None: the data do not say."""
        ...

    @property
    def forgotten_classes(self) -> tuple[int, ...]:
        """Classes of which no training example is retained."""
        ...

    def outputs(self) -> Mapping[str, Outputs]:
        """Answers of the model by split: forget, retain, test, validation."""
        ...

    def reference_outputs(self) -> Mapping[str, Outputs] | None:
        """Answers of the retrained model on the same examples; None where none is known."""
        ...

    def subset(self, split: str) -> Subset:
        """The examples of a split."""
        ...

    def base_outputs(self) -> Mapping[str, Outputs]:
        """Answers of the base that training started from, on the same examples."""
        ...

    def compressed_bytes(self) -> np.ndarray:
        """Of each document's own text after zlib, by example id, int64."""
        ...

    def js_to_reference(self, split: str) -> np.ndarray:
        """Jensen-Shannon divergence of the model from the retrained one on each example of a split."""
        ...

    def alternatives(self) -> Alternatives | None:
        """Other answers to the questions of some examples."""
        ...

    def alternative_losses(self) -> np.ndarray:
        """Of the model, of each of these answers."""
        ...

    def reference_alternative_losses(self) -> np.ndarray:
        """Of the retrained model, likewise."""
        ...


class ShadowSource(Protocol):
    """Where a `ShadowView` has observations from; every attribute may be read when it is asked for."""

    @property
    def canaries(self) -> Canaries | None:
        """Planted in the training sets of the shadow models."""
        ...

    @property
    def forget_ids(self) -> np.ndarray:
        """Examples of the cell's forget set."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """True labels of the data set, by example id."""
        ...

    @property
    def planned(self) -> tuple[int, int]:
        """Shadow models, and draws of each, that there would be had none failed."""
        ...

    @property
    def reference(self) -> Literal["itself", "retrained", "base"]:
        """What the models of the cell are compared with: they are the retrained ones; these; or the base models."""
        ...

    def base(self) -> Observations:
        """Of the shadow models as trained."""
        ...

    def unlearned(self) -> Observations:
        """Of the models of the cell."""
        ...

    def retrained(self) -> Observations:
        """Of the retrained models."""
        ...
