"""The nine claims: what each needs, and the query and the preset that answer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says, the query that judges it, and the preset whose cells that query reads."""

    letter: str
    """Its place in guide/claims.md."""
    name: str
    """Of the query."""
    paper: str
    preset: str
    needs: str
    """What has to be measured, in words."""
    axis: Literal["method", "scope", "attack"]
    """Of the preset's axes the one on which it turns."""
    values: tuple[str, ...]
    """Of that axis, without which it has no answer from the preset."""
    of_shadows: bool = False
    """Whether it takes what shadow models answered."""


CLAIMS = (
    Claim(
        letter="a",
        name="claim_fairness_and_robustness",
        paper="arXiv 2504.13610",
        preset="fairness_robustness",
        needs="models of scope all under an adversarial attack, at four seeds or more",
        axis="attack",
        values=("apgd_dlr",),
    ),
    Claim(
        letter="b",
        name="claim_robust_loss",
        paper="arXiv 2504.13610",
        preset="fairness_robustness",
        needs="unlearned and retrained models under an adversarial attack, of two methods and four seeds or more",
        axis="attack",
        values=("apgd_dlr",),
    ),
    Claim(
        letter="c",
        name="claim_scopes",
        paper="arXiv 2504.13610",
        preset="fairness_robustness",
        needs="methods in scope intermediate+last and in scope all, at four seeds or more",
        axis="scope",
        values=(
            "all",
            "intermediate+last",
        ),
    ),
    Claim(
        letter="d",
        name="claim_per_example",
        paper="arXiv 2403.01218",
        preset="u_mia",
        needs="a per-example attack on eight shadow models or more",
        axis="attack",
        values=("rank_test",),
        of_shadows=True,
    ),
    Claim(
        letter="e",
        name="claim_worse_off",
        paper="arXiv 2403.01218",
        preset="u_mia",
        needs="the attack before_after with shadows.retrain_control = true",
        axis="attack",
        values=("before_after",),
        of_shadows=True,
    ),
    Claim(
        letter="f",
        name="claim_stopping",
        paper="arXiv 2403.01218",
        preset="u_mia",
        needs="16 shadow models or more observed after every epoch (shadows.trajectories = true)",
        axis="attack",
        values=("rank_test",),
        of_shadows=True,
    ),
    Claim(
        letter="g",
        name="claim_risk",
        paper="arXiv 2410.06446",
        preset="rsu",
        needs="a per-example attack on 16 shadow models or more",
        axis="attack",
        values=("rank_test",),
        of_shadows=True,
    ),
    Claim(
        letter="h",
        name="claim_order",
        paper="arXiv 2410.06446",
        preset="rsu",
        needs="a sequence (rsu, rum) by risk and the same with order = shuffled, at four seeds or more",
        axis="method",
        values=(
            "rsu",
            "rsu_shuffled",
        ),
    ),
    Claim(
        letter="i",
        name="claim_closest",
        paper="arXiv 2408.11433",
        preset="twin",
        needs="twin and another method on the same forget sets, at four seeds or more",
        axis="method",
        values=("twin",),
    ),
)
