"""Harm to retained examples: whether they are told apart more easily after unlearning than before."""

from __future__ import annotations

from collections.abc import Callable

from tasks.errors import AuditError
from tasks.metrics.audit import estimated
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.two_way import mean_example_auc
from tasks.shadows.games import Comparison, PerExampleScores
from tasks.shadows.observations import named_by

RETAIN_HARM_AUC_CHANGE = Metric(
    name="retain_harm_auc_change",
    about="mean change of the AUC of retained examples by unlearning",
    low=-1,
    high=1,
    kind="forgetting",
    higher_is="worse",
    error="two_way",
    margin=0.05,
    margin_because="as of auc",
)
METRICS = (RETAIN_HARM_AUC_CHANGE,)
Score = Callable[[Comparison], PerExampleScores]


def retain_harm(
    score: Score, before: Comparison, after: Comparison, reference: Comparison | None = None
) -> MetricValue:
    """Change of the mean AUC that one attack, under the same options, reaches for retained examples.

    Before and after are the same runs of the same shadow models, so what the two share cancels; nothing was chosen by
    either. Retraining without the forgotten may expose others too (the onion effect): the difference to it is that of
    the AUCs afterwards, since "before" is common to both.

    Args:
        score: the attack, in game G3.
        before: what the models answered before they unlearned, in the states and draws of `after`.
        after: of the unlearned models.
        reference: of the retrained models.

    Raises:
        AuditError: a game is not G3, or the runs before and after are of other shadow models.
    """
    games = [game for game in (before, after, reference) if game is not None]
    if any(game.game != "G3" for game in games):
        raise AuditError(f"retain harm: expected game G3, got {', '.join(game.game for game in games)}")
    scores = score(after)
    earlier = mean_example_auc(score(before))
    change = mean_example_auc(scores).minus(earlier)
    if change is None:
        raise AuditError("retain harm: expected the runs before and after from the same shadow models")
    beside = None if reference is None else mean_example_auc(score(reference)).minus(earlier)
    variant = named_by("", after.statistic)
    return estimated(scores, RETAIN_HARM_AUC_CHANGE, change, variant=variant, reference=beside)
