-- Which unlearning method comes closest to the retrained model?
-- grain: dataset, architecture, forget set, attack, metric (split, variant, param, game), method, scope and
-- setting
-- param metric = null: only this metric
-- param split = null: only this split
-- param attack = null: only this attack
-- param forget_set = null: only this forget set
-- difference is value minus that of the retrained model of the same seed. Its 95 % interval is Student's t
-- over seeds from three seeds on; with fewer it reaches from the lowest to the highest end of the seeds' own,
-- which are Newcombe's from the intervals of both models. noise_floor: mean distance of a second retrained
-- model. rank is by the distance alone: neighbours whose intervals overlap are not told apart by it.
select
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
    split,
    variant,
    param,
    game,
    rank() over (
        partition by
            dataset, architecture, forget_set, attack, metric, split, variant, param, game, role, conditions
        order by abs(difference) nulls last
    ) as rank,
    method,
    scope,
    role,
    setting_labels.label as setting_label,
    seeds,
    value,
    retrained,
    difference,
    difference_low,
    difference_high,
    noise_floor,
    higher_is,
    over_seeds.setting,
    over_seeds.conditions
from over_seeds
left join setting_labels on setting_labels.setting = over_seeds.setting
where ($metric is null or metric = $metric)
    and ($split is null or split = $split)
    and ($attack is null or attack = $attack)
    and ($forget_set is null or forget_set = $forget_set)
order by
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
    split,
    variant,
    param,
    game,
    role,
    over_seeds.conditions,
    rank,
    method,
    scope,
    over_seeds.setting;
