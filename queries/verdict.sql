-- Which models can be told from retraining, which are shown to equal it, and what would settle the others?
-- shown: method!, forget_set, scope, architecture, metric!, split, verdict!, difference, difference_low
-- shown: difference_high, attack, family, variant, param, settles, setting_label
-- grain: dataset, architecture, forget set, attack, metric, split, variant, param, game, method, scope and setting
-- param forget_set = null: only this forget set
-- param method = null: only this method
-- param family = null: primary or exploratory
-- The view `verdicts`. difference is the mean of the value less that of two retrained models, over the seeds
-- that all have, with its 95 % interval; one seed is undecided. Told apart: p_adjusted below .05 (Holm over the
-- primary measures of a model, Benjamini-Hochberg over its exploratory ones). Shown equivalent: two one-sided
-- tests at 5 % within the margin; where visible, a difference within it is told apart all the same. settles says
-- what would decide the others. masked_gradients: robust accuracy is an upper bound, for gradients vanish or an
-- attack blind to the scale of logits found more; it shows no equivalence. `model_verdicts` has one row per model.
select
    verdicts.*,
    setting_labels.label as setting_label
from verdicts
left join setting_labels on setting_labels.setting = verdicts.setting
where ($forget_set is null or forget_set = $forget_set)
    and ($method is null or method = $method)
    and ($family is null or family = $family)
order by
    dataset,
    architecture,
    forget_set,
    conditions,
    attack,
    metric,
    split,
    variant,
    param,
    game,
    role,
    method,
    scope,
    verdicts.setting;
