-- What is left of each forgotten example, epoch by epoch of unlearning?
-- grain: dataset, architecture, forget set, method, scope, setting, example and epoch of unlearning
-- shown: method!, scope, example_id!, epoch!, separation!, separation_low, separation_high, retrained, pairs, forget_set
-- shown: architecture, setting_label
-- param architecture = null: only this architecture
-- param forget_set = null: only this target pool
-- param method = null: only this method
-- param example = null: only the example of this number
-- separation: by how much phi (logit of the confidence in the true label) is higher where the example was
-- unlearned than where it was never seen, in logits: the mean over pairs of shadow models, of which one trained on it
-- and the other did not. Above 0 it is still remembered, below 0 it is forgotten too well. Epoch 0 is before
-- unlearning. retrained: the same of models that were retrained without it, at their end; null where none were. The
-- intervals are Student's t over pairs at 95 % (null: no_interval says why), each for itself: of many examples some
-- lie outside by chance. Write with shadows.trajectories = true.
with over_pairs as (
    select
        dataset,
        architecture,
        conditions,
        shadow_set,
        setting,
        method,
        scope,
        forget_set,
        example_id,
        epoch,
        count(*) as pairs,
        avg(separation) as separation,
        units_half_width(stddev_samp(separation), count(*)) as half,
        units_without(stddev_samp(separation), count(*), 'pairs of shadow models') as no_interval
    from separations
    where method <> 'none'
        and ($architecture is null or architecture = $architecture)
        and ($forget_set is null or forget_set = $forget_set)
        and ($method is null or method = $method or method = 'retrained')
        and ($example is null or example_id = $example)
    group by all
)
select
    ours.dataset,
    ours.architecture,
    ours.forget_set,
    ours.method,
    ours.scope,
    setting_labels.label as setting_label,
    ours.example_id,
    ours.epoch,
    ours.pairs,
    ours.separation,
    ours.separation - ours.half as separation_low,
    ours.separation + ours.half as separation_high,
    ours.no_interval,
    theirs.separation as retrained,
    theirs.separation - theirs.half as retrained_low,
    theirs.separation + theirs.half as retrained_high,
    ours.setting
from over_pairs as ours
left join over_pairs as theirs
    on theirs.method = 'retrained'
    and theirs.epoch is null
    and theirs.dataset = ours.dataset
    and theirs.architecture = ours.architecture
    and theirs.conditions is not distinct from ours.conditions
    and theirs.shadow_set = ours.shadow_set
    and theirs.forget_set = ours.forget_set
    and theirs.example_id = ours.example_id
left join setting_labels on setting_labels.setting = ours.setting
where ours.epoch is not null
order by
    ours.dataset, ours.architecture, ours.forget_set, ours.method, ours.scope, ours.setting, ours.example_id,
    ours.epoch;
