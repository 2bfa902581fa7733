-- Shadow models in pairs, each pair trained on the two halves of the data, so that pairs are independent of one another.

-- One row per target, state and shadow model that has observations behind the plan: the mean phi over draws; of the
-- models as trained method is `none`. epoch is null at the end of unlearning. conditions are those of the setting.
create or replace temp view phi_by_shadow as
with known as (
    select distinct setting, conditions
    from settings
)
select
    observed.dataset,
    observations.architecture,
    known.conditions,
    observed.shadow_set,
    observed.setting,
    observations.method,
    observations.scope,
    observations.pool as forget_set,
    observations.epoch,
    observations.state,
    observations.example_id,
    observations.shadow,
    avg(observations.phi) as phi
from observations
join plan_shadow_stages as observed on observed.stage_id = observations.stage_id
left join known on known.setting = observed.setting
where observations.state <> 'test'
group by all;

-- One row per target and pair of shadow models, in which one trained on it and the other did not: by how much its phi is
-- higher in the first, after unlearning it (state `unlearned`) or, under method `none`, as trained. Independent over pairs.
create or replace temp view separations as
select
    dataset,
    architecture,
    conditions,
    shadow_set,
    setting,
    method,
    scope,
    forget_set,
    epoch,
    example_id,
    shadow // 2 as pair,
    avg(phi) filter (where state = if(method = 'none', 'retained', 'unlearned'))
        - avg(phi) filter (where state = 'never') as separation
from phi_by_shadow
group by all
having separation is not null;

-- The same in folds of two pairs each, which are independent too. squared is the product of the two separations: its mean is
-- the squared separation, without the bias that a squared estimate has. total: their sum.
create or replace temp view squared_separations as
select
    dataset,
    architecture,
    conditions,
    shadow_set,
    setting,
    method,
    scope,
    forget_set,
    epoch,
    example_id,
    pair // 2 as fold,
    count(*) as pairs,
    sum(separation) as total,
    var_samp(separation) / 2 as variance,
    if(pairs = 2, product(separation), null) as squared
from separations
group by all;

-- The same at the end of unlearning in two halves, every other pair in one: of each target and half the mean and the
-- variance of the separations, and the squared separation, which is the mean product of two different pairs and so has no
-- bias (Hoeffding 1948). removed is -1 with all pairs of a half, or the pair that is left out, as a jackknife asks.
-- Targets count that have all pairs.
create or replace temp view halved_separations as
with halved as (
    select
        *,
        pair % 2 as half,
        count(*) over one_half as pairs,
        sum(separation) over one_half as total,
        sum(separation ** 2) over one_half as squares
    from separations
    where epoch is null
    window one_half as (partition by shadow_set, setting, scope, forget_set, example_id, pair % 2)
),
reduced as (
    select
        {
            dataset: dataset, architecture: architecture, conditions: conditions, scope: scope,
            forget_set: forget_set
        } as place,
        {method: method, setting: setting} as which,
        scope,
        shadow_set,
        example_id,
        half,
        pairs,
        unnest([-1, pair]) as removed,
        unnest([pairs, pairs - 1]) as n,
        unnest([total, total - separation]) as total,
        unnest([squares, squares - separation ** 2]) as squares
    from halved
    qualify pairs = max(pairs) over (partition by shadow_set, setting, scope, forget_set, half)
)
select distinct
    place,
    which,
    scope,
    shadow_set,
    example_id,
    half,
    pairs,
    removed,
    total / nullif(n, 0) as mean,
    (squares - total ** 2 / nullif(n, 0)) / nullif(n - 1, 0) as variance,
    (total ** 2 - squares) / nullif(n * (n - 1), 0) as squared
from reduced;
