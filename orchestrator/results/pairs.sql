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
