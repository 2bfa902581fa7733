"""Which sigma a fairness gap is of. Imports no torch, so that a configuration can name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Definition = Literal["norm_sigma", "var_norm_sigma", "post_norm", "var_post_norm"]
DEFINITIONS: Mapping[Definition, str] = {
    "norm_sigma": "the normaliser's own sqrt(variance + its eps), of its input, mean over channels (batch norm) or "
    "over positions and examples (the others)",
    "var_norm_sigma": "variance (mean square for RMS norms) in place of the root of norm_sigma",
    "post_norm": "standard deviation of the normaliser's output, affine applied, before any activation that the "
    "module includes",
    "var_post_norm": "variance (mean square for RMS norms) in place of the root of post_norm",
}
"""The paper (arXiv 2504.13610) leaves the choice open, so every value carries the definition it was computed by."""
