-- Do models whose layers treat classes less evenly lose more accuracy under attack?
-- grain: conditions, dataset, architecture, fairness definition, layer, attack and eps
-- param split = "test": where robust accuracy is measured
-- param scope = "all": only models of this layer scope; null takes all
-- param role = null: only models of this role, such as audited
-- Layer "(mean)" is the mean over a model's layers. robust_drop is accuracy at eps 0 minus accuracy at eps,
-- on the same examples. rho is Spearman's rank correlation over the models of one stratum (one original,
-- which is one seed, and one forget set), pooled over strata: what seeds and forget sets do to both numbers
-- is left out. Its interval is over originals and needs four; no_interval says why there is none. Models
-- that one method makes under several scopes are near-copies. Near eps where accuracy saturates the sign
-- may flip. masked: of how many of `models` robust_drop is a lower bound, for gradients vanish or an
-- attack blind to the scale of logits found more (view gradient_masking), null where none could tell; where
-- there are any, rho need not be that of the accuracy lost. Models whose gap or accuracy is no finite number
-- are left out of `models`.
with robust as (
    select
        attacked.model_id,
        attacked.conditions,
        attacked.dataset,
        attacked.architecture,
        attacked.forget_set,
        setting_parts.surroundings,
        attacked.seed,
        attacked.attack,
        attacked.param as eps,
        clean.value - attacked.value as robust_drop,
        masking.masked_gradients as masked
    from leaderboard as attacked
    join leaderboard as clean
        on clean.cell_id = attacked.cell_id
        and clean.metric = attacked.metric
        and clean.split = attacked.split
        and clean.variant = attacked.variant
        and clean.label is null
        and clean.param = 0
    left join setting_parts on setting_parts.setting = attacked.setting
    left join gradient_masking as masking
        on masking.cell_id = attacked.cell_id
        and masking.split = attacked.split
        and masking.eps = attacked.param
    where attacked.metric = 'robust_accuracy'
        and attacked.label is null
        and attacked.param > 0
        and isfinite(clean.value - attacked.value)
        and attacked.split = $split
        and ($role is null or attacked.role = $role)
        and ($scope is null or attacked.scope = $scope)
),
fair as (
    select
        cells.model_id,
        cells.forget_set,
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
        (cells.model_id, cells.forget_set, setting_parts.surroundings, layers.definition, layers.layer),
        (cells.model_id, cells.forget_set, setting_parts.surroundings, layers.definition)
    )
),
models_seen as (
    select
        robust.conditions,
        robust.dataset,
        robust.architecture,
        robust.forget_set,
        robust.seed,
        fair.definition,
        fair.layer,
        case when fair.layer = '(mean)' then -1 else fair.layer_index end as layer_index,
        robust.attack,
        robust.eps,
        round(fair.gap, 12) as gap,  -- so that equal values tie in spite of floating point
        round(robust.robust_drop, 12) as robust_drop,
        robust.masked
    from robust
    join fair
        on fair.model_id = robust.model_id
        and fair.forget_set = robust.forget_set
        and fair.surroundings is not distinct from robust.surroundings
),
ranked as (
    select
        *,
        (rank() over (stratum order by gap) + (count(*) over (stratum_and_gap) - 1) / 2.0)
            / count(*) over (stratum) as gap_rank,
        (rank() over (stratum order by robust_drop) + (count(*) over (stratum_and_drop) - 1) / 2.0)
            / count(*) over (stratum) as drop_rank
    from models_seen
    window
        stratum as (partition by conditions, definition, layer, attack, eps, seed, forget_set),
        stratum_and_gap as (partition by conditions, definition, layer, attack, eps, seed, forget_set, gap),
        stratum_and_drop as (
            partition by conditions, definition, layer, attack, eps, seed, forget_set, robust_drop
        )
),
strata as (
    select
        conditions,
        dataset,
        architecture,
        definition,
        layer,
        min(layer_index) as layer_index,
        attack,
        eps,
        seed,
        count(*) as models,
        if(count(masked) > 0, count_if(masked), null) as masked,
        sum(gap) as gaps,
        sum(robust_drop) as robust_drops,
        coalesce(regr_sxy(gap_rank, drop_rank), 0.0) as xy,
        coalesce(regr_syy(gap_rank, drop_rank), 0.0) as xx,
        coalesce(regr_sxx(gap_rank, drop_rank), 0.0) as yy
    from ranked
    group by conditions, dataset, architecture, definition, layer, attack, eps, seed, forget_set
),
by_original as (
    select
        conditions,
        dataset,
        architecture,
        definition,
        layer,
        min(layer_index) as layer_index,
        attack,
        eps,
        seed,
        count(*) as strata,
        sum(models) as models,
        sum(masked) as masked,
        sum(gaps) as gaps,
        sum(robust_drops) as robust_drops,
        sum(xy) as xy,
        sum(xx) as xx,
        sum(yy) as yy
    from strata
    group by conditions, dataset, architecture, definition, layer, attack, eps, seed
),
pooled as (
    select
        conditions,
        dataset,
        architecture,
        definition,
        layer,
        min(layer_index) as layer_index,
        attack,
        eps,
        count(*) as originals,
        cast(sum(strata) as bigint) as strata,
        cast(sum(models) as bigint) as models,
        cast(sum(masked) as bigint) as masked,
        sum(gaps) / sum(models) as mean_gap,
        sum(robust_drops) / sum(models) as mean_robust_drop,
        list(xy order by seed) as xy,
        list(xx order by seed) as xx,
        list(yy order by seed) as yy
    from by_original
    group by conditions, dataset, architecture, definition, layer, attack, eps
)
select
    conditions,
    dataset,
    architecture,
    setting_labels.label as setting_label,
    definition,
    layer,
    attack,
    eps,
    originals,
    strata,
    models,
    masked,
    mean_gap,
    mean_robust_drop,
    case when list_sum(xx) > 0 and list_sum(yy) > 0 then stratified_rho(xy, xx, yy) end as rho,
    stratified_low(xy, xx, yy) as rho_low,
    stratified_high(xy, xx, yy) as rho_high,
    stratified_without(xy, xx, yy) as no_interval
from pooled
left join setting_labels on setting_labels.setting = pooled.conditions
order by dataset, architecture, conditions, definition, attack, eps, layer_index, layer;
