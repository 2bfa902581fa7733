-- Does an attack on the average vouch for a method that an attack on each example convicts?
-- grain: finished cell of a membership attack, metric and statistic
-- param metric = "auc": auc, balanced_accuracy, tpr_at_fpr, epsilon_lower_bound, ...
-- param split = "forget": where it is measured
-- param forget_set = null: only this forget set
-- floor: the retrained model under the same attack; ceiling: the original, from which nothing was unlearned.
-- position is 0 at the floor and 1 at the ceiling. game tells what is compared with what: population attacks
-- tell forgotten from test examples under one model, G1 and G2 one example unlearned from the same example
-- never seen, over shadow models. variant names the statistic and, after a colon, the grain: pooled over
-- models and examples, or the mean of each example's own value. Of cells measured more than once the latest
-- counts.
with latest as (
    select cell_id
    from cells
    where attack_family in ('population', 'per_example')
        and status = 'finished'
        and ($forget_set is null or forget_set = $forget_set)
    qualify row_number() over (
        partition by dataset, architecture, forget_set, method, scope, seed, attack
        order by finished_at desc, cell_id
    ) = 1
),
measured as (
    select *
    from leaderboard
    join latest using (cell_id)
    where metric = $metric
        and split = $split
        and label is null
)
select
    ours.dataset,
    ours.architecture,
    ours.forget_set,
    ours.seed,
    ours.role,
    ours.method,
    ours.scope,
    ours.attack_family,
    ours.attack,
    ours.variant,
    ours.game,
    ours.param,
    ours.value,
    ours.ci_low as value_low,
    ours.ci_high as value_high,
    ours.retrained as floor,
    ours.retrained_low as floor_low,
    ours.retrained_high as floor_high,
    ceiling.value as ceiling,
    ceiling.ci_low as ceiling_low,
    ceiling.ci_high as ceiling_high,
    ours.difference,
    ours.difference_low,
    ours.difference_high,
    (ours.value - ours.retrained) / nullif(ceiling.value - ours.retrained, 0) as position,
    ours.n
from measured as ours
left join measured as ceiling
    on ceiling.role = 'ceiling'
    and ceiling.dataset = ours.dataset
    and ceiling.architecture = ours.architecture
    and ceiling.forget_set = ours.forget_set
    and ceiling.seed = ours.seed
    and ceiling.attack = ours.attack
    and ceiling.variant = ours.variant
    and ceiling.game is not distinct from ours.game
    and ceiling.param is not distinct from ours.param
order by
    ours.dataset,
    ours.architecture,
    ours.forget_set,
    ours.seed,
    ours.role,
    ours.method,
    ours.scope,
    ours.attack_family desc,
    ours.attack,
    ours.variant,
    ours.param;
