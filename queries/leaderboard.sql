-- Which unlearning method comes closest to the retrained model?
-- shown: method!, metric, forget_set, scope, architecture, split, distance!, distance_low, distance_high
-- shown: verdict!, rank, value, retrained, attack, variant, param, seeds, noise_floor, game, setting_label
-- grain: dataset, architecture, forget set, attack, metric (split, variant, param, game), method, scope and
-- setting; ranks stand within one conditions
-- param metric = null: only this metric
-- param split = null: only this split
-- param attack = null: only this attack
-- param forget_set = null: only this forget set
-- distance is the mean over seeds of |value - retrained|, each seed beside its own retrained model:
-- differences of opposite sign do not cancel. Its 95 % interval is about further trainings; with one seed,
-- or without a second retraining, there is none. rank is 1 more than the number of models that are surely
-- closer: whose whole interval lies below. Models whose intervals overlap so tie, and one without an
-- interval ties with all; ties counts them. difference and verdict are those of the query verdict;
-- noise_floor is the distance of a second retraining. seeds: those behind value, which are those of both
-- retrainings where there is one.
with placed as (
    select
        *,
        coalesce(distance_low, 0) as nearest,
        coalesce(distance_high, 'infinity'::double) as farthest
    from verdicts
    where ($metric is null or metric = $metric)
        and ($split is null or split = $split)
        and ($attack is null or attack = $attack)
        and ($forget_set is null or forget_set = $forget_set)
),
ranked as (
    select
        placed.*,
        1 + count(*) filter (rival.farthest < placed.nearest) as rank,
        count(*) filter (rival.farthest >= placed.nearest and placed.farthest >= rival.nearest) - 1 as ties
    from placed
    join placed as rival
        on rival.dataset = placed.dataset
        and rival.architecture = placed.architecture
        and rival.forget_set = placed.forget_set
        and rival.conditions = placed.conditions
        and rival.attack = placed.attack
        and rival.metric = placed.metric
        and rival.split = placed.split
        and rival.variant = placed.variant
        and rival.param is not distinct from placed.param
        and rival.game is not distinct from placed.game
        and rival.role = placed.role
    group by all
)
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
    rank,
    ties,
    method,
    scope,
    role,
    setting_labels.label as setting_label,
    if(seeds = 0, seeds_measured, seeds) as seeds,
    value,
    retrained,
    distance,
    distance_low,
    distance_high,
    difference,
    difference_low,
    difference_high,
    noise_floor,
    verdict,
    higher_is,
    ranked.setting,
    conditions
from ranked
left join setting_labels on setting_labels.setting = ranked.setting
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
    rank,
    distance,
    method,
    scope,
    ranked.setting;
