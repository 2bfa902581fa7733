-- Which models can be told from retraining, beyond what retraining again would differ by, and on which measure?
-- grain: dataset, architecture, forget set, attack, metric, split, variant, param, game, method, scope and setting,
-- over seeds
-- param forget_set = null: only this forget set
-- difference is the mean over seeds of value minus that of the retrained model of the same seed. Its interval
-- is Student's t over seeds from three seeds on; with fewer it reaches from the lowest to the highest end of
-- the seeds' own 95 % intervals. noise_floor is the largest distance of a second retraining over the seeds.
-- Told apart: the interval lies wholly beyond it. Undecided: no interval or no second retraining; a
-- per-example attack needs none, for its retrained control is many models.
with measured as (
    select
        * exclude (noise_floor, largest_noise_floor),
        -- The retrained control of a per-example attack is many retrained models: its interval holds their noise.
        coalesce(largest_noise_floor, if(attack_family = 'per_example', 0.0, null)) as noise_floor
    from over_seeds
    where $forget_set is null or forget_set = $forget_set
)
select
    dataset,
    architecture,
    forget_set,
    attack,
    attack_family,
    metric,
    split,
    variant,
    param,
    game,
    method,
    scope,
    role,
    seeds,
    value,
    value_low,
    value_high,
    retrained,
    difference,
    difference_low,
    difference_high,
    noise_floor,
    case
        when difference_low is null or difference_high is null or noise_floor is null then 'undecided'
        when difference_low > noise_floor or difference_high < -noise_floor then 'told apart'
        else 'not told apart'
    end as verdict,
    n,
    higher_is,
    setting_labels.label as setting_label,
    measured.setting,
    measured.conditions
from measured
left join setting_labels on setting_labels.setting = measured.setting
order by
    dataset, architecture, forget_set, attack, metric, split, variant, param, game, role, method, scope,
    measured.setting;
