-- Do models whose layers treat classes less evenly lose more accuracy under attack?
-- grain: dataset, architecture, fairness definition, layer, attack, eps and conditions
-- param split = "test": where robust accuracy is measured
-- param scope = "all": only models of this layer scope; null takes all
-- param role = null: only models of this role, such as audited
-- Layer "(mean)" is the mean over a model's layers. rho is Spearman's rank correlation over models; its
-- interval is Bonett and Wright's, and needs four models. robust_drop is accuracy at eps 0 minus accuracy at
-- eps, on the same examples. Models that share an original are not independent, and those that one method
-- makes under several scopes are near-copies: intervals are too narrow. Near eps where accuracy saturates the
-- sign may flip.
with robust as (
    select
        attacked.model_id,
        attacked.dataset,
        attacked.architecture,
        attacked.attack,
        attacked.conditions,
        setting_parts.surroundings,
        attacked.param as eps,
        avg(clean.value - attacked.value) as robust_drop  -- one model may stand under several forget sets
    from leaderboard as attacked
    left join setting_parts on setting_parts.setting = attacked.setting
    join leaderboard as clean
        on clean.cell_id = attacked.cell_id
        and clean.metric = attacked.metric
        and clean.split = attacked.split
        and clean.variant = attacked.variant
        and clean.label is null
        and clean.param = 0
    where attacked.metric = 'robust_accuracy'
        and attacked.label is null
        and attacked.param > 0
        and attacked.split = $split
        and ($role is null or attacked.role = $role)
        and ($scope is null or attacked.scope = $scope)
    group by all
),
fair as (
    select
        cells.model_id,
        setting_parts.surroundings,
        layers.definition,
        coalesce(layers.layer, '(mean)') as layer,
        min(layers.layer_index) as layer_index,
        avg(layers.gap) as gap
    from layers
    join plan_cells as cells on cells.cell_id = layers.cell_id
    left join setting_parts on setting_parts.setting = cells.setting
    where layers.label is null
        and isfinite(layers.gap)
    group by grouping sets (
        (cells.model_id, setting_parts.surroundings, layers.definition, layers.layer),
        (cells.model_id, setting_parts.surroundings, layers.definition)
    )
),
models_seen as (
    select
        robust.dataset,
        robust.architecture,
        fair.definition,
        fair.layer,
        case when fair.layer = '(mean)' then -1 else fair.layer_index end as layer_index,
        robust.attack,
        robust.conditions,
        robust.eps,
        round(fair.gap, 12) as gap,  -- so that equal values tie in spite of floating point
        round(robust.robust_drop, 12) as robust_drop
    from robust
    join fair
        on fair.model_id = robust.model_id
        and fair.surroundings is not distinct from robust.surroundings
),
ranked as (
    select
        *,
        rank() over (place order by gap)
            + (count(*) over (place_and_gap) - 1) / 2.0 as gap_rank,
        rank() over (place order by robust_drop)
            + (count(*) over (place_and_drop) - 1) / 2.0 as drop_rank
    from models_seen
    window
        place as (partition by dataset, architecture, definition, layer, attack, conditions, eps),
        place_and_gap as (
            partition by dataset, architecture, definition, layer, attack, conditions, eps, gap
        ),
        place_and_drop as (
            partition by dataset, architecture, definition, layer, attack, conditions, eps, robust_drop
        )
),
correlated as (
    select
        dataset,
        architecture,
        definition,
        layer,
        min(layer_index) as layer_index,
        attack,
        conditions,
        eps,
        count(*) as models,
        avg(gap) as mean_gap,
        avg(robust_drop) as mean_robust_drop,
        case
            when count(distinct gap) > 1 and count(distinct robust_drop) > 1
                then corr(gap_rank, drop_rank)
        end as rho
    from ranked
    group by dataset, architecture, definition, layer, attack, conditions, eps
)
select
    dataset,
    architecture,
    definition,
    layer,
    attack,
    setting_labels.label as setting_label,
    eps,
    models,
    mean_gap,
    mean_robust_drop,
    rho,
    spearman_low(rho, models) as rho_low,
    spearman_high(rho, models) as rho_high,
    correlated.conditions
from correlated
left join setting_labels on setting_labels.setting = correlated.conditions
order by dataset, architecture, definition, attack, correlated.conditions, eps, layer_index, layer;
