-- Does an attack on the average vouch for a method that an attack on each example convicts?
-- shown: architecture, forget_set, method, scope, attack, variant, value, floor, ceiling, position, game
-- shown: setting_label
-- grain: finished cell of a membership attack, metric and statistic
-- param metric = "auc": auc, balanced_accuracy, tpr_at_fpr, epsilon_lower_bound, ...
-- param split = "forget": where it is measured
-- param forget_set = null: only this forget set
-- floor: the retrained model under the same attack; ceiling: the original, from which nothing was unlearned.
-- position is 0 at the floor and 1 at the ceiling. game tells what is compared with what: population attacks
-- tell forgotten from test examples under one model, G1 and G2 one example unlearned from the same example
-- never seen, over shadow models. variant names the statistic and, after a colon, the grain: pooled over
-- models and examples, or the mean of each example's own value.
with measured as (
    select
        *,
        max(value) filter (where role = 'ceiling') over same as ceiling,
        max(ci_low) filter (where role = 'ceiling') over same as ceiling_low,
        max(ci_high) filter (where role = 'ceiling') over same as ceiling_high
    from leaderboard
    where attack_family in ('population', 'per_example')
        and ($forget_set is null or forget_set = $forget_set)
        and metric = $metric
        and split = $split
        and label is null
    window same as (partition by dataset, architecture, forget_set, seed, attack, variant, game, param, conditions)
)
select
    dataset,
    architecture,
    forget_set,
    seed,
    role,
    method,
    scope,
    setting_labels.label as setting_label,
    attack_family,
    attack,
    variant,
    game,
    param,
    value,
    ci_low as value_low,
    ci_high as value_high,
    retrained as floor,
    retrained_low as floor_low,
    retrained_high as floor_high,
    ceiling,
    ceiling_low,
    ceiling_high,
    difference,
    difference_low,
    difference_high,
    (value - retrained) / nullif(ceiling - retrained, 0) as position,
    n,
    measured.setting
from measured
left join setting_labels on setting_labels.setting = measured.setting
order by
    dataset, architecture, forget_set, seed, role, method, scope, attack_family desc, attack, variant, param,
    measured.setting;
